import { FILESYSTEM_MAGIC } from "../constants.ts";
import type { DeviceNumber } from "../kernel.ts";
import { Errno, Filesystem, type Node } from "./memory-nodes.ts";

/** FS_IMMUTABLE_FL */
const IMMUTABLE = 0x10;

/** A variable's file begins with four bytes of attributes. */
const ATTRIBUTES = 4;

/**
 * UEFI's variables as efivarfs has them: a write is the whole variable and is kept at once, whatever the offset; one without a
 * value removes it. Files that no rule of the kernel knows are immutable.
 */
export class EfivarsFilesystem extends Filesystem {
  readonly #flags = new WeakMap<Node, number>();
  /** Names that the firmware takes no value for, with the answer. */
  readonly refused = new Map<string, string>();

  constructor(number: DeviceNumber = { major: 0, minor: 250 }) {
    super("efivarfs", number, FILESYSTEM_MAGIC.efivarfs);
  }

  #nameOf(node: Node): string {
    const directory = this.root.node.directory;
    return directory?.names().find((name) => directory.find(name)?.node === node) ?? "";
  }

  flagsOf(node: Node): number {
    return this.#flags.get(node) ?? (/^(Boot|dump-)/.test(this.#nameOf(node)) ? 0 : IMMUTABLE);
  }

  setFlags(node: Node, flags: number): void {
    this.#flags.set(node, flags);
  }

  refuseImmutable(node: Node): void {
    if (node.bytes.size > 0 && (this.flagsOf(node) & IMMUTABLE) !== 0) throw new Errno("EPERM");
  }

  store(node: Node, bytes: Uint8Array): void {
    if (bytes.length < ATTRIBUTES) throw new Errno("EINVAL");
    const refusal = this.refused.get(this.#nameOf(node));
    if (refusal !== undefined) throw new Errno(refusal);
    if (bytes.length === ATTRIBUTES) {
      this.root.node.directory?.drop(this.#nameOf(node));
      return;
    }
    node.bytes.truncate(0);
    node.bytes.write(0, bytes);
  }

  /** The machine starts anew: files that were made and never got a value are no variables. */
  restart(): void {
    const { directory } = this.root.node;
    for (const name of directory?.names() ?? []) if (directory?.find(name)?.node.bytes.size === 0) directory.drop(name);
  }
}
