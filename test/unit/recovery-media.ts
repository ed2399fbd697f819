/** Media as people plug them in, in memory. */
import { BLOCK } from "../../boot/image/verity.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { device, file, link, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { isoImage } from "../samples/iso-image.ts";
import { ext4, MiB } from "./golden-machine.ts";

/** A boot sector of vfat, as far as it is looked at. */
export function vfat(): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x0b, 512, true);
  view.setUint16(0x13, 32768, true);
  bytes.set(Buffer.from("FAT16   "), 0x36);
  view.setUint16(510, 0xaa55, true);
  return bytes;
}

const HEADS = { vfat, ext4: () => ext4(0x77), iso9660: () => isoImage("MEDIA", {}) };

let minor = 0;

/** A disk with that filesystem on all of it. */
export function medium(name: string, type: keyof typeof HEADS, tree: Tree): BlockDevice {
  return new BlockDevice({
    path: `/dev/${name}`,
    number: { major: 8, minor: minor++ },
    size: 16 * MiB,
    contents: HEADS[type](),
    filesystem: { type, tree },
  });
}

/** A disk that an image was copied to: its footer lies where the image ends, or, with `atEnd`, at the disk's end. */
export function rawMedium(name: string, image: Uint8Array, { atEnd = false } = {}): BlockDevice {
  const size = 4 * MiB;
  const device = new BlockDevice({ path: `/dev/${name}`, number: { major: 8, minor: minor++ }, size, contents: image });
  if (atEnd) {
    device.storage.write(image.length - BLOCK, new Uint8Array(BLOCK));
    device.storage.write(size - BLOCK, image.subarray(image.length - BLOCK));
    device.storage.sync();
  }
  return device;
}

export { device, file, link };
