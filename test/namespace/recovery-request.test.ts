/** The file that asks for a recovery, on filesystems of the kernel's own. */
import { existsSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import type { Kernel, OpenOptions, Path } from "../../init/kernel/kernel.ts";
import { takeRequest } from "../../init/recovery/request-file.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { sampleControl } from "../samples/control-file.ts";
import { attach, detach, kernel, program, scratch } from "./state-machine.ts";

const place = `${scratch}/looked-at`;
mkdirSync(place);

/** What PID 1 says stays here. */
const kmsg = `${scratch}/kmsg`;
writeFileSync(kmsg, "");
const ours: Kernel = Object.assign(Object.create(kernel), {
  open: (path: Path, flags: number, options?: OpenOptions) =>
    kernel.open(/kmsg$/.test(String(path)) ? kmsg : path, flags, options),
});

/** A filesystem in a file, with what `fill` puts on it. */
function medium(name: string, make: readonly string[], fill: () => void): string {
  const file = `${scratch}/${name}.medium`;
  writeFileSync(file, "");
  truncateSync(file, 48 * 1024 * 1024);
  const [mkfs = "", ...options] = make;
  program(mkfs, ...options, file);
  program("mount", file, place);
  fill();
  program("umount", place);
  return file;
}

async function ask(file: string, readOnly = false) {
  const path = readOnly ? program("losetup", "--find", "--show", "--read-only", file) : attach(file);
  const found: BlockDevice = { ...NO_DEVICE, path, readOnly };
  const control = sampleControl({
    data: null,
    recovery: { ...DEFAULT_RECOVERY, request: { device: "LABEL=x", path: "boot/recover" } },
  });
  const launch = new Launch(ours, new Log(ours), { ...control, digest: "" }, parseCommandLine(""));
  try {
    const answer = await takeRequest(launch, { look: () => ({ found }) }, null);
    assert.not.match(program("cat", "/proc/self/mountinfo"), "/run/slipway/request", "nothing stays mounted");
    return { asks: answer?.asks ?? null, warnings: launch.warnings };
  } finally {
    detach(path);
  }
}

const NO_DEVICE: BlockDevice = {
  ...{ name: "loop", path: "", number: { major: 7, minor: 0 }, sizeBytes: 0n, readOnly: false },
  ...{ disk: null, partition: null, partlabel: null, partuuid: null, superblock: null },
};

const known = readFileSync("/proc/filesystems", "utf8");
const kinds = (
  [
    ["ext4", ["mkfs.ext4", "-q", "-F"]],
    ["ext2", ["mkfs.ext2", "-q", "-F"]],
    ["vfat", ["mkfs.vfat"]],
  ] satisfies [string, string[]][]
).filter(([name]) => new RegExp(`\\t${name}$`, "m").test(known));

for (const [name, make] of kinds) {
  test(`${name}: a file asks once, and what lies beside it stays`, async () => {
    const file = medium(name, make, () => {
      mkdirSync(`${place}/boot`);
      writeFileSync(`${place}/boot/recover`, "reinstall\n");
      writeFileSync(`${place}/boot/loader`, "stays");
    });
    assert.equal(await ask(file), { asks: "reinstall", warnings: [] });
    assert.equal(await ask(file), { asks: null, warnings: [] });
    program("mount", "-o", "ro", file, place);
    assert.equal([existsSync(`${place}/boot/recover`), existsSync(`${place}/boot/loader`)], [false, true]);
    program("umount", place);
  });
}

test("a write-protected medium is not obeyed, now and at the next boot", async () => {
  const file = medium("protected", ["mkfs.ext4", "-q", "-F"], () => {
    mkdirSync(`${place}/boot`);
    writeFileSync(`${place}/boot/recover`, "");
  });
  for (let boot = 0; boot < 2; boot++) {
    const { asks, warnings } = await ask(file, true);
    assert.is(asks, null);
    assert.match(warnings.join(), /cannot be removed \((EROFS|EACCES)\)/);
  }
});

test("a link that leads out of the medium asks for nothing, and what it leads to is untouched", async () => {
  const victim = `${scratch}/victim`;
  writeFileSync(victim, "repair");
  for (const fill of [
    () => {
      mkdirSync(`${place}/boot`);
      symlinkSync(victim, `${place}/boot/recover`);
    },
    () => {
      writeFileSync(`${scratch}/recover`, "repair");
      symlinkSync(scratch, `${place}/boot`);
    },
  ]) {
    const { asks, warnings } = await ask(medium("link", ["mkfs.ext4", "-q", "-F"], fill));
    assert.is(asks, null);
    assert.match(warnings.join(), "is a link, or lies behind one");
  }
  assert.ok(existsSync(victim) && existsSync(`${scratch}/recover`));
});

test.run();
