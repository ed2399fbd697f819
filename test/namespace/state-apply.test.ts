import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { KernelError } from "../../init/kernel/kernel.ts";
import { detachDataFilesystem } from "../../init/state/data-filesystem.ts";
import { StateFailure } from "../../init/state/state-failure.ts";
import { boot, codeOf, images, machineId, mountOf, operator, read, root, run, write } from "./state-boots.ts";
import { cleanUp, filesystems, kernel, makeFilesystem, mountDisk, program, scratch, unmountAll } from "./state-machine.ts";

for (const type of filesystems) {
  test(`${type}: bind, overlay and tmpfs, over two boots and an update of the image`, () => {
    const disk = makeFilesystem(type);
    const operators = [
      operator("/etc", { via: "overlay" }),
      machineId,
      operator("/home", { mode: 0o711, owner: 5, group: 6 }),
      operator("/opt", { state: "ephemeral", via: "tmpfs" }),
      operator("/run/app", { state: "ephemeral", via: "tmpfs", seed: "none", mode: 0o750, owner: 9, group: 9 }),
      operator("/srv", { state: "ephemeral", via: "tmpfs", seed: "none", size: 1 << 20, mode: 0o1777 }),
      operator("/var", { seed: "image" }),
      operator("/var/log", { state: "shared", reason: "evidence" }),
    ];
    let id = "";
    boot({ type, disk, operators }, (result) => {
      assert.equal(result, { degraded: [], warnings: [] });
      id = read("/etc/machine-id");
      assert.match(id, /^[0-9a-f]{32}\n$/);
      assert.is(lstatSync(`${root}/etc/machine-id`).mode & 0o7777, 0o444);
      assert.is(
        codeOf(() => write("/usr/program", "no")),
        "EROFS",
      );
      write("/etc/hosts", "hosts of mine");
      rmSync(`${root}/etc/motd`);
      write("/home/file", "kept");
      write("/opt/note", "changed");
      write("/var/lib/app/shipped", "changed");
      write("/var/log/first", "more");
      write("/srv/small", "x");
      assert.is(
        codeOf(() => write("/srv/big", "x".repeat(2 << 20))),
        "ENOSPC",
      );
      const app = lstatSync(`${root}/var/lib/app`);
      assert.equal([app.mode & 0o7777, app.uid, app.gid], [0o2751, 12, 34]);
      const home = lstatSync(`${root}/home`);
      assert.equal([home.mode & 0o7777, home.uid, home.gid], [0o711, 5, 6]);
      assert.is(lstatSync(`${root}/srv`).mode & 0o7777, 0o1777);
      const runtime = lstatSync(`${run}/app`);
      assert.equal([runtime.mode & 0o7777, runtime.uid, runtime.gid], [0o750, 9, 9]);
      assert.not(existsSync(`${root}/run/app`), "what is below /run is made on /run's own tmpfs");
      for (const path of ["/etc", "/etc/machine-id", "/home", "/opt", "/srv", "/var", "/var/log"]) {
        const { flags } = mountOf(`${root}${path}`);
        assert.ok(flags.includes("nosuid") && flags.includes("nodev"), `${path} has ${flags}`);
      }
      assert.is(mountOf(`${root}/home`).filesystem, type);
      assert.ok(mountOf(`${root}/home`).flags.includes("relatime"));
      const { options } = mountOf(`${root}/etc`);
      for (const word of ["index=on", "metacopy=on", "redirect_dir=on", "xino=on", "xino=auto"])
        assert.not(options.includes(word));
      assert.is(mountOf(`${root}/etc`).filesystem, "overlay");
      chmodSync(`${root}/home`, 0o777);
    });
    boot({ type, disk, operators, image: images.v2 }, (result) => {
      assert.equal(result, { degraded: [], warnings: [] });
      assert.is(read("/etc/machine-id"), id);
      assert.is(read("/etc/hosts"), "hosts of mine");
      assert.not(existsSync(`${root}/etc/motd`), "the whiteout holds");
      assert.is(read("/home/file"), "kept");
      assert.is(lstatSync(`${root}/home`).mode & 0o7777, 0o711, "declared modes are applied at every boot");
      assert.is(read("/opt/note"), "note v2");
      assert.is(read("/var/lib/app/shipped"), "changed");
      assert.is(read("/var/log/first"), "more");
    });
    boot({ type, disk, operators, generation: "gens/000002", prepare: (data) => mkdirSync(`${data}/gens/000002`) }, () => {
      assert.is(read("/etc/hosts"), "hosts v1", "another generation has its own upper layer");
      assert.is(read("/var/lib/app/shipped"), "shipped v1");
      assert.is(read("/var/log/first"), "more", "shared state is the same in every generation");
      assert.is(read("/etc/machine-id"), id);
    });
  });
}

test("a child's store starts with the image's content, though its parent is mounted over it", () => {
  const disk = makeFilesystem("ext4");
  const operators = [operator("/var", { seed: "none" }), operator("/var/log", { state: "shared", reason: "evidence" })];
  boot({ disk, operators }, () => {
    assert.not(existsSync(`${root}/var/lib`));
    assert.is(read("/var/log/first"), "log v1");
  });
});

test("a mount point that is gone from the store above it is made again", () => {
  const disk = makeFilesystem("ext4");
  const operators = [operator("/var"), operator("/var/lib/app")];
  boot({ disk, operators }, () => write("/var/lib/app/mine", "x"));
  boot({ disk, operators, prepare: (data) => rmSync(`${data}/gens/000001/tree/var/lib`, { recursive: true }) }, () => {
    assert.is(read("/var/lib/app/mine"), "x");
  });
});

test("a mount point that the image lacks names the remedy", () => {
  const disk = makeFilesystem("ext4");
  const missing = operator("/data/app", { seed: "none", origin: "app/state.yaml:7" });
  assert.throws(
    () => boot({ disk, operators: [missing] }, () => {}),
    /state \/data\/app \(app\/state\.yaml:7\): .*does not exist in the image.*at build time/,
  );
});

test("a machine id that is no machine id is replaced, a valid one is kept", () => {
  const disk = makeFilesystem("ext4");
  const given = "0123456789abcdef0123456789abcdef";
  for (const [before, kept] of [
    ["uninitialized\n", false],
    ["", false],
    [`${"0".repeat(32)}\n`, false],
    [`${given.toUpperCase()}\n`, false],
    [given, true],
    [`${given}\n`, true],
  ] as const) {
    boot({ disk, operators: [machineId], prepare: (data) => writeFileSync(`${data}/shared/etc-machine-id`, before) }, () => {
      assert.is(read("/etc/machine-id") === before, kept, JSON.stringify(before));
      assert.match(read("/etc/machine-id"), /^[0-9a-f]{32}\n?$/);
    });
  }
});

test("an interrupted seed is made again", () => {
  const disk = makeFilesystem("ext4");
  const half = (data: string) => {
    mkdirSync(`${data}/gens/000001/tree/.seed-var/half`, { recursive: true });
  };
  boot({ disk, operators: [operator("/var")], prepare: half }, () => {
    assert.not(existsSync(`${root}/var/half`));
    assert.is(read("/var/lib/app/shipped"), "shipped v1");
  });
});

/** Ways in which a data partition may try to lead a mount elsewhere. The secret must not become visible or be changed. */
const secret = `${scratch}/secret`;
const hostile: Record<string, (data: string) => void> = {
  "a link in a store's place": (data) => symlinkSync(secret, `${data}/gens/000001/tree/home`),
  "a relative link in a store's place": (data) => symlinkSync("../../../../secret", `${data}/gens/000001/tree/home`),
  "a link in the place of the stores": (data) => {
    rmSync(`${data}/gens/000001/tree`, { recursive: true });
    symlinkSync(scratch, `${data}/gens/000001/tree`);
  },
  "a link in a generation's place": (data) => {
    renameSync(`${data}/gens/000001`, `${data}/gens/000003`);
    symlinkSync("000003", `${data}/gens/000001`);
  },
  "a link in the place of gens": (data) => {
    renameSync(`${data}/gens`, `${data}/elsewhere`);
    symlinkSync("elsewhere", `${data}/gens`);
  },
  "a file in a store's place": (data) => writeFileSync(`${data}/gens/000001/tree/home`, "x"),
};

for (const [what, prepare] of Object.entries(hostile)) {
  test(`${what} mounts nothing: required fails, degraded gets a tmpfs`, () => {
    mkdirSync(`${secret}`, { recursive: true });
    writeFileSync(`${secret}/key`, "secret");
    const modeBefore = lstatSync(secret).mode;
    const home = operator("/home", { mode: 0o777, owner: 99 });
    const disk = makeFilesystem("ext4");
    try {
      boot({ disk, operators: [home], prepare }, () => assert.unreachable("the state was laid"));
      assert.unreachable("no error");
    } catch (error) {
      if (!(error instanceof StateFailure)) throw error;
      assert.is(error.path, "/home");
      assert.match(error.message, /\(test\/state\.yaml:1\).*(ELOOP|ENOTDIR)/);
    }
    const other = makeFilesystem("ext4");
    boot({ disk: other, operators: [{ ...home, onFailure: "degraded" }], prepare }, ({ degraded }) => {
      assert.equal(
        degraded.map((entry) => entry.path),
        ["/home"],
      );
      assert.match(degraded[0]?.reason ?? "", /ELOOP|ENOTDIR/);
      assert.is(mountOf(`${root}/home`).filesystem, "tmpfs");
      assert.not(existsSync(`${root}/home/key`));
    });
    assert.is(lstatSync(secret).mode, modeBefore);
    assert.is(lstatSync(secret).uid, 0);
  });
}

test("a link in the place of an overlay's layers or of a file mounts nothing", () => {
  const disk = makeFilesystem("ext4");
  const etc = operator("/etc", { via: "overlay" });
  const prepare = (data: string) => {
    mkdirSync(`${data}/gens/000001/ovl/etc`, { recursive: true });
    symlinkSync(secret, `${data}/gens/000001/ovl/etc/upper`);
  };
  assert.throws(() => boot({ disk, operators: [etc], prepare }, () => {}), /ELOOP|ENOTDIR/);
  const work = makeFilesystem("ext4");
  boot(
    {
      disk: work,
      operators: [etc],
      prepare: (data) => {
        mkdirSync(`${data}/gens/000001/work`, { recursive: true });
        symlinkSync(secret, `${data}/gens/000001/work/etc`);
      },
    },
    () => write("/etc/hosts", "changed"),
  );
  assert.is(readFileSync(`${secret}/key`, "utf8"), "secret", "the link was removed, not what it leads to");
  const file = makeFilesystem("ext4");
  const link = (data: string) => symlinkSync(`${secret}/key`, `${data}/shared/etc-machine-id`);
  assert.throws(() => boot({ disk: file, operators: [machineId], prepare: link }, () => {}), /which is a symlink/);
  const fifo = (data: string) => {
    rmSync(`${data}/shared/etc-machine-id`, { force: true });
    program("mkfifo", `${data}/shared/etc-machine-id`);
  };
  assert.throws(() => boot({ disk: file, operators: [machineId], prepare: fifo }, () => {}), /which is a fifo/);
});

test("a link in the image's path is never followed", () => {
  const disk = makeFilesystem("ext4");
  assert.throws(() => boot({ disk, operators: [operator("/linked", { seed: "none" })] }, () => {}), /ELOOP|ENOTDIR/);
});

test("without a data filesystem, what may be degraded is in memory", () => {
  const operators = [
    operator("/etc", { via: "overlay", onFailure: "degraded" }),
    operator("/var", { onFailure: "degraded" }),
    { ...machineId, path: "/etc/machine-id", onFailure: "degraded" as const },
  ];
  boot({ disk: null, operators }, ({ degraded }) => {
    assert.equal(
      degraded.map((entry) => entry.path),
      ["/etc", "/var", "/etc/machine-id"],
    );
    assert.is(read("/etc/hosts"), "hosts v1");
    assert.is(read("/var/lib/app/shipped"), "shipped v1");
    assert.match(read("/etc/machine-id"), /^[0-9a-f]{32}\n$/);
    write("/etc/hosts", "changed");
  });
});

test("the data filesystem is detached, and its binds stay", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  mkdirSync(`${disk.place}/store`);
  const target = `${scratch}/target`;
  mkdirSync(target);
  kernel.mount(`${disk.place}/store`, target, "", 4096, "");
  const copy = `${scratch}/second`;
  mkdirSync(copy);
  kernel.mount(disk.place, copy, "", 4096, "");
  detachDataFilesystem(kernel, copy);
  assert.not(existsSync(copy), "nothing is left where it was mounted");
  assert.throws(
    () => detachDataFilesystem(kernel, copy),
    (error: unknown) => error instanceof KernelError && error.code === "ENOENT",
  );
  writeFileSync(`${target}/x`, "x");
  unmountAll(target);
  disk.close();
});

test.after(cleanUp);
test.run();
