/** Each way of doing it, on real filesystems: what is seen, what can be written, and what is left after a reboot. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Operator } from "../../state-ops/control.ts";
import { boot, codeOf, images, mountOf, operator, read, root, run, write } from "./state-boots.ts";
import { cleanUp, filesystems, kernel, makeFilesystem, program, scratch } from "./state-machine.ts";

const file = (path: string, words: Partial<Operator>) => operator(path, { kind: "file", seed: "none", ...words });
const mask = (path: string, words: Partial<Operator> = {}) =>
  operator(path, { state: null, via: "mask", seed: "none", ...words });
const readonly = (path: string, words: Partial<Operator> = {}) => operator(path, { state: null, via: "readonly", ...words });
const link = (path: string, target: string, words: Partial<Operator> = {}) =>
  file(path, { state: "ephemeral", via: "symlink", target, ...words });
const memory = (path: string, words: Partial<Operator> = {}) => operator(path, { state: "ephemeral", via: "overlay", ...words });

/** No label is known here: nobody has loaded a policy, but the filesystems keep what PID 1 says. */
const label = "system_u:object_r:var_t:s0";
const labelOf = (path: string): string => Buffer.from(kernel.getAttribute(path, "security.selinux")).toString();
const modeOf = (path: string): number => lstatSync(`${root}${path}`).mode & 0o7777;
const mounts = (): string => readFileSync("/proc/self/mountinfo", "utf8");

for (const type of filesystems) {
  test(`${type}: one operator of each kind, over two boots`, () => {
    const disk = makeFilesystem(type);
    const operators = [
      operator("/etc", { via: "overlay", context: label }),
      file("/etc/app.conf", {
        state: "shared",
        reason: "r",
        seed: "literal",
        literal: "made = here\n",
        mode: 0o640,
        context: label,
      }),
      file("/etc/id", { state: "identity", generate: "uuid" }),
      file("/etc/note", { state: "ephemeral", seed: "literal", literal: "in memory\n" }),
      link("/etc/resolv.conf", "/run/resolv.conf"),
      readonly("/etc/seal", { kind: "file" }),
      mask("/etc/secret", { kind: "file" }),
      mask("/etc/secret.d"),
      file("/etc/token", { state: "persistent", generate: "random", mode: 0o400 }),
      memory("/opt", { size: 1 << 20, inodes: 20, context: label, mode: 0o750 }),
      operator("/run/big", { state: "ephemeral", via: "tmpfs", seed: "none", inodes: 10 }),
      operator("/srv", { state: "ephemeral", via: "tmpfs", seed: "none", inodes: 5, context: label }),
      operator("/var", { context: label, flags: ["nodev", "noexec", "nosuid", "nosymfollow"] }),
      readonly("/var/vendor"),
    ];
    let made = { id: "", token: "" };
    boot({ type, disk, operators }, (result) => {
      assert.equal(result, { degraded: [], warnings: [] });
      made = { id: read("/etc/id"), token: read("/etc/token") };
      assert.match(made.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/);
      assert.match(made.token, /^[0-9a-f]{64}\n$/);
      assert.equal([modeOf("/etc/id"), modeOf("/etc/token"), modeOf("/etc/app.conf")], [0o444, 0o400, 0o640]);
      assert.is(read("/etc/app.conf"), "made = here\n");
      assert.is(read("/etc/note"), "in memory\n");
      assert.is(readlinkSync(`${root}/etc/resolv.conf`), "/run/resolv.conf");
      for (const path of ["/etc", "/etc/app.conf", "/opt", "/srv", "/var"]) {
        assert.is(labelOf(`${root}${path}`), `${label}\0`, path);
      }
      assert.is(read("/opt/note"), "note v1");
      write("/opt/note", "changed");
      write("/etc/note", "changed");
      write("/etc/app.conf", "mine");
      write("/var/mine", "kept");
      assert.is(modeOf("/opt"), 0o750);
      const { flags } = mountOf(`${root}/var`);
      for (const flag of ["nodev", "noexec", "nosuid", "nosymfollow"]) assert.ok(flags.includes(flag), `${flag} of ${flags}`);
      assert.is(mountOf(`${root}/opt`).filesystem, "overlay");
      assert.not.match(mounts(), /slipway\/(layers|memory)/);
    });
    boot({ type, disk, operators, image: images.v2 }, (result) => {
      assert.equal(result, { degraded: [], warnings: [] });
      assert.equal({ id: read("/etc/id"), token: read("/etc/token") }, made);
      assert.is(read("/etc/app.conf"), "mine");
      assert.is(read("/etc/note"), "in memory\n");
      assert.is(read("/opt/note"), "note v2");
      assert.is(read("/var/mine"), "kept");
      assert.is(read("/etc/seal"), "seal v2", "a hole shows the image that boots");
      assert.is(read("/var/vendor/inner/blob"), "vendor v2");
    });
  });
}

test("a mask hides everything at and below, and nobody takes it off by writing", () => {
  const operators = [operator("/etc", { via: "overlay" }), mask("/etc/secret", { kind: "file" }), mask("/etc/secret.d")];
  boot({ disk: makeFilesystem("ext4"), operators }, () => {
    assert.is(read("/etc/secret"), "");
    assert.equal([modeOf("/etc/secret"), modeOf("/etc/secret.d")], [0, 0]);
    assert.equal(readdirSync(`${root}/etc/secret.d`), []);
    assert.not(existsSync(`${root}/etc/secret.d/key`));
    const writes: Record<string, () => void> = {
      "a write": () => write("/etc/secret", "x"),
      "a new file": () => write("/etc/secret.d/new", "x"),
      "another mode": () => chmodSync(`${root}/etc/secret`, 0o644),
      "another mode of the directory": () => chmodSync(`${root}/etc/secret.d`, 0o755),
    };
    for (const [what, attempt] of Object.entries(writes)) assert.is(codeOf(attempt), "EROFS", what);
    const removals: Record<string, () => void> = {
      "removing it": () => unlinkSync(`${root}/etc/secret`),
      "removing the directory": () => rmdirSync(`${root}/etc/secret.d`),
      "renaming it": () => renameSync(`${root}/etc/secret`, `${root}/etc/other`),
      "renaming over it": () => renameSync(`${root}/etc/hosts`, `${root}/etc/secret`),
    };
    for (const [what, attempt] of Object.entries(removals)) assert.is(codeOf(attempt), "EBUSY", what);
  });
});

test("masks and holes in memory, in a bind, and over the image itself; labelled where they are to be", () => {
  const operators = [
    mask("/home", { context: label, flags: ["nodev", "noexec", "nosuid"] }),
    memory("/etc"),
    mask("/etc/secret", { kind: "file", context: label }),
    operator("/opt", { state: "ephemeral", via: "tmpfs" }),
    readonly("/opt/note", { kind: "file" }),
    operator("/var", { seed: "none" }),
    mask("/var/lib/app"),
    readonly("/var/vendor"),
  ];
  boot({ disk: makeFilesystem("ext4"), operators }, (result) => {
    assert.equal(result, { degraded: [], warnings: [] });
    assert.is(labelOf(`${root}/home`), `${label}\0`);
    assert.is(labelOf(`${root}/etc/secret`), `${label}\0`);
    assert.equal(readdirSync(`${root}/home`), []);
    assert.ok(mountOf(`${root}/home`).flags.includes("noexec"));
    assert.is(read("/opt/note"), "note v1");
    assert.is(read("/var/vendor/inner/blob"), "vendor v1");
    for (const path of ["/home/x", "/opt/note", "/var/vendor/inner/blob", "/var/vendor/x", "/var/lib/app/x"]) {
      assert.is(
        codeOf(() => write(path, "x")),
        "EROFS",
        path,
      );
    }
    assert.is(
      codeOf(() => rmSync(`${root}/var/vendor/inner`, { recursive: true })),
      "EROFS",
    );
    write("/opt/other", "x");
    write("/var/other", "x");
    assert.is(modeOf("/var/vendor"), 0o755);
  });
});

test("an operator inside a mask or a hole fails, whatever the control file says", () => {
  for (const outer of [mask("/var/empty"), readonly("/var/empty")]) {
    const inner = operator("/var/empty/inner", { seed: "none" });
    const order = { disk: makeFilesystem("ext4"), operators: [operator("/var"), outer, inner] };
    assert.throws(() => boot(order, () => {}), /\/var\/empty\/inner .*does not exist in the image/);
  }
});

test("a hole over what the image does not have, or has otherwise, says so", () => {
  const withHole = (hole: Operator) => ({ disk: makeFilesystem("ext4"), operators: [operator("/var"), hole] });
  assert.throws(() => boot(withHole(readonly("/var/nothing")), () => {}), /image has nothing there/);
  assert.throws(() => boot(withHole(readonly("/var/log", { kind: "file" })), () => {}), /has a directory there/);
  assert.throws(() => boot(withHole(readonly("/var/log/first")), () => {}), /ENOTDIR/);
});

test("limits: bytes and files of a tmpfs, of an overlay in memory, and of a file in memory", () => {
  const operators = [
    memory("/etc", { size: 64 * 1024, inodes: 12 }),
    file("/etc/motd", { state: "ephemeral", seed: "none", size: 8192 }),
    operator("/run/few", { state: "ephemeral", via: "tmpfs", seed: "none", inodes: 4 }),
    operator("/srv", { state: "ephemeral", via: "tmpfs", seed: "none", inodes: 4, size: 16384 }),
  ];
  const fill = (directory: string): number => {
    for (let count = 0; ; count++) {
      try {
        writeFileSync(`${directory}/${count}`, "");
      } catch {
        return count;
      }
      if (count > 1000) return count;
    }
  };
  boot({ disk: null, operators }, (result) => {
    assert.equal(result, { degraded: [], warnings: [] });
    assert.is(fill(`${root}/srv`), 3, "the root is one of four");
    assert.is(fill(`${run}/few`), 3);
    const inOverlay = fill(`${root}/etc`);
    assert.ok(inOverlay >= 10 && inOverlay <= 12, `${inOverlay} of 12`);
    assert.is(statfsSync(`${root}/srv`).blocks, 4);
    assert.is(
      codeOf(() => write("/etc/motd", "x".repeat(16384))),
      "ENOSPC",
    );
    assert.is(
      codeOf(() => write("/etc/hosts", "x".repeat(128 * 1024))),
      "ENOSPC",
    );
  });
});

test("an overlay in memory over a tmpfs, a bind and an overlay; what is deleted is back after a reboot", () => {
  const operators = [
    operator("/etc", { via: "overlay" }),
    memory("/etc/inner"),
    memory("/opt"),
    operator("/var"),
    memory("/var/lib/app"),
  ];
  const disk = makeFilesystem("ext4");
  boot({ disk, operators }, () => {
    rmSync(`${root}/opt/note`);
    write("/etc/inner/x", "x");
    write("/var/lib/app/shipped", "changed");
    assert.equal([modeOf("/var/lib/app"), lstatSync(`${root}/var/lib/app`).uid], [0o2751, 12]);
  });
  boot({ disk, operators }, () => {
    assert.is(read("/opt/note"), "note v1");
    assert.is(read("/var/lib/app/shipped"), "shipped v1");
    assert.not(existsSync(`${root}/etc/inner/x`));
  });
});

test("a link is made where it may be, what is in its place is set aside, and a wrong one in the image is an error", () => {
  const disk = makeFilesystem("ext4");
  const operators = [
    operator("/etc", { via: "overlay" }),
    link("/etc/deep/er/link", "/run/x"),
    link("/etc/hosts", "/run/hosts"),
    link("/etc/motd", "/run/motd"),
    link("/run/app/link", "/srv"),
  ];
  const prepare = (data: string) => {
    mkdirSync(`${data}/gens/000001/ovl/etc/upper`, { recursive: true });
    mkdirSync(`${data}/gens/000001/ovl/etc/upper/motd.replaced/old`, { recursive: true });
    symlinkSync("/elsewhere", `${data}/gens/000001/ovl/etc/upper/motd`);
  };
  boot({ disk, operators, prepare }, ({ warnings, degraded }) => {
    assert.equal(degraded, []);
    assert.equal(warnings, [
      "/etc/hosts was a file, which is now hosts.replaced beside it",
      "/etc/motd was a symlink, which is now motd.replaced beside it",
    ]);
    assert.is(readlinkSync(`${root}/etc/deep/er/link`), "/run/x");
    assert.is(readlinkSync(`${root}/etc/hosts`), "/run/hosts");
    assert.is(read("/etc/hosts.replaced"), "hosts v1");
    assert.is(readlinkSync(`${root}/etc/motd.replaced`), "/elsewhere");
    assert.is(readlinkSync(`${run}/app/link`), "/srv");
  });
  boot({ disk, operators }, ({ warnings }) => assert.equal(warnings, [], "the second boot finds the links"));
  for (const [wrong, message] of [
    [link("/linked", "/run/x"), /has a link to \/tmp there; make it a link to \/run\/x/],
    [link("/opt/note", "/run/x"), /has no link there/],
    [link("/opt/nothing", "/run/x"), /has no link there/],
    [link("/nowhere/at/all", "/run/x"), /nowhere.*ENOENT/],
  ] as const) {
    assert.throws(() => boot({ disk, operators: [wrong] }, () => {}), message);
    boot({ disk, operators: [{ ...wrong, onFailure: "degraded" }] }, ({ degraded }) => {
      assert.is(degraded[0]?.path, wrong.path);
      assert.match(degraded[0]?.reason ?? "", /it stays what it was$/);
    });
  }
  boot({ disk, operators: [link("/linked", "/tmp")] }, (result) => assert.equal(result, { degraded: [], warnings: [] }));
});

test("a directory of the image cannot be set aside in an overlay, and the error says what to do", () => {
  const operators = [operator("/etc", { via: "overlay" }), link("/etc/inner", "/run/inner")];
  assert.throws(
    () => boot({ disk: makeFilesystem("ext4"), operators }, () => {}),
    /the image has a directory there, which an overlay cannot rename/,
  );
});

test("what is in a mount point's place inside a store is set aside", () => {
  const disk = makeFilesystem("ext4");
  const operators = [
    operator("/var", { seed: "none" }),
    operator("/var/log", { state: "shared", reason: "r" }),
    file("/var/token", { state: "persistent", generate: "random" }),
  ];
  const prepare = (data: string) => {
    mkdirSync(`${data}/gens/000001/tree/var/token/inner`, { recursive: true });
    symlinkSync(`${scratch}`, `${data}/gens/000001/tree/var/log`);
  };
  boot({ disk, operators, prepare }, ({ warnings }) => {
    assert.equal(warnings, [
      "/var/log was a symlink, which is now log.replaced beside it",
      "/var/token was a directory, which is now token.replaced beside it",
    ]);
    assert.is(read("/var/log/first"), "log v1");
    assert.is(readlinkSync(`${root}/var/log.replaced`), scratch);
    assert.ok(existsSync(`${root}/var/token.replaced/inner`));
  });
});

test("a shared store goes on under its former name, and a new one gets the new", () => {
  const disk = makeFilesystem("ext4");
  const before = operator("/srv", { id: "old", state: "shared", reason: "r", seed: "none" });
  const after = { ...before, id: "new", renamedFrom: "old" };
  boot({ disk, operators: [before] }, () => write("/srv/x", "kept"));
  boot({ disk, operators: [after] }, () => {
    assert.is(read("/srv/x"), "kept");
    write("/srv/y", "also");
  });
  boot({ disk, operators: [before], prepare: (data) => assert.not(existsSync(`${data}/shared/new`)) }, () => {
    assert.is(read("/srv/y"), "also", "the old image finds what the new one wrote");
  });
  const other = makeFilesystem("ext4");
  boot({ disk: other, operators: [after] }, () => write("/srv/x", "new"));
  const look = (data: string) => assert.equal(readdirSync(`${data}/shared`), ["new"]);
  boot({ disk: other, operators: [before], prepare: look }, () => write("/srv/x", "an old image came later"));
  boot({ disk: other, operators: [after] }, () => assert.is(read("/srv/x"), "new", "its own name comes first"));
});

test("modes, owners and labels are as declared at every boot, those not declared stay", () => {
  const disk = makeFilesystem("ext4");
  const plain = operator("/srv", { state: "shared", reason: "r", seed: "none" });
  boot({ disk, operators: [{ ...plain, mode: 0o2770, owner: 3, group: 4, context: label }] }, () => {
    const { uid, gid } = lstatSync(`${root}/srv`);
    assert.equal([modeOf("/srv"), uid, gid], [0o2770, 3, 4]);
    program("chown", "9:9", `${root}/srv`);
    chmodSync(`${root}/srv`, 0o777);
  });
  boot({ disk, operators: [plain] }, () => assert.equal([modeOf("/srv"), lstatSync(`${root}/srv`).uid], [0o777, 9]));
  boot({ disk, operators: [{ ...plain, mode: 0o2770, owner: 3, context: "other:label" }] }, () => {
    const { uid, gid } = lstatSync(`${root}/srv`);
    assert.equal([modeOf("/srv"), uid, gid], [0o2770, 3, 9]);
    assert.is(labelOf(`${root}/srv`), "other:label\0");
  });
});

test("what was generated stays, unless it is empty; a literal is written once", () => {
  const disk = makeFilesystem("ext4");
  const operators = [
    file("/etc/hosts", { state: "shared", reason: "r", seed: "literal", literal: "first" }),
    file("/etc/motd", { state: "identity", generate: "uuid" }),
    file("/etc/seal", { state: "identity", generate: "random" }),
  ];
  const prepare = (data: string) => {
    writeFileSync(`${data}/shared/etc-hosts`, "");
    writeFileSync(`${data}/shared/etc-motd`, "\n");
    writeFileSync(`${data}/shared/etc-seal`, "somebody's own key");
  };
  boot({ disk, operators, prepare }, () => {
    assert.is(read("/etc/hosts"), "");
    assert.match(read("/etc/motd"), /^[0-9a-f-]{36}\n$/);
    assert.is(read("/etc/seal"), "somebody's own key");
  });
});

test("without a data filesystem: what needs none is laid, what may be degraded is in memory with its content", () => {
  const operators = [
    operator("/etc", { via: "overlay", onFailure: "degraded" }),
    file("/etc/hosts", { state: "shared", reason: "r", seed: "literal", literal: "literal", onFailure: "degraded" }),
    file("/etc/motd", { state: "identity", generate: "uuid", onFailure: "degraded" }),
    readonly("/etc/seal", { kind: "file" }),
    mask("/etc/secret", { kind: "file" }),
    memory("/opt"),
  ];
  boot({ disk: null, operators }, ({ degraded, warnings }) => {
    assert.equal(warnings, []);
    assert.equal(
      degraded.map(({ path }) => path),
      ["/etc", "/etc/hosts", "/etc/motd"],
    );
    assert.is(read("/etc/hosts"), "literal");
    assert.match(read("/etc/motd"), /^[0-9a-f-]{36}\n$/);
    assert.is(read("/etc/seal"), "seal v1");
    assert.is(read("/etc/secret"), "");
    assert.is(read("/opt/note"), "note v1");
  });
});

test.after(cleanUp);
test.run();
