import { O } from "../kernel/constants.ts";
import { inodeKey } from "../kernel/files.ts";
import { type Descriptor, type FileStatus, type Kernel, KernelError } from "../kernel/kernel.ts";
import { type OnProgress, openBeneath, procPath, withDescriptor } from "./beneath.ts";
import { ContentCopier } from "./clone-content.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";
import type { WriteBack } from "./write-back.ts";

export interface CloneOptions {
  onProgress: OnProgress;
  /**
   * Another filesystem may not know every attribute (a tmpfs before Linux 6.6 has no user.*): leave user.* and btrfs.* out
   * there instead of failing. Security attributes, ACLs and overlay marks are never left out.
   */
  dropOptionalAttributes: boolean;
  /** Whether what has this path below the tree's root ("a/b") is not copied; everything is, if absent. */
  leaveOut?: (path: Uint8Array) => boolean;
  /** Of several trees that are copied before a sync of all; one of its own, if absent. */
  writeBack?: WriteBack;
}

export interface CloneResult {
  bytes: number;
  files: number;
  /** Names of attributes that were left out. */
  lostAttributes: string[];
}

/**
 * Copies `from` (a name in an open directory) and everything below it to the name `to`, which must not exist. Kept are:
 * owners, modes, times in nanoseconds, all extended attributes, device nodes and whiteouts, fifos, symbolic links, hard
 * links within the tree, holes, and names that are no valid UTF-8. Left out are sockets, and an overlay's origin and uuid
 * marks. Not kept are chattr(1) flags, and links to files outside the tree. No link is followed, no mount is entered.
 * Nothing is synced. Throws KernelError whose subject is the path below `from`.
 */
export function cloneTree(kernel: Kernel, from: Place, to: Place, options: CloneOptions): CloneResult {
  return new Cloner(kernel, options).run((cloner) => cloner.entry(from, to, Buffer.from(".")));
}

/** As {@link cloneTree}, for an open directory into another that exists and is empty, and gets its metadata. */
export function cloneDirectory(kernel: Kernel, from: Descriptor, to: Descriptor, options: CloneOptions): CloneResult {
  return new Cloner(kernel, options).run((cloner) => cloner.content(from, to, Buffer.from(".")));
}

class Cloner {
  readonly #contents: ContentCopier;
  /** By device and inode: where the first name of a file with several names was made. */
  readonly #links = new Map<string, Uint8Array>();
  readonly #lost = new Set<string>();
  readonly #named = new WeakSet<Error>();
  #bytes = 0;
  #files = 0;
  /** Directory whose name `.` the paths of #links start at. */
  #root: Place | null = null;

  constructor(
    readonly kernel: Kernel,
    readonly options: CloneOptions,
  ) {
    const onBytes = (bytes: number): void => {
      this.#bytes += bytes;
      options.onProgress(this.#bytes, this.#files);
    };
    this.#contents = new ContentCopier(kernel, onBytes, options.writeBack);
  }

  run(work: (cloner: Cloner) => void): CloneResult {
    // Device nodes and fifos get their mode when they are made, since nothing opens them.
    const mask = this.kernel.umask(0);
    try {
      work(this);
    } finally {
      this.kernel.umask(mask);
    }
    return { bytes: this.#bytes, files: this.#files, lostAttributes: [...this.#lost].sort() };
  }

  entry(from: Place, to: Place, path: Uint8Array): void {
    this.#root ??= to;
    try {
      this.#copy(from, this.kernel.statusAt(from.name, from.at), to, path);
    } catch (error) {
      throw this.#naming(error, path);
    }
    this.#files++;
    if (this.#files % 100 === 0) this.options.onProgress(this.#bytes, this.#files);
  }

  /** What is in the directory `from`, then the directory's own metadata: times, and an ACL that its children would inherit. */
  content(from: Descriptor, to: Descriptor, path: Uint8Array): void {
    this.#root ??= { at: to, name: "." };
    const { kernel } = this;
    for (const { name } of kernel.readDirectory(from)) {
      const below = Buffer.concat([path, Buffer.from("/"), name]);
      if (this.options.leaveOut?.(below.subarray("./".length))) continue;
      this.entry({ at: from, name }, { at: to, name }, below);
    }
    const status = kernel.status(from);
    const self = { at: to, name: "." };
    this.#metadata({ at: from, name: "." }, status, self, () => kernel.changeMode(to, status.mode));
  }

  #copy(from: Place, status: FileStatus, to: Place, path: Uint8Array): void {
    const { kernel } = this;
    const inode = inodeKey(status);
    const severalNames = status.kind !== "directory" && status.links > 1;
    const first = severalNames ? this.#links.get(inode) : undefined;
    if (first !== undefined) {
      kernel.makeHardLink(first, procPath(to.at, to.name));
      return;
    }
    switch (status.kind) {
      case "directory": {
        kernel.makeDirectory(to.name, 0o700, to.at);
        const open = (place: Place) => () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.DIRECTORY);
        withDescriptor(kernel, open(from), (source) =>
          withDescriptor(kernel, open(to), (target) => this.content(source, target, path)),
        );
        return;
      }
      case "file":
        this.#file(from, to);
        break;
      case "symlink":
        kernel.makeSymlink(kernel.readLink(from.name, from.at), to.name, to.at);
        this.#metadata(from, status, to, () => {});
        break;
      case "socket":
        return;
      default:
        kernel.makeNode(to.name, status.kind, status.mode, status.node, to.at);
        this.#metadata(from, status, to, () => {});
    }
    if (severalNames) this.#links.set(inode, this.#placeOf(path));
  }

  #file(from: Place, to: Place): void {
    const { kernel } = this;
    const source = () => openBeneath(kernel, from.at, from.name, O.RDONLY | O.NONBLOCK);
    const target = () => openBeneath(kernel, to.at, to.name, O.RDWR | O.CREAT | O.EXCL, 0o600);
    withDescriptor(kernel, source, (input) =>
      withDescriptor(kernel, target, (output) => {
        const status = kernel.status(input);
        this.#contents.copy(input, output, status.size);
        this.#metadata(from, status, to, () => kernel.changeMode(output, status.mode));
      }),
    );
  }

  #metadata(from: Place, status: FileStatus, to: Place, setMode: () => void): void {
    const lost = copyMetadata(this.kernel, from, status, to, setMode, this.options.dropOptionalAttributes);
    for (const name of lost) this.#lost.add(name);
    this.kernel.changeTimes(to.name, status.accessed, status.modified, to.at);
  }

  /** The error with the path where it happened, which calls by descriptor do not know. */
  #naming(error: unknown, path: Uint8Array): unknown {
    if (!(error instanceof Error) || this.#named.has(error)) return error;
    const where = shownPath(path);
    // Nobody else's RangeError than the stack's, of directories in directories.
    const why = error instanceof RangeError ? "the directories are too deep to be copied; flatten them" : error.message;
    const named = error instanceof KernelError ? new KernelError(error.call, where, error.code) : new Error(`${where}: ${why}`);
    this.#named.add(named);
    return named;
  }

  /** The path by which a later link(2) finds what was made at `path` ("./a/b"). */
  #placeOf(path: Uint8Array): Uint8Array {
    const root = this.#root ?? { at: -1, name: "." };
    const start = procPath(root.at, root.name);
    return Buffer.concat([typeof start === "string" ? Buffer.from(start) : start, path.subarray(1)]);
  }
}

/** The path, of a very long one its ends: a reason is cut, and what failed comes behind it. */
function shownPath(path: Uint8Array): string {
  const text = new TextDecoder().decode(path);
  return text.length <= 100 ? text : `${text.slice(0, 40)}…${text.slice(-40)}`;
}
