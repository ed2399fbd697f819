/** What a data partition may hold inside its stores, and what its generations may say of themselves. */
import "./memory-scratch.ts";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatComplete, formatMeta, type GenerationMeta, parseMeta } from "../../state-ops/layout.ts";
import { attackedDisk, bootHostile, type HostileBoot, type Outcome, onDisk, secret } from "./hostile-machine.ts";
import { cleanUp, kernel, program } from "./state-machine.ts";

const healthy = ({ failure, laid, read }: Outcome): void => {
  assert.is(failure, null);
  assert.equal(laid?.degraded, []);
  for (const path of ["/etc/mine", "/home/mine", "/srv/mine", "/var/mine", "/var/log/mine"]) {
    assert.is(read(path), `kept in ${path}`);
  }
};

async function attacked(attack: (data: string) => void, see: (outcome: Outcome) => void, more: Partial<HostileBoot> = {}) {
  await bootHostile({ disk: await attackedDisk(attack, more.type), ...more }, see);
}

/** A committed boot, and a trial of another image, whose generation is a clone. */
async function bothBoots(attack: (data: string) => void, see: (outcome: Outcome) => void, more: Partial<HostileBoot> = {}) {
  for (const slot of ["a", "b"] as const) await attacked(attack, see, { ...more, slot });
}

test("setuid files and device nodes in stores are only files", async () => {
  const attack = (data: string) => {
    for (const store of ["gens/000001/tree/home", "gens/000001/tree/var", "gens/000001/ovl/etc/upper", "shared/srv"]) {
      copyFileSync("/usr/bin/id", `${data}/${store}/id`);
      program("chown", "0:0", `${data}/${store}/id`);
      chmodSync(`${data}/${store}/id`, 0o6755);
      program("mknod", "-m", "666", `${data}/${store}/zero`, "c", "1", "5");
      program("mknod", "-m", "666", `${data}/${store}/disk`, "b", "7", "0");
    }
  };
  await bothBoots(attack, (outcome) => {
    healthy(outcome);
    for (const path of ["/home", "/var", "/etc", "/srv"]) {
      chmodSync(`${outcome.root}/home`, 0o755);
      const said = spawnSync("setpriv", [
        "--reuid",
        "1000",
        "--regid",
        "1000",
        "--clear-groups",
        `${outcome.root}${path}/id`,
        "-u",
      ]);
      assert.is(said.stdout.toString().trim(), "1000", path);
      for (const node of ["zero", "disk"]) assert.throws(() => outcome.read(`${path}/${node}`), /EACCES/);
    }
  });
});

/** Names that a careless reader stumbles over. */
const oddNames = [
  "new\nline",
  "-rf",
  "...",
  " ",
  "a b\tc\\d",
  "x".repeat(255),
  "$(reboot)",
  "%s%n",
  "\u202e",
  "000001",
  ".tmp-",
  ".seed-home",
].map((name) => Buffer.from(name));
const noUtf8 = [Buffer.from([0xff, 0xfe, 0x2f + 1]), Buffer.from([0xc3]), Buffer.from("gens\x80", "latin1")];

test("odd names everywhere: files, directories and links of them", async () => {
  const directories = ["", "gens", "slots", "shared", "gens/000001/work", "trash", "updater", "gens/000001", "gens/000001/tree"];
  const stores = ["gens/000001/ovl", "gens/000001/ovl/etc", "gens/000001/ovl/etc/upper", "gens/000001/tree/home", "shared/srv"];
  const attack = (data: string) => {
    for (const directory of [...directories, ...stores]) {
      mkdirSync(`${data}/${directory}`, { recursive: true });
      for (const [index, name] of [...oddNames, ...noUtf8].entries()) {
        const path = Buffer.concat([Buffer.from(`${data}/${directory}/`), name]);
        if (existsSync(path)) continue;
        // What is beside upper layers must be those of other overlays: a file there fails the next image's clone.
        if (index % 3 === 0 || directory === "gens/000001/ovl") mkdirSync(path);
        else if (index % 3 === 1) writeFileSync(path, "x");
        else symlinkSync(secret, path);
      }
    }
  };
  await bothBoots(attack, (outcome) => {
    healthy(outcome);
    const seen = readdirSync(`${outcome.root}/home`, { encoding: "buffer" });
    for (const name of [...oddNames, ...noUtf8])
      assert.ok(
        seen.some((other) => other.equals(name)),
        name.toString(),
      );
  });
});

/** Directories one in another. */
function nest(directory: string, depth: number): void {
  const nested = `import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir("d"); os.chdir("d")
open("bottom", "w").write("deep")`;
  mkdirSync(directory, { recursive: true });
  program("python3", "-c", nested, directory, String(depth));
}

for (const place of [
  "gens/000001/tree/home",
  "gens/000001/ovl/etc/upper",
  "trash/deep",
  "gens/000001/work/etc",
  "gens/.tmp-000009-x",
]) {
  test(`directories 3000 deep in ${place}: the boot goes on, or fails the slot with a reason`, async () => {
    const attack = (data: string) => nest(`${data}/${place}`, 3000);
    await bothBoots(attack, (outcome) => {
      if (outcome.failure === null) healthy(outcome);
      else assert.match(outcome.failure, /^.{0,160}(too deep|EMFILE|ENAMETOOLONG)/, outcome.failure);
    });
    await attacked(attack, healthy, { onFailure: "degraded" });
  });
}

/** Rewrites a generation so that COMPLETE vouches for the lie. */
function lie(data: string, from: string, to: string, change: (meta: GenerationMeta) => GenerationMeta): void {
  const told = parseMeta(readFileSync(`${data}/gens/${from}/meta.json`, "utf8"));
  assert.ok(told);
  const meta = formatMeta(change(told));
  if (from !== to) program("cp", "-a", `${data}/gens/${from}`, `${data}/gens/${to}`);
  writeFileSync(`${data}/gens/${to}/meta.json`, meta);
  const others = ["baseline.json"].filter((name) => existsSync(`${data}/gens/${to}/${name}`));
  const files = Object.fromEntries(others.map((name) => [name, readFileSync(`${data}/gens/${to}/${name}`, "utf8")]));
  writeFileSync(`${data}/gens/${to}/COMPLETE`, formatComplete({ ...files, "meta.json": meta }));
  writeFileSync(`${data}/gens/${to}/tree/home/mine`, "the liar's");
}

test("a generation that lies about its number is none", async () => {
  const attack = (data: string) => lie(data, "000001", "000005", (meta) => ({ ...meta, number: 1 }));
  await attacked(attack, (outcome) => {
    healthy(outcome);
    assert.is(outcome.laid?.generation, "000001");
  });
  const own = (data: string) => {
    lie(data, "000001", "000001", (meta) => ({ ...meta, number: 4 }));
  };
  await attacked(own, ({ failure, laid, warnings, root }) => {
    assert.is(failure, null);
    assert.is(laid?.generation, "000002");
    assert.match(warnings.join("\n"), /starts anew/);
    assert.not(existsSync(`${root}/home/mine`));
  });
});

test("a generation of another image or slot is not taken for the committed one, but cloned", async () => {
  for (const change of [{ imageId: "sha256:other" }, { slot: "b" }, { controlDigest: "sha256:other" }]) {
    const attack = (data: string) => lie(data, "000001", "000003", (meta) => ({ ...meta, number: 3, ...change }));
    await attacked(attack, healthy);
  }
});

test("COMPLETE, meta.json, LAYOUT, PINNED and requests that are links, fifos, devices, huge or rubbish", async () => {
  const files = ["gens/000001/COMPLETE", "gens/000001/meta.json", "gens/000001/baseline.json", "gens/000001/PINNED"];
  const spoil: Record<string, (at: string) => void> = {
    "a link": (at) => symlinkSync(`${secret}/key`, at),
    "a fifo": (at) => void program("mkfifo", at),
    "a device": (at) => void program("mknod", at, "c", "1", "5"),
    "a directory": (at) => mkdirSync(`${at}/inner`, { recursive: true }),
    "a huge file": (at) => {
      writeFileSync(at, "{");
      truncateSync(at, 2 ** 40);
    },
    rubbish: (at) => writeFileSync(at, Buffer.from([0xff, 0x00, 0x22])),
    "much too deep": (at) => writeFileSync(at, "[".repeat(60_000)),
  };
  for (const [index, file] of [...files, "LAYOUT", "updater/requests.json"].entries()) {
    for (const [what, put] of Object.entries(spoil).filter((_, thing) => (thing + index) % 2 === 0)) {
      const attack = (data: string) => {
        mkdirSync(`${data}/updater`, { recursive: true });
        rmSync(`${data}/${file}`, { recursive: true, force: true });
        put(`${data}/${file}`);
      };
      await bothBoots(attack, ({ failure, laid, warnings }) => {
        if (failure === null) assert.equal(laid?.degraded, [], `${file} is ${what}`);
        else assert.ok(failure.length > 30, `${file} is ${what}: ${failure}`);
        assert.ok(warnings.every((text) => text.length < 1000));
      });
    }
  }
});

/** chattr(1) flags of a path; what they do is a reason, never a hang or an exception. */
for (const flag of ["+i", "+a"]) {
  test(`chattr ${flag} at every level`, async () => {
    const levels: Record<string, { required: RegExp | null }> = {
      "gens/000001/tree/home/mine": { required: null },
      "gens/000001/tree/home": { required: null },
      "gens/000001/tree": { required: null },
      "gens/000001": { required: null },
      "shared/etc-machine-id": { required: null },
      shared: { required: null },
      slots: { required: null },
      LAYOUT: { required: null },
      "trash/thing": { required: null },
      "gens/.tmp-000009-x": { required: null },
      "gens/000001/work/etc/inner/immutable": { required: null },
      "gens/000001/work/etc": { required: /\/etc .*EPERM/ },
      "gens/000001/work": { required: /\/etc .*EPERM/ },
      "gens/000001/ovl/etc/upper": { required: null },
    };
    for (const [path, { required }] of Object.entries(levels)) {
      const attack = (data: string) => {
        if (!existsSync(`${data}/${path}`)) mkdirSync(`${data}/${path}`, { recursive: true });
        program("chattr", flag, `${data}/${path}`);
      };
      await attacked(attack, (outcome) => {
        if (required === null || outcome.failure === null) healthy(outcome);
        else assert.match(outcome.failure, required, path);
      });
      await attacked(attack, (outcome) => assert.is(outcome.failure, null, path), { onFailure: "degraded" });
    }
  });
}

test("an immutable store whose owner is to change fails with a reason, or is in memory", async () => {
  const attack = (data: string) => {
    chmodSync(`${data}/gens/000001/tree/home`, 0o777);
    program("chattr", "+i", `${data}/gens/000001/tree/home`);
  };
  await attacked(attack, ({ failure }) =>
    assert.match(failure ?? "", /state \/home .*EPERM; it may be immutable \(chattr \+i\)/),
  );
  await attacked(
    attack,
    ({ laid }) =>
      assert.equal(
        laid?.degraded.map(({ path }) => path),
        ["/home"],
      ),
    { onFailure: "degraded" },
  );
});

test("a mount on a store is refused, one inside it is not shown", async () => {
  const over = (at: string) => (data: string) => void program("mount", "-t", "tmpfs", "tmpfs", `${data}/${at}`);
  await attacked(
    () => {},
    ({ failure }) => assert.match(failure ?? "", /state \/home .*EXDEV/),
    {
      mounted: over("gens/000001/tree/home"),
    },
  );
  const withInner = (data: string) => {
    mkdirSync(`${data}/gens/000001/tree/home/inner`);
    writeFileSync(`${data}/gens/000001/tree/home/inner/own`, "own");
  };
  await attacked(
    withInner,
    (outcome) => {
      healthy(outcome);
      assert.is(outcome.read("/home/inner/own"), "own", "what the store has there, not what is mounted on it");
    },
    { mounted: over("gens/000001/tree/home/inner") },
  );
});

test("marks of foreign overlays in an upper lead nowhere", async () => {
  const marks: Record<string, [string, string]> = {
    "an absolute redirect": ["trusted.overlay.redirect", "/../../../../secret"],
    "a redirect to a neighbour": ["trusted.overlay.redirect", "secret.d"],
    opaque: ["trusted.overlay.opaque", "y"],
    "opaque, nonsense": ["trusted.overlay.opaque", "\xff".repeat(100)],
    "an origin": ["trusted.overlay.origin", "\x00".repeat(40)],
    impure: ["trusted.overlay.impure", "y"],
    "a user mark": ["user.overlay.redirect", "/secret"],
  };
  for (const [what, [name, value]] of Object.entries(marks)) {
    const attack = (data: string) => {
      mkdirSync(`${data}/gens/000001/ovl/etc/upper/inner`, { recursive: true });
      kernel.setAttribute(`${data}/gens/000001/ovl/etc/upper/inner`, name, Buffer.from(value));
    };
    await bothBoots(attack, (outcome) => {
      if (outcome.failure !== null) {
        assert.match(outcome.failure, /trusted\.overlay|foreign/, what);
        return;
      }
      healthy(outcome);
      const seen = list(`${outcome.root}/etc/inner`);
      assert.not(seen.includes("key") && seen.includes("secret"), `${what}: ${seen}`);
      assert.is(outcome.read("/etc/secret"), "", what);
    });
  }
  const metacopy = (data: string) => {
    const file = `${data}/gens/000001/ovl/etc/upper/hosts`;
    writeFileSync(file, "");
    kernel.setAttribute(file, "trusted.overlay.metacopy", new Uint8Array(0));
    kernel.setAttribute(file, "trusted.overlay.redirect", Buffer.from("/secret"));
  };
  await bothBoots(metacopy, (outcome) => {
    if (outcome.failure !== null) assert.match(outcome.failure, /trusted\.overlay|foreign/);
    else assert.throws(() => assert.is(outcome.read("/etc/hosts"), "shipped secret"));
  });
});

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

test("attributes of 64 KiB, on xfs, in a store and on its root", async () => {
  const big = new Uint8Array(65536).fill(0x61);
  const attack = (data: string) => {
    for (const path of ["gens/000001/tree/home", "gens/000001/tree/home/mine", "gens/000001/ovl/etc/upper/mine"]) {
      kernel.setAttribute(`${data}/${path}`, "user.big", big);
      kernel.setAttribute(`${data}/${path}`, "trusted.big", big);
      for (let index = 0; index < 100; index++) kernel.setAttribute(`${data}/${path}`, `user.${index}`, big.subarray(0, 64));
    }
  };
  await bothBoots(
    attack,
    (outcome) => {
      healthy(outcome);
      for (const path of ["/home", "/home/mine", "/etc/mine"]) {
        assert.is(kernel.getAttribute(`${outcome.root}${path}`, "user.big").length, 65536, path);
      }
    },
    { type: "xfs" },
  );
});

test("a file store with a second name is another's too, and refused", async () => {
  const attack = (data: string) => linkSync(`${data}/shared/etc-machine-id`, `${data}/gens/000001/tree/home/link`);
  await attacked(attack, ({ failure }) => assert.match(failure ?? "", /state \/etc\/machine-id .*has 2 names/));
  await attacked(
    attack,
    ({ laid }) =>
      assert.equal(
        laid?.degraded.map(({ path }) => path),
        ["/etc/machine-id"],
      ),
    { onFailure: "degraded" },
  );
});

test("what stands where a nested operator is laid cannot lead it elsewhere", async () => {
  const inVar: Record<string, (store: string) => void> = {
    "a link": (store) => symlinkSync(secret, `${store}/log`),
    "a fifo": (store) => void program("mkfifo", `${store}/log`),
    "a file": (store) => writeFileSync(`${store}/log`, "x"),
    nothing: () => {},
  };
  for (const [what, put] of Object.entries(inVar)) {
    const attack = (data: string) => {
      rmSync(`${data}/gens/000001/tree/var/log`, { recursive: true });
      put(`${data}/gens/000001/tree/var`);
    };
    await bothBoots(attack, (outcome) => {
      healthy(outcome);
      assert.is(
        outcome.warnings.some((text) => /log\.replaced/.test(text)),
        what !== "nothing",
        what,
      );
    });
  }
  const parent = (data: string) => {
    renameSync(`${data}/gens/000001/tree/var/vendor`, `${data}/gens/000001/tree/var/moved`);
    symlinkSync(secret, `${data}/gens/000001/tree/var/vendor`);
    rmSync(`${data}/gens/000001/ovl/etc/upper/motd`, { force: true });
    mkdirSync(`${data}/gens/000001/ovl/etc/upper/motd`);
  };
  await attacked(parent, (outcome) => {
    healthy(outcome);
    assert.is(outcome.read("/var/vendor/inner/blob"), "vendor v1");
    assert.ok(lstatSync(`${outcome.root}/etc/motd`).isSymbolicLink());
    assert.ok(lstatSync(`${outcome.root}/var/vendor.replaced`).isSymbolicLink());
  });
});

test("what the boots above did to the disk stays readable", async () => {
  const disk = await attackedDisk(() => {});
  await bootHostile({ disk }, healthy);
  await bootHostile({ disk, slot: "b" }, healthy);
  onDisk(disk, (data) => assert.equal(readdirSync(`${data}/gens`).sort(), ["000001", "000002"]));
});

test.after(cleanUp);
test.run();
