import type { Descriptor } from "../kernel.ts";
import { readLoopConfiguration } from "../layouts.ts";
import { Bytes } from "./memory-bytes.ts";
import { BlockDevice, type FilesystemDescription, makeFilesystem } from "./memory-devices.ts";
import type { MemoryFiles } from "./memory-files.ts";
import { Errno } from "./memory-nodes.ts";
import { numberText } from "./memory-status.ts";
import { Described, type Properties } from "./memory-tree.ts";

/** Major number of loop devices. */
const MAJOR = 7;

/** A regular file whose content is an image: `filesystem` is what a mount of a loop device over it shows. */
export function imageFile(
  size: number,
  head: Uint8Array,
  filesystem: FilesystemDescription,
  properties: Properties = {},
): Described {
  return new Described(
    "file",
    (node) => {
      node.bytes = Bytes.ofSize(size);
      node.bytes.write(0, head);
      node.image = makeFilesystem(filesystem, { major: MAJOR, minor: node.number });
    },
    properties,
  );
}

/** The loop devices of a machine; /dev/loop0 is taken, as by the runtime image. */
export class MemoryLoops {
  readonly #files: MemoryFiles;
  readonly #addNode: (name: string, minor: number) => void;

  constructor(files: MemoryFiles, addNode: (name: string, minor: number) => void) {
    this.#files = files;
    this.#addNode = addNode;
  }

  /** The first that nothing uses; its node is there afterwards. */
  free(): number {
    for (let minor = 1; ; minor++) {
      const number = numberText({ major: MAJOR, minor });
      const device = this.#files.devices.get(number);
      if (device !== undefined && this.#inUse(device)) continue;
      this.#files.devices.set(number, new BlockDevice({ path: `/dev/loop${minor}`, number: { major: MAJOR, minor }, size: 0 }));
      this.#addNode(`loop${minor}`, minor);
      return minor;
    }
  }

  #inUse(device: BlockDevice): boolean {
    const { major, minor } = device.number;
    const open = [...this.#files.descriptors.values()].some(
      ({ node }) => node?.kind === "block" && node.device.major === major && node.device.minor === minor,
    );
    return open || this.#files.mounts.mounts.some(({ filesystem }) => filesystem === device.filesystem);
  }

  configure(loop: Descriptor, argument: Uint8Array<ArrayBuffer>): void {
    const { node } = this.#files.descriptor(loop);
    const number = node === null ? "" : numberText(node.device);
    const device = this.#files.devices.get(number);
    const { node: file, place } = this.#files.descriptor(readLoopConfiguration(argument).file);
    if (device === undefined || node?.device.major !== MAJOR) throw new Errno("ENOTTY");
    if (device.storage.size > 0) throw new Errno("EBUSY");
    if (file?.kind !== "file" || place === null) throw new Errno("EINVAL");
    const attached = new BlockDevice({ path: device.path, number: device.number, file });
    attached.readOnly = true;
    this.#files.devices.set(number, attached);
  }
}
