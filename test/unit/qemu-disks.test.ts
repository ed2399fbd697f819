import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { diskWords, throwAwayCopy } from "../../qemu/disks.ts";

const devices = (words: string[]) => words.filter((_, index) => words[index - 1] === "-device");
const backends = (words: string[]) => words.filter((_, index) => words[index - 1] === "-blockdev");

test("each interface has its device, and SCSI one controller", () => {
  const words = diskWords([
    { file: "/a" },
    { file: "/b", interface: "virtio-scsi", serial: "b" },
    { file: "/c", interface: "nvme" },
    { file: "/d", interface: "virtio-scsi" },
  ]);
  assert.equal(devices(words), [
    "virtio-scsi-pci,id=scsi",
    "virtio-blk-pci,drive=disk0,serial=slipway0,write-cache=on",
    "scsi-hd,bus=scsi.0,drive=disk1,serial=b,write-cache=on",
    "nvme,drive=disk2,serial=slipway2",
    "scsi-hd,bus=scsi.0,drive=disk3,serial=slipway3,write-cache=on",
  ]);
});

test("many disks share slots of the PCI bus, a function each", () => {
  const words = diskWords([{ file: "/a", pci: { slot: 10, function: 7 } }]);
  assert.equal(devices(words), ["virtio-blk-pci,drive=disk0,serial=slipway0,write-cache=on,addr=0xa.7,multifunction=on"]);
});

test("a comma in a file's name does not end it", () => {
  assert.match(backends(diskWords([{ file: "/a,b" }]))[0] ?? "", "filename=/a,,b,discard");
});

test("a log of writes lies between the disk and its device", () => {
  const words = diskWords([{ file: "/a", blklogwrites: "/log" }]);
  assert.ok(backends(words).includes("driver=blklogwrites,node-name=logged0,file=disk0,log=log0,log-sector-size=512"));
  assert.equal(devices(words), ["virtio-blk-pci,drive=logged0,serial=slipway0,write-cache=on,write-zeroes=off"]);
});

test("sectors that cannot be read fail below the device and above the file", () => {
  const words = diskWords([{ file: "/a", unreadable: [4096, 1_048_576] }]);
  const failing = backends(words).find((text) => text.startsWith("driver=blkdebug"));
  assert.match(failing ?? "", "node-name=failing0,image=disk0,inject-error.0.event=none,inject-error.0.iotype=read");
  assert.match(failing ?? "", /inject-error\.0\.sector=8,.*inject-error\.1\.sector=2048$/);
  assert.equal(devices(words), ["virtio-blk-pci,drive=failing0,serial=slipway0,write-cache=on"]);
});

test("a throw-away copy can be written, and the original stays", () => {
  const directory = mkdtempSync(join(tmpdir(), "slipway-disks-"));
  writeFileSync(`${directory}/disk`, "original");
  const copy = throwAwayCopy(`${directory}/disk`);
  assert.is(readFileSync(copy, "utf8"), "original");
  writeFileSync(copy, "changed");
  assert.is(readFileSync(copy, "utf8"), "changed");
  assert.is(readFileSync(`${directory}/disk`, "utf8"), "original");
  rmSync(directory, { recursive: true });
});

test.run();
