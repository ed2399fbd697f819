import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { cache } from "./places.ts";

/** A disk of a machine. */
export interface MachineDisk {
  /** Image file. */
  file: string;
  /** Default "virtio-blk". */
  interface?: "virtio-blk" | "virtio-scsi" | "nvme" | "sd";
  /** The guest cannot write; the file is not opened for writing. */
  readOnly?: boolean;
  /** Default "raw". */
  format?: "raw" | "qcow2";
  serial?: string;
  /** Place on the PCI bus of a virtio-blk disk, 8 functions a slot; by default a slot of its own, of which there are not thirty. */
  pci?: { slot: number; function: number };
  /** Bytes from the start of the disk to sectors that cannot be read, whether they are written or not. */
  unreadable?: readonly number[];
  /**
   * A file that gets every write and flush in the format of dm-log-writes, 512-byte sectors (write-log.ts reads it). It must
   * be there and be empty.
   */
  blklogwrites?: string;
}

/** Commas end a value in QEMU's options unless doubled. */
function value(text: string): string {
  return text.replaceAll(",", ",,");
}

/**
 * QEMU's words for `disks`, in order: the first virtio-blk or virtio-scsi disk is vda or sda, the first NVMe disk nvme0n1.
 *
 * The guest sees a write-back cache. The host's flushes are left out (no-flush): what the guest wrote is in the host's page
 * cache as soon as QEMU completed the write, and stays there when QEMU is killed.
 */
export function diskWords(disks: MachineDisk[]): string[] {
  const words: string[] = [];
  if (disks.some((disk) => disk.interface === "virtio-scsi")) words.push("-device", "virtio-scsi-pci,id=scsi");
  disks.forEach((disk, index) => {
    if (disk.interface === "sd") {
      // The board makes the card, of a drive that it finds.
      words.push("-drive", `if=sd,format=raw,cache=unsafe,file=${value(disk.file)}`);
      return;
    }
    const node = (name: string) => `${name}${index}`;
    const readOnly = disk.readOnly ? "read-only=on" : "read-only=off";
    const cache = "cache.direct=off,cache.no-flush=on";
    const flags = `${readOnly},${cache}`;
    words.push("-blockdev", `driver=file,node-name=${node("file")},filename=${value(disk.file)},discard=unmap,${flags}`);
    words.push(
      "-blockdev",
      `driver=${disk.format ?? "raw"},node-name=${node("disk")},file=${node("file")},discard=unmap,${flags}`,
    );
    let top = node("disk");
    if (disk.unreadable !== undefined) {
      words.push("-blockdev", debugWords(node("failing"), top, disk.unreadable));
      top = node("failing");
    }
    if (disk.blklogwrites !== undefined) {
      words.push("-blockdev", `driver=file,node-name=${node("log")},filename=${value(disk.blklogwrites)},${cache}`);
      words.push(
        "-blockdev",
        `driver=blklogwrites,node-name=${node("logged")},file=${top},log=${node("log")},log-sector-size=512`,
      );
      top = node("logged");
    }
    // Its log of zeros written while other writes are under way is not to be relied on: the guest writes them itself.
    const zeros = disk.blklogwrites === undefined ? "" : ",write-zeroes=off";
    const drive = `drive=${top}`;
    const serial = `serial=${value(disk.serial ?? `slipway${index}`)}`;
    if (disk.interface === "nvme") words.push("-device", `nvme,${drive},${serial}`);
    else if (disk.interface === "virtio-scsi") words.push("-device", `scsi-hd,bus=scsi.0,${drive},${serial},write-cache=on`);
    else words.push("-device", `virtio-blk-pci,${drive},${serial},write-cache=on${zeros}${placeWords(disk)}`);
  });
  return words;
}

function placeWords({ pci }: MachineDisk): string {
  return pci === undefined ? "" : `,addr=0x${pci.slot.toString(16)}.${pci.function},multifunction=on`;
}

/** Words for QEMU's blkdebug, which fails reads of the sectors at `offsets`. */
function debugWords(name: string, below: string, offsets: readonly number[]): string {
  const rules = offsets.flatMap((offset, index) => {
    const at = `inject-error.${index}`;
    return [`${at}.event=none`, `${at}.iotype=read`, `${at}.errno=5`, `${at}.sector=${offset / 512}`];
  });
  return ["driver=blkdebug", `node-name=${name}`, `image=${below}`, ...rules].join(",");
}

/**
 * A copy of an image file for one machine to write to, as a path that works as long as this process lives. The file itself
 * has no name any more, so that it is gone when this process is, however it ended. Holes stay holes.
 */
export function throwAwayCopy(file: string): string {
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(`${cache}/copy-`);
  try {
    execFileSync("cp", ["--reflink=auto", "--sparse=always", file, `${directory}/disk`]);
    return `/proc/${process.pid}/fd/${openSync(`${directory}/disk`, "r+")}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
