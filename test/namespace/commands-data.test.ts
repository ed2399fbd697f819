/** The commands' own look at the data filesystem and at the image, on real filesystems. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withDataFilesystem, withImage } from "../../init/commands/data-access.ts";
import type { Machine } from "../../init/commands/machine.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import { readText, withDirectory, writeNewFile } from "../../init/state/beneath.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { report } from "../unit/commands-machine.ts";
import { controlFile } from "../unit/golden-machine.ts";
import {
  attach,
  cleanUp,
  countingKernel,
  filesystems,
  kernel,
  makeFilesystem,
  mountTmpfs,
  program,
  scratch,
  unmountAll,
} from "./state-machine.ts";

test.before(() => {
  mountTmpfs("/run");
  mkdirSync("/run/slipway");
});
test.after(cleanUp);

function refuses(run: () => unknown, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof Refusal && words.test(error.message));
}

function machineWith(change: Parameters<typeof report>[0]): Machine {
  const { control } = controlFile();
  return { report: report(change), control, policy: { slots: ["a", "b"], tries: control.tries, trust: control.trust } };
}

const mounted = () => program("cat", "/proc/self/mounts");

for (const type of filesystems) {
  test(`${type}: the data filesystem is seen beside the mounts of the boot, and gone afterwards`, () => {
    const device = attach(makeFilesystem(type));
    const uuid = program("blkid", "-c", "/dev/null", "-o", "value", "-s", "UUID", device);
    const machine = machineWith({ data: { device, filesystem: type, uuid } });
    const boot = `${scratch}/boot-${type}`;
    mkdirSync(boot);
    kernel.mount(device, boot, type, MS.NOSUID | MS.NODEV | MS.NOATIME, "");
    const before = mounted();
    const { kernel: counting, open } = countingKernel();
    const seen = withDataFilesystem(counting, machine, (data) => {
      writeNewFile(kernel, data, "note", "written", 0o600);
      return readText(kernel, data, "note", 100);
    });
    assert.is(seen, "written");
    assert.is(program("cat", `${boot}/note`), "written");
    assert.throws(
      () =>
        withDataFilesystem(counting, machine, () => {
          throw new TypeError("in use");
        }),
      /in use/,
    );
    assert.is(mounted(), before);
    assert.equal(readdirSync("/run/slipway"), []);
    assert.is(open.size, 0);
    kernel.mount("none", boot, "", MS.REMOUNT | MS.RDONLY, "");
    assert.is(
      withDataFilesystem(counting, machine, (data) => readText(kernel, data, "note", 100)),
      "written",
      "a filesystem that is read-only",
    );
    kernel.unmount(boot, 0);
  });
}

test("another filesystem in the place of the data is refused", () => {
  const device = attach(makeFilesystem("ext4", `${scratch}/other.disk`));
  const machine = machineWith({ data: { device, filesystem: "ext4", uuid: "5d6f" } });
  refuses(
    () => withDataFilesystem(kernel, machine, () => assert.unreachable()),
    /holds the filesystem [0-9a-f-]{36} now, this boot began with ext4 5d6f/,
  );
  const gone = machineWith({ data: { device: "/dev/nothing", filesystem: "ext4", uuid: "5d6f" } });
  refuses(() => withDataFilesystem(kernel, gone, () => assert.unreachable()), /\/dev\/nothing cannot be read \(ENOENT\)/);
  const none = machineWith({ data: null, warnings: ["no data filesystem: vda4 is not there"] });
  refuses(
    () => withDataFilesystem(kernel, none, () => assert.unreachable()),
    /no data filesystem, so no state is kept \(no data filesystem: vda4/,
  );
  assert.equal(readdirSync("/run/slipway"), []);
});

test("the image is seen below what is mounted upon it", () => {
  const tree = `${scratch}/tree`;
  mkdirSync(`${tree}/etc`, { recursive: true });
  program("sh", "-c", `echo shipped >${tree}/etc/note`);
  const file = `${scratch}/image.ext4`;
  program("mkfs.ext4", "-q", "-d", tree, file, "16M");
  const device = attach(file);
  const root = `${scratch}/root`;
  mkdirSync(root);
  kernel.mount(device, root, "ext4", MS.RDONLY, "noload");
  mountTmpfs(`${root}/etc`);
  const machine = machineWith({ slotDevice: device });
  const note = withImage(kernel, machine, (image) =>
    withDirectory(kernel, image, "etc", (etc) => readText(kernel, etc, "note", 100)),
  );
  assert.is(note, "shipped\n");
  assert.not(existsSync(`${root}/etc/note`));
  const write = () => withImage(kernel, machine, (image) => kernel.open("new", O.WRONLY | O.CREAT, { at: image, mode: 0o600 }));
  assert.throws(write, /EROFS/);
  assert.equal(readdirSync("/run/slipway"), []);
  unmountAll(`${root}/etc`);
  kernel.unmount(root, 0);
});

test.run();
