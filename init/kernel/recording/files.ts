import { O } from "../constants.ts";
import type {
  Descriptor,
  DeviceNumber,
  DirectoryEntry,
  FileKind,
  FileStatus,
  FilesystemStatus,
  OpenOptions,
  Path,
} from "../kernel.ts";
import type { MemoryMachine } from "./memory-machine.ts";
import * as names from "./memory-names.ts";
import { Errno, walkEntries } from "./memory-nodes.ts";
import { filesystemStatusOf, statusOf } from "./memory-status.ts";
import type { Script } from "./script.ts";
import { contents, octal, openFlags, quote, resolveFlags } from "./trace.ts";

/** Says what is written to a place, where bytes alone say nothing; null leaves it to the trace. */
export type Describe = (bytes: Uint8Array, offset: bigint | null) => string | null;

const bytesText = (bytes: Uint8Array): string => `${bytes.length} bytes`;

/** The half of the recording kernel that deals with files. */
export abstract class RecordingFiles {
  protected abstract readonly script: Script;
  protected abstract readonly machine: MemoryMachine;
  protected readonly descriptions: { match: RegExp; describe: Describe }[] = [];

  /** Where a descriptor leads. */
  protected place(fd: Descriptor): string {
    const open = this.machine.files.descriptors.get(fd);
    if (!open) return `descriptor ${fd}`;
    return open.place ? this.machine.files.mounts.path(open.place) : "uevents";
  }

  /** A path as the trace shows it: descriptors replaced by the paths they stand for. */
  protected text(path: Path, at?: Descriptor): string {
    const given = typeof path === "string" ? path : Buffer.from(path).toString();
    const magic = /^\/proc\/self\/fd\/(\d+)(?=\/|$)/.exec(given);
    if (magic?.[1]) return this.place(Number(magic[1])).replace(/^\/$/, "") + given.slice(magic[0].length) || "/";
    if (at === undefined || given.startsWith("/")) return given;
    return `${this.place(at).replace(/\/$/, "")}/${given}`;
  }

  /** Text in which descriptors may stand, as in the options of an overlay. */
  protected textWithin(given: string): string {
    return given.replace(/\/proc\/self\/fd\/(\d+)/g, (_, fd: string) => this.place(Number(fd)));
  }

  /** A call with its arguments as text; the first one is its subject. */
  protected run<Result>(
    name: Parameters<Script["call"]>[0]["name"],
    shown: string,
    subject: string,
    rest: string[],
    effect: boolean,
    body: () => Result,
    result?: (value: Result) => string,
    torn?: (length: number) => void,
  ): Result {
    const line = `${shown}(${[quote(subject), ...rest].join(", ")})`;
    return this.script.call({ name, subject, line, effect, body, ...(result ? { result } : {}), ...(torn ? { torn } : {}) });
  }

  open(path: Path, flags: number, options: OpenOptions = {}): Descriptor {
    const rest = [openFlags(flags)];
    if (flags & O.CREAT) rest.push(octal(options.mode ?? 0o600));
    if (options.resolve) rest.push(resolveFlags(options.resolve));
    const effect = (flags & (O.CREAT | O.TRUNC)) !== 0 && this.#openChanges(path, flags, options);
    return this.run("open", "open", this.text(path, options.at), rest, effect, () =>
      this.machine.files.open(path, flags, options),
    );
  }

  /** Whether opening makes or empties a file. */
  #openChanges(path: Path, flags: number, options: OpenOptions): boolean {
    try {
      const follow = (flags & (O.NOFOLLOW | O.EXCL)) === 0;
      const { found } = this.machine.files.walk(path, options.at, follow, options.resolve ?? 0);
      if (!found) return (flags & O.CREAT) !== 0;
      const { kind, size } = found.entry.node;
      return (flags & O.TRUNC) !== 0 && kind === "file" && size > 0;
    } catch (error) {
      if (error instanceof Errno) return false;
      throw error;
    }
  }

  close(fd: Descriptor): void {
    this.run("close", "close", this.place(fd), [], false, () => this.machine.files.descriptors.delete(fd));
  }

  read(fd: Descriptor, length: number, offset: bigint | null): Uint8Array<ArrayBuffer> {
    const where = offset === null ? [] : [`at 0x${offset.toString(16)}`];
    return this.run("read", "read", this.place(fd), where, false, () => this.machine.files.read(fd, length, offset), bytesText);
  }

  readInto(fd: Descriptor, bytes: Uint8Array<ArrayBuffer>, offset: bigint): number {
    const body = (): number => {
      const read = this.machine.files.read(fd, bytes.length, offset);
      bytes.set(read);
      return read.length;
    };
    const where = [`at 0x${offset.toString(16)}`];
    // The same system call, so that what fails a read fails this one.
    return this.run("read", "read", this.place(fd), where, false, body, (length) => `${length} bytes`);
  }

  write(fd: Descriptor, bytes: Uint8Array, offset: bigint | null): void {
    const { files } = this.machine;
    const place = this.place(fd);
    const described = this.#described(place, bytes, offset) ?? contents(bytes);
    const rest = offset === null ? [described] : [described, `at 0x${offset.toString(16)}`];
    const torn = (length: number): void => files.write(fd, bytes.subarray(0, length), offset);
    this.run("write", "write", place, rest, true, () => files.write(fd, bytes, offset), undefined, torn);
  }

  #described(place: string, bytes: Uint8Array, offset: bigint | null): string | null {
    for (const { match, describe } of this.descriptions) {
      const text = match.test(place) ? describe(bytes, offset) : null;
      if (text !== null) return text;
    }
    return null;
  }

  sync(fd: Descriptor): void {
    this.run("sync", "fsync", this.place(fd), [], true, () => this.machine.files.sync(fd));
  }

  syncFilesystem(fd: Descriptor): void {
    this.run("syncFilesystem", "syncfs", this.place(fd), [], true, () => this.machine.files.syncFilesystem(fd));
  }

  truncate(fd: Descriptor, size: bigint): void {
    this.run("truncate", "truncate", this.place(fd), [String(size)], true, () => this.machine.files.truncate(fd, size));
  }

  allocate(fd: Descriptor, offset: bigint, length: bigint): void {
    const body = (): void => this.machine.files.allocate(fd, offset, length);
    this.run("allocate", "allocate", this.place(fd), [`${length} bytes at 0x${offset.toString(16)}`], true, body);
  }

  seekData(fd: Descriptor, offset: bigint): bigint | null {
    const { files } = this.machine;
    return this.run("seekData", "seek-data", this.place(fd), [String(offset)], false, () => files.seekData(fd, offset), String);
  }

  seekHole(fd: Descriptor, offset: bigint): bigint {
    const { files } = this.machine;
    return this.run("seekHole", "seek-hole", this.place(fd), [String(offset)], false, () => files.seekHole(fd, offset), String);
  }

  copyRange(from: Descriptor, to: Descriptor, offset: bigint, length: number): number {
    const rest = [quote(this.place(to)), `${length} bytes at 0x${offset.toString(16)}`];
    const body = (): number => this.machine.files.copyRange(from, to, offset, length);
    return this.run("copyRange", "copy", this.place(from), rest, true, body);
  }

  status(fd: Descriptor): FileStatus {
    return this.run("status", "stat", this.place(fd), [], false, () => {
      const { place } = this.machine.files.descriptor(fd);
      if (!place) throw new Errno("EBADF");
      return statusOf(place);
    });
  }

  statusAt(path: Path, at?: Descriptor): FileStatus {
    const body = (): FileStatus => statusOf(this.machine.files.existing(path, at, false));
    return this.run("statusAt", "stat", this.text(path, at), [], false, body);
  }

  filesystemStatus(fd: Descriptor): FilesystemStatus {
    return this.run("filesystemStatus", "statfs", this.place(fd), [], false, () => {
      const { filesystem } = this.machine.files.place(fd).mount;
      const entries = [...walkEntries(filesystem.root)];
      const bytes = entries.reduce((sum, entry) => sum + entry.node.bytes.allocated, 0);
      return filesystemStatusOf(filesystem, { bytes, nodes: entries.length });
    });
  }

  readDirectory(fd: Descriptor, most?: number): DirectoryEntry[] {
    const body = (): DirectoryEntry[] => names.readDirectory(this.machine.files, fd, most);
    return this.run("readDirectory", "readdir", this.place(fd), [], false, body);
  }

  readLink(path: Path, at?: Descriptor): Uint8Array {
    const body = (): Uint8Array => names.readLink(this.machine.files, path, at);
    return this.run("readLink", "readlink", this.text(path, at), [], false, body, quote);
  }

  makeDirectory(path: Path, mode: number, at?: Descriptor): void {
    const body = (): void => names.makeDirectory(this.machine.files, path, mode, at);
    this.run("makeDirectory", "mkdir", this.text(path, at), [octal(mode)], true, body);
  }

  makeNode(path: Path, kind: FileKind, mode: number, node: DeviceNumber, at?: Descriptor): void {
    const body = (): void => names.makeNode(this.machine.files, path, kind, mode, node, at);
    const rest = [kind, octal(mode), `${node.major}:${node.minor}`];
    this.run("makeNode", "mknod", this.text(path, at), rest, true, body);
  }

  makeSymlink(target: Path, path: Path, at?: Descriptor): void {
    const body = (): void => names.makeSymlink(this.machine.files, target, path, at);
    this.run("makeSymlink", "symlink", this.text(path, at), [`to ${quote(target)}`], true, body);
  }

  makeHardLink(existing: Path, path: Path, at?: Descriptor): void {
    const body = (): void => names.makeHardLink(this.machine.files, existing, path, at);
    this.run("makeHardLink", "link", this.text(path, at), [`to ${quote(this.text(existing, at))}`], true, body);
  }

  rename(from: Path, to: Path, options: { at?: Descriptor; exclusive?: boolean } = {}): void {
    const rest = [quote(this.text(to, options.at)), ...(options.exclusive ? ["NOREPLACE"] : [])];
    const body = (): void => names.rename(this.machine.files, from, to, options.at, options.exclusive === true);
    this.run("rename", "rename", this.text(from, options.at), rest, true, body);
  }

  remove(path: Path, options: { at?: Descriptor; directory?: boolean } = {}): void {
    const body = (): void => names.remove(this.machine.files, path, options.at, options.directory === true);
    this.run("remove", options.directory ? "rmdir" : "unlink", this.text(path, options.at), [], true, body);
  }

  changeOwner(path: Path, owner: number, group: number, at?: Descriptor): void {
    const body = (): void => names.changeOwner(this.machine.files, path, owner, group, at);
    this.run("changeOwner", "chown", this.text(path, at), [`${owner}:${group}`], true, body);
  }

  changeMode(fd: Descriptor, mode: number): void {
    const body = (): void => names.changeMode(this.machine.files, fd, mode);
    this.run("changeMode", "chmod", this.place(fd), [octal(mode)], true, body);
  }

  changeTimes(path: Path, accessed: bigint, modified: bigint, at?: Descriptor): void {
    const body = (): void => names.changeTimes(this.machine.files, path, accessed, modified, at);
    this.run("changeTimes", "utimes", this.text(path, at), [String(accessed), String(modified)], true, body);
  }

  listAttributes(path: Path): string[] {
    const body = (): string[] => names.listAttributes(this.machine.files, path);
    return this.run("listAttributes", "listxattr", this.text(path), [], false, body);
  }

  getAttribute(path: Path, name: string): Uint8Array {
    const body = (): Uint8Array => names.getAttribute(this.machine.files, path, name);
    return this.run("getAttribute", "getxattr", this.text(path), [name], false, body);
  }

  setAttribute(path: Path, name: string, value: Uint8Array): void {
    const body = (): void => names.setAttribute(this.machine.files, path, name, value);
    this.run("setAttribute", "setxattr", this.text(path), [name, contents(value)], true, body);
  }

  removeAttribute(path: Path, name: string): void {
    const body = (): void => names.removeAttribute(this.machine.files, path, name);
    this.run("removeAttribute", "removexattr", this.text(path), [name], true, body);
  }
}
