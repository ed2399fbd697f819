import { mkdtempSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { IOCTL, MNT, MS, O } from "../../init/kernel/constants.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { file } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { Ended, PowerCut } from "../../init/kernel/recording/script.ts";
import { matchesGolden } from "../golden.ts";
import { bench, results, scripts } from "./file-scripts.ts";

const refusal = process.getuid?.() === 0 ? null : "comparing with the real kernel needs root";

for (const [name, steps] of Object.entries(scripts)) {
  test(`same as Linux: ${name}`, () => {
    if (refusal) throw new Error(refusal);
    const real = mkdtempSync("/tmp/slipway-recording-");
    const former = process.umask(0o022);
    try {
      const kernel = new RecordingKernel({ initramfs: { tmp: {} } });
      kernel.plant("/proc", { version: "Linux\n" });
      assert.fixture(results(steps, bench(kernel, "/tmp")), results(steps, bench(linuxKernel(), real)));
    } finally {
      process.umask(former);
      rmSync(real, { recursive: true, force: true });
    }
  });
}

/** The code a call failed with, "none" where it did not. */
function failure(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
  return "none";
}

/** What ended the world. */
function ending(body: () => unknown): Ended | PowerCut {
  try {
    body();
  } catch (error) {
    if (error instanceof Ended || error instanceof PowerCut) return error;
    throw error;
  }
  throw new Error("the program went on");
}

function machine(): RecordingKernel {
  const kernel = new RecordingKernel({ initramfs: { sysroot: {}, run: {}, etc: { "initrd-release": "" } } });
  const disk = kernel.addDevice({ path: "/dev/vda", number: { major: 252, minor: 0 }, size: 8 << 20 });
  kernel.addDevice({
    path: "/dev/vda1",
    number: { major: 252, minor: 1 },
    size: 1 << 20,
    partition: { of: disk, number: 1, start: 1 << 20, label: "boot-record" },
  });
  kernel.addDevice({
    path: "/dev/vda2",
    number: { major: 252, minor: 2 },
    size: 2 << 20,
    partition: { of: disk, number: 2, start: 2 << 20, label: "root-a" },
    filesystem: {
      type: "erofs",
      tree: { "sbin/init": file("elf", { mode: 0o755 }), etc: { hostname: "a\n" }, var: {}, proc: {}, sys: {}, dev: {}, run: {} },
    },
  });
  kernel.addDevice({
    path: "/dev/vda3",
    number: { major: 252, minor: 3 },
    size: 4 << 20,
    partition: { of: disk, number: 3, start: 4 << 20, label: "sys-data" },
    filesystem: { type: "ext4", tree: { LAYOUT: "1\n" } },
  });
  return kernel;
}

function writeFile(kernel: Kernel, path: string, text: string): void {
  const fd = kernel.open(path, O.WRONLY | O.CREAT | O.TRUNC, { mode: 0o644 });
  kernel.write(fd, new TextEncoder().encode(text), null);
  kernel.close(fd);
}

test("a partition is a part of its disk, and sysfs and uevents tell of both", () => {
  const kernel = machine();
  const part = kernel.open("/dev/vda1", O.RDWR);
  kernel.write(part, new TextEncoder().encode("record"), 4096n);
  const disk = kernel.open("/dev/vda", O.RDONLY);
  assert.is(Buffer.from(kernel.read(disk, 6, BigInt((1 << 20) + 4096))).toString(), "record");
  assert.is(
    failure(() => kernel.write(part, new Uint8Array(2), BigInt((1 << 20) - 1))),
    "ENOSPC",
  );
  const size = new Uint8Array(8);
  kernel.ioctl(part, IOCTL.BLKGETSIZE64, size);
  assert.is(new DataView(size.buffer).getBigUint64(0, true), BigInt(1 << 20));
  kernel.ioctl(part, IOCTL.BLKROSET, new Uint8Array([1, 0, 0, 0]));
  assert.is(
    failure(() => kernel.write(part, new Uint8Array(2), 0n)),
    "EPERM",
  );
  assert.match(kernel.peek("/sys/class/block/vda2/uevent") ?? "", "PARTNAME=root-a");
  assert.is(kernel.peek("/sys/class/block/vda2/../size"), `${(8 << 20) / 512}\n`);
  assert.is(
    kernel.trace,
    [
      'write("/dev/vda1", "record", at 0x1000)',
      'write("/dev/vda1", "\\u0000\\u0000", at 0xfffff) = ENOSPC',
      'ioctl("/dev/vda1", BLKROSET, [1])',
      'write("/dev/vda1", "\\u0000\\u0000", at 0x0) = EPERM',
      "",
    ]
      .join("\n")
      .replaceAll('"\\u0000\\u0000"', "2 bytes, sha256 96a296d224f2"),
  );
});

test("a device that comes later sends a uevent, and poll lets time pass until then", () => {
  const kernel = new RecordingKernel({ startMs: 1000, stepMs: 1 });
  const uevents = kernel.openUevents();
  kernel.addDevice({ path: "/dev/vdb", number: { major: 252, minor: 16 }, size: 4096 }, 3000);
  assert.is(
    failure(() => kernel.open("/dev/vdb", O.RDONLY)),
    "ENOENT",
  );
  assert.is(
    failure(() => kernel.read(uevents, 4096, null)),
    "EAGAIN",
  );
  assert.equal(kernel.poll([uevents], 500), []);
  assert.equal(kernel.poll([uevents], 30_000), [uevents]);
  assert.ok(kernel.now().bootMs >= 3000 && kernel.now().bootMs < 3010);
  assert.match(Buffer.from(kernel.read(uevents, 4096, null)).toString(), /^add@\/devices\/.*DEVNAME=vdb\0/);
  kernel.close(kernel.open("/dev/vdb", O.RDONLY));
});

test("switching the root: moved mounts, the old root until chroot, a clean descriptor table", () => {
  const kernel = machine();
  assert.is(
    failure(() => kernel.mount("/dev/vda2", "/sysroot", "ext4", MS.RDONLY, "")),
    "EINVAL",
  );
  assert.is(
    failure(() => kernel.mount("/dev/vda9", "/sysroot", "erofs", MS.RDONLY, "")),
    "ENOENT",
  );
  assert.is(
    failure(() => kernel.mount("/etc", "/sysroot", "erofs", MS.RDONLY, "")),
    "ENOTBLK",
  );
  kernel.mount("/dev/vda2", "/sysroot", "erofs", MS.RDONLY | MS.NODEV, "");
  assert.is(
    failure(() => writeFile(kernel, "/sysroot/etc/new", "x")),
    "EROFS",
  );
  for (const name of ["proc", "sys", "dev", "run"]) {
    if (name !== "run") kernel.mount(`/${name}`, `/sysroot/${name}`, "", MS.MOVE, "");
  }
  const root = kernel.open("/sysroot", O.PATH | O.DIRECTORY);
  kernel.changeDirectory(root);
  kernel.close(root);
  kernel.mount(".", "/", "", MS.MOVE, "");
  assert.is(kernel.peek("/etc/initrd-release"), "", "absolute paths still lead into the old root");
  kernel.changeRoot(".");
  assert.is(kernel.peek("/etc/initrd-release"), null);
  assert.equal(kernel.mounts(), [
    "/ rootfs rootfs rw",
    "/proc proc proc rw,nosuid",
    "/sys sysfs sysfs rw,nosuid",
    "/dev devtmpfs devtmpfs rw,nosuid",
    "/ erofs /dev/vda2 ro,nodev",
  ]);
  const end = ending(() => kernel.exec("/sbin/init", ["init"], { TERM: "linux", HOME: "/" }));
  assert.ok(end instanceof Ended && end.how.kind === "exec");
  assert.is(
    ending(() => kernel.now()),
    end,
    "nothing runs after the handover",
  );
  assert.equal([...kernel.openDescriptors().values()], ["/dev/console", "/dev/console", "/dev/console"]);
  matchesGolden("recording-switch-root", kernel.trace);
});

test("rules let calls fail, so often as they say", () => {
  const kernel = machine();
  kernel.failOn({ call: "mount", match: /vda3/, code: "EIO", times: 1 });
  assert.is(
    failure(() => kernel.mount("/dev/vda3", "/sysroot", "ext4", 0, "")),
    "EIO",
  );
  assert.is(
    failure(() => kernel.mount("/dev/vda3", "/sysroot", "ext4", 0, "")),
    "none",
  );
  kernel.failOn({ call: "sync", code: "ENOSPC", after: 1 });
  const fd = kernel.open("/sysroot/LAYOUT", O.RDWR);
  assert.is(
    failure(() => kernel.sync(fd)),
    "none",
  );
  assert.is(
    failure(() => kernel.sync(fd)),
    "ENOSPC",
  );
  assert.match(kernel.trace, 'fsync("/sysroot/LAYOUT") = ENOSPC');
});

test("a power cut keeps the disk and nothing else; a torn write keeps its beginning", () => {
  const kernel = machine();
  const device = kernel.addDevice({ path: "/dev/vdz", number: { major: 252, minor: 99 }, size: 8192 });
  kernel.crashAfter(1, 3);
  const fd = kernel.open("/dev/vdz", O.WRONLY);
  kernel.write(fd, new TextEncoder().encode("first"), 0n);
  const cut = ending(() => kernel.write(fd, new TextEncoder().encode("SECOND"), 0n));
  assert.ok(cut instanceof PowerCut && cut.effects === 1);
  assert.is(
    ending(() => kernel.close(fd)),
    cut,
  );
  const next = new RecordingKernel();
  next.addDevice(device);
  const again = next.open("/dev/vdz", O.RDONLY);
  assert.is(Buffer.from(next.read(again, 5, 0n)).toString(), "SECst");
});

test("what was not synced may be lost: metadata since the last commit, data since the last sync", () => {
  const kernel = machine();
  const data = kernel.addDevice({
    path: "/dev/vdd",
    number: { major: 252, minor: 48 },
    size: 4096,
    filesystem: { type: "ext4", tree: { kept: "old" } },
  });
  kernel.mount("/dev/vdd", "/sysroot", "ext4", 0, "");
  writeFile(kernel, "/sysroot/unsynced", "data");
  writeFile(kernel, "/sysroot/kept", "new");
  const other = kernel.open("/sysroot/other", O.WRONLY | O.CREAT);
  kernel.write(other, new TextEncoder().encode("synced"), null);
  kernel.sync(other);
  writeFile(kernel, "/sysroot/later", "gone");
  kernel.crashAfter(kernel.effects, 0, "lost");
  ending(() => kernel.makeDirectory("/sysroot/never", 0o755));
  const next = new RecordingKernel({ initramfs: { sysroot: {} } });
  next.addDevice(data);
  next.mount("/dev/vdd", "/sysroot", "ext4", 0, "");
  assert.equal(next.list("/sysroot"), ["/sysroot/kept", "/sysroot/other", "/sysroot/unsynced"]);
  assert.is(next.peek("/sysroot/other"), "synced");
  assert.is(next.peek("/sysroot/unsynced"), "", "the name is in the journal, the data never left the memory");
});

test("children end when their rule says", () => {
  const kernel = new RecordingKernel({ initramfs: { bin: { sh: file("", { mode: 0o755 }), data: "" } }, stepMs: 1 });
  kernel.onSpawn({ match: /slow/, afterMs: 100, signal: 9 });
  const slow = kernel.spawn("/bin/sh", ["sh", "slow"], {});
  const quick = kernel.spawn("/bin/sh", ["sh"], { A: "1" });
  assert.equal(kernel.reap(), { pid: quick, exitCode: 0, signal: null });
  assert.is(kernel.reap(), null);
  kernel.poll([], 200);
  assert.equal(kernel.reap(), { pid: slow, exitCode: null, signal: 9 });
  assert.is(
    failure(() => kernel.spawn("/bin/data", ["data"], {})),
    "EACCES",
  );
  assert.is(
    failure(() => kernel.exec("/bin/none", ["none"], {})),
    "ENOENT",
  );
});

test("a detached mount is gone for paths and lives for descriptors", () => {
  const kernel = machine();
  kernel.mount("/dev/vda3", "/sysroot", "ext4", 0, "");
  const fd = kernel.open("/sysroot/LAYOUT", O.RDONLY);
  assert.is(
    failure(() => kernel.unmount("/sysroot", 0)),
    "EBUSY",
  );
  kernel.unmount("/sysroot", MNT.DETACH);
  assert.is(kernel.peek("/sysroot/LAYOUT"), null);
  assert.is(Buffer.from(kernel.read(fd, 2, 0n)).toString(), "1\n");
});

test("a kernel is loaded from files, and a restart by kexec wants one", () => {
  const kernel = new RecordingKernel({ initramfs: { vmlinuz: "MZ", initrd: "070701", empty: {} } });
  assert.is(
    failure(() => kernel.reboot("kexec")),
    "EINVAL",
  );
  const [file, initrd] = [kernel.open("/vmlinuz", O.RDONLY), kernel.open("/initrd", O.RDONLY)];
  assert.is(
    failure(() => kernel.loadKexec(kernel.open("/empty", O.RDONLY | O.DIRECTORY), null, "")),
    "EINVAL",
  );
  assert.is(
    failure(() => kernel.loadKexec(99, null, "")),
    "EBADF",
  );
  kernel.failOn({ call: "loadKexec", code: "EKEYREJECTED", times: 1 });
  assert.throws(() => kernel.loadKexec(file, initrd, "quiet"), /kexec_file_load \/vmlinuz: EKEYREJECTED/);
  kernel.loadKexec(file, initrd, "quiet");
  kernel.unloadKexec();
  assert.is(
    failure(() => kernel.reboot("kexec")),
    "EINVAL",
  );
  kernel.loadKexec(file, initrd, "quiet");
  assert.equal(kernel.loadedKexec, { kernel: "/vmlinuz", initrd: "/initrd", commandLine: "quiet" });
  assert.throws(() => kernel.reboot("kexec"), /reboot kexec/);
  assert.match(kernel.trace, /load-kexec\("\/vmlinuz", "?\/initrd"?, "quiet"\)\nreboot\("kexec"\)/);
});

test("a restart passes the firmware its argument", () => {
  const plain = new RecordingKernel();
  assert.throws(() => plain.reboot("restart"), /reboot restart/);
  assert.match(plain.trace, /\nreboot\("restart"\)|^reboot\("restart"\)/);
  const kernel = new RecordingKernel();
  assert.throws(() => kernel.reboot("restart", "0 tryboot"), /reboot restart/);
  assert.match(kernel.trace, /reboot\("restart", "0 tryboot"\)/);
  const { end } = kernel;
  assert.equal(end instanceof Ended ? end.how : null, { kind: "reboot", how: "restart", argument: "0 tryboot" });
});

test("the real kernel refuses to load what is no open file, and without one there is nothing to start", () => {
  const kernel = linuxKernel();
  // Without the right to reboot EPERM comes first, in a kernel that is built without it ENOSYS.
  assert.match(
    failure(() => kernel.loadKexec(-1, null, "quiet")),
    /^(EBADF|EPERM|ENOSYS)$/,
  );
});

test("partitions come and go with their table, and by blkpg while they are in use", () => {
  const kernel = new RecordingKernel();
  const disk = kernel.addDevice({ path: "/dev/sdb", number: { major: 8, minor: 16 }, size: 64 * 1024 * 1024 });
  const fd = kernel.open("/dev/sdb", O.RDWR);
  const size = (name: string) => kernel.peek(`/sys/class/block/${name}/size`);
  kernel.changePartition(fd, { how: "add", number: 1, start: 1048576n, length: 2097152n });
  assert.is(size("sdb1"), "4096\n");
  assert.is(kernel.peek("/sys/class/block/sdb1/partition"), "1\n");
  const held = kernel.open("/dev/sdb1", O.RDONLY);
  kernel.changePartition(fd, { how: "resize", number: 1, start: 1048576n, length: 4194304n });
  assert.is(size("sdb1"), "8192\n");
  const change = (how: "add" | "resize", number: number, start: bigint, length: bigint) =>
    failure(() => kernel.changePartition(fd, { how, number, start, length }));
  assert.is(change("add", 1, 8388608n, 4096n), "EBUSY");
  assert.is(change("add", 2, 2097152n, 4096n), "EBUSY", "it overlaps");
  assert.is(change("resize", 2, 8388608n, 4096n), "ENXIO");
  assert.is(change("resize", 1, 2097152n, 4096n), "EINVAL", "its start stays");
  assert.is(change("add", 2, 8388608n, 1n << 40n), "EINVAL", "beyond the disk");
  assert.is(
    failure(() => kernel.ioctl(fd, IOCTL.BLKRRPART, 0)),
    "EBUSY",
  );
  kernel.close(held);
  kernel.ioctl(fd, IOCTL.BLKRRPART, 0);
  assert.is(size("sdb1"), null, "there is no table");
  assert.is(
    failure(() => kernel.ioctl(kernel.open("/dev/null", O.RDONLY), IOCTL.BLKRRPART, 0)),
    "ENOTTY",
  );
  assert.is(disk.path, "/dev/sdb");
});

test.run();
