/**
 * The one interface to the kernel. Everything slipway does to a machine goes through it, so that the whole boot can be
 * run against a recording and compared with a golden trace.
 *
 * One method is one system call (the names in brackets are the man pages of section 2). Calls are synchronous. A call
 * that fails throws a {@link KernelError}; nothing else is thrown.
 */

/** A file name or path. Text is UTF-8; bytes are taken as they are, since names on a disk need not be valid UTF-8. */
export type Path = string | Uint8Array;

/** An open file descriptor. */
export type Descriptor = number;

/** A failed call: what was called, on what, and the kernel's symbolic error ("ENOENT"). */
export class KernelError extends Error {
  constructor(
    readonly call: string,
    readonly subject: string,
    readonly code: string,
  ) {
    super(`${call} ${subject}: ${code}`);
    this.name = "KernelError";
  }
}

export type FileKind = "file" | "directory" | "symlink" | "block" | "character" | "fifo" | "socket";

/** What stat(2) tells. Times are nanoseconds since the epoch, sizes are bytes. */
export interface FileStatus {
  kind: FileKind;
  /** Permission bits with setuid, setgid and sticky, without the kind: 0o0000 to 0o7777. */
  mode: number;
  owner: number;
  group: number;
  size: bigint;
  /** What it takes on the disk (st_blocks). */
  allocated: bigint;
  /** Device the file lies on (st_dev). */
  device: DeviceNumber;
  /** Device the node stands for (st_rdev); 0:0 unless block or character. */
  node: DeviceNumber;
  inode: bigint;
  links: number;
  accessed: bigint;
  modified: bigint;
}

export interface DeviceNumber {
  major: number;
  minor: number;
}

/** What statfs(2) tells. Sizes are counted in blocks of `blockSize` bytes. */
export interface FilesystemStatus {
  /** f_type: 0x858458f6 ramfs, 0x01021994 tmpfs, see linux/magic.h. */
  magic: number;
  blockSize: number;
  blocks: bigint;
  available: bigint;
  inodes: bigint;
  inodesFree: bigint;
}

export interface DirectoryEntry {
  name: Uint8Array;
  kind: FileKind;
}

/**
 * Clocks. `bootMs` counts from kernel start and includes suspend (CLOCK_BOOTTIME), with fractions; `unixMs` is the wall clock
 * in whole milliseconds.
 */
export interface Clocks {
  bootMs: number;
  unixMs: number;
}

/** A child that ended: exit code, or the signal that killed it. */
export interface EndedChild {
  pid: number;
  exitCode: number | null;
  signal: number | null;
}

/** Options of {@link Kernel.open}. */
export interface OpenOptions {
  /** Directory that a relative path starts from; the working directory if absent. */
  at?: Descriptor;
  /** Permission bits of a file that is created. */
  mode?: number;
  /** RESOLVE_* bits of openat2(2): see constants.ts. */
  resolve?: number;
}

/** Bytes from the start of the disk; `number` as in the partition table. */
export interface PartitionChange {
  how: "add" | "resize";
  number: number;
  start: bigint;
  length: bigint;
}

/** EINVAL of `kexec`: no kernel was loaded. */
export type RebootKind = "restart" | "power-off" | "halt" | "kexec";

export interface Kernel {
  // Files. Relative paths start from `at` where it is given.
  /** [openat2] Flags are the O_* bits of constants.ts; O_CLOEXEC is always added. */
  open(path: Path, flags: number, options?: OpenOptions): Descriptor;
  close(fd: Descriptor): void;
  /** [read, pread64] Up to `length` bytes; fewer only at the end of the file. `offset` in bytes, null for the current place. */
  read(fd: Descriptor, length: number, offset: bigint | null): Uint8Array<ArrayBuffer>;
  /**
   * [pread64] Fills `bytes`, which has memory of its own, from `offset` on; returns how many of them, fewer only at the end of
   * the file. For those who read much: nothing is allocated.
   */
  readInto(fd: Descriptor, bytes: Uint8Array<ArrayBuffer>, offset: bigint): number;
  /** [write, pwrite64] All of `bytes`. With O_DIRECT the implementation aligns the memory; offset and length are the caller's. */
  write(fd: Descriptor, bytes: Uint8Array, offset: bigint | null): void;
  /** [fsync] */
  sync(fd: Descriptor): void;
  /** [syncfs] The whole filesystem that `fd` lies on. */
  syncFilesystem(fd: Descriptor): void;
  /** [ftruncate] */
  truncate(fd: Descriptor, size: bigint): void;
  /** [fallocate] Makes room on the disk for a part of a file, which is zero where nothing was; the file grows to hold it. */
  allocate(fd: Descriptor, offset: bigint, length: bigint): void;
  /** [lseek SEEK_DATA, SEEK_HOLE] Next start of data or hole at or after `offset`; null past the last data. */
  seekData(fd: Descriptor, offset: bigint): bigint | null;
  seekHole(fd: Descriptor, offset: bigint): bigint;
  /** [copy_file_range] Copies up to `length` bytes between the same offsets of two files; returns how many. */
  copyRange(from: Descriptor, to: Descriptor, offset: bigint, length: number): number;
  /** [fstat] */
  status(fd: Descriptor): FileStatus;
  /** [fstatat] Never follows a link in the last component. */
  statusAt(path: Path, at?: Descriptor): FileStatus;
  /** [fstatfs] */
  filesystemStatus(fd: Descriptor): FilesystemStatus;
  /**
   * [getdents64] Without "." and "..", sorted by bytes. At most the first `most` of those that the directory has, where it is
   * somebody else's: it may have more than fit into the memory.
   */
  readDirectory(fd: Descriptor, most?: number): DirectoryEntry[];
  /** [readlinkat] */
  readLink(path: Path, at?: Descriptor): Uint8Array;
  /** [mkdirat] */
  makeDirectory(path: Path, mode: number, at?: Descriptor): void;
  /** [mknodat] */
  makeNode(path: Path, kind: FileKind, mode: number, device: DeviceNumber, at?: Descriptor): void;
  /** [symlinkat] */
  makeSymlink(target: Path, path: Path, at?: Descriptor): void;
  /** [linkat] Both paths relative to `at`. */
  makeHardLink(existing: Path, path: Path, at?: Descriptor): void;
  /** [renameat2] Both paths relative to `at`. `exclusive` is RENAME_NOREPLACE. */
  rename(from: Path, to: Path, options?: { at?: Descriptor; exclusive?: boolean }): void;
  /** [unlinkat] `directory` removes an empty directory. */
  remove(path: Path, options?: { at?: Descriptor; directory?: boolean }): void;
  /** [fchownat, no follow] */
  changeOwner(path: Path, owner: number, group: number, at?: Descriptor): void;
  /** [fchmod] */
  changeMode(fd: Descriptor, mode: number): void;
  /** [utimensat, no follow] Nanoseconds since the epoch. */
  changeTimes(path: Path, accessed: bigint, modified: bigint, at?: Descriptor): void;
  /**
   * [llistxattr, lgetxattr, lsetxattr] On the path itself, never through a link in the last component. Names have one
   * character a byte (latin1).
   */
  listAttributes(path: Path): string[];
  getAttribute(path: Path, name: string): Uint8Array;
  setAttribute(path: Path, name: string, value: Uint8Array): void;
  removeAttribute(path: Path, name: string): void;

  // Mounts and devices
  /** [mount] Flags are the MS_* bits of constants.ts; `data` is the filesystem's option string. */
  mount(source: Path, target: Path, type: string, flags: number, data: string): void;
  /** [umount2] */
  unmount(target: Path, flags: number): void;
  /** [ioctl] `argument` is a number, or a buffer that the kernel may fill. Returns the call's result. */
  ioctl(fd: Descriptor, request: number, argument: number | Uint8Array<ArrayBuffer>): number;
  /**
   * [ioctl BLKPG] Tells the kernel of one partition of the disk `disk`, whatever the table on it says; nothing is written. One
   * that is in use can be made larger. One that is added so has no label until the table is read again.
   */
  changePartition(disk: Descriptor, change: PartitionChange): void;
  /** [finit_module] */
  loadModule(fd: Descriptor, parameters: string): void;
  /** [flock] Exclusive. False when somebody else holds it. */
  lock(fd: Descriptor): boolean;
  /** [socket, bind] A netlink socket on which the kernel's uevents arrive, one message a read, never blocking. */
  openUevents(): Descriptor;
  /**
   * [socket] Never blocking. Families, types and protocols are those of constants.ts; a protocol of AF_PACKET is an EtherType
   * in network byte order, as packet(7) wants it.
   */
  openSocket(family: number, type: number, protocol: number): Descriptor;
  /** [bind] `address` is a struct sockaddr of the socket's family. */
  bindSocket(fd: Descriptor, address: Uint8Array): void;
  /** [setsockopt] */
  setSocketOption(fd: Descriptor, level: number, option: number, value: Uint8Array): void;
  /** [setsockopt SO_ATTACH_FILTER] Only messages that a program of classic BPF (linux/filter.h, 8 bytes an instruction) passes. */
  filterSocket(fd: Descriptor, program: Uint8Array): void;
  /** [sendto] One message, to a struct sockaddr; null: to where the socket leads anyway. */
  sendTo(fd: Descriptor, bytes: Uint8Array, address: Uint8Array | null): void;
  /** [recvfrom] One message, cut at `length` bytes; null when none waits. */
  receive(fd: Descriptor, length: number): Uint8Array<ArrayBuffer> | null;
  /** [poll] Waits until one of `fds` can be read or `timeoutMs` have passed; returns those that can. */
  poll(fds: Descriptor[], timeoutMs: number): Descriptor[];

  // Processes
  /** [posix_spawn] Standard input, output and error are `stdio`, or inherited. Returns the pid. */
  spawn(program: string, args: string[], environment: Record<string, string>, stdio?: Descriptor): number;
  /** [wait4 WNOHANG] One child that ended, own or adopted; null when there is none. */
  reap(): EndedChild | null;
  /** [kill] */
  kill(pid: number, signal: number): void;
  /** [execve] Returns only by throwing. */
  exec(program: Path, args: string[], environment: Record<string, string>): never;
  /** [rt_sigaction SIG_DFL] */
  defaultSignal(signal: number): void;
  /** [prlimit64] Of this process. */
  setLimit(resource: number, soft: bigint, hard: bigint): void;
  getLimit(resource: number): { soft: bigint; hard: bigint };
  /** [close_range CLOSE_RANGE_CLOEXEC] From `first` on. */
  closeOnExec(first: Descriptor): void;
  /** [dup3] */
  duplicate(fd: Descriptor, to: Descriptor): void;
  /** [umask] Returns the former mask. */
  umask(mask: number): number;
  /** [fchdir] */
  changeDirectory(fd: Descriptor): void;
  /** [chroot] */
  changeRoot(path: Path): void;
  /** [unshare CLONE_NEWNS], then everything private, so that mounts made from here on are seen by nobody else. */
  privateMounts(): void;
  /** [getpid] */
  processId(): number;
  /**
   * [add_key] A key of the kind "user" in this process's own keyring, where the kernel looks it up by `description` for the
   * calls that this process makes. It goes with the process.
   */
  addKey(description: string, payload: Uint8Array): void;
  /** [setpriority, ioprio_set] Only what nobody else wants: nice 19, and the disk when it is idle. */
  lowerPriority(): void;
  /** [setpriority, ioprio_set] As everybody again: nice 0, and the disk in turn. */
  restorePriority(): void;

  // The machine
  /** [clock_gettime] */
  now(): Clocks;
  /** [clock_settime CLOCK_REALTIME] */
  setClock(unixMs: number): void;
  /**
   * [kexec_file_load] Has the kernel read another one, and its initrd, from files that are open for reading, for
   * `reboot("kexec")` to start; one that was loaded before is forgotten. It reads the files itself, now. Errors: ENOSYS where it is
   * built without, EPERM where that was forbidden (kexec_load_disabled, lockdown) or we are not root, ENOEXEC for what is no kernel of
   * this machine, EKEYREJECTED, ENOKEY, ENODATA, EBADMSG and ELIBBAD where it wants a signature that it can check, ENOMEM and
   * EADDRNOTAVAIL without memory, EBUSY while somebody else loads one.
   */
  loadKexec(kernel: Descriptor, initrd: Descriptor | null, commandLine: string): void;
  /**
   * [kexec_file_load KEXEC_FILE_UNLOAD] Forgets what {@link Kernel.loadKexec} loaded, and gives its memory back: systemctl reboot of
   * systemd 255 and later starts whatever is loaded. Errors as there.
   */
  unloadKexec(): void;
  /**
   * [reboot] After sync(2). `kexec` starts the kernel of {@link Kernel.loadKexec}. Returns only where the kernel refuses.
   *
   * @param argument of a restart, for the firmware ([reboot RESTART2], at most 255 bytes): "0 tryboot" on a Raspberry Pi
   */
  reboot(how: RebootKind, argument?: string): void;
  /**
   * [reboot CAD_OFF, CAD_ON] What Ctrl-Alt-Del does: send SIGINT to PID 1, or restart the machine at once, as it does when
   * the kernel starts.
   */
  setCtrlAltDel(does: "signal" | "restart"): void;
}
