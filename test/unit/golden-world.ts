/** A machine with a disk of slots, booted again and again: every boot is a run of the real sequence on a recording kernel. */
import { decodeFrame } from "../../boot/record/frame.ts";
import { readJournal } from "../../boot/record/journal.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { bootRecord } from "../../boot/record/shape.ts";
import { encodeRecord, RECORD_LAYOUT, readRecord } from "../../boot/record/store.ts";
import type { CommittedSeal } from "../../boot/selection/floors.ts";
import { type Policy, policyOf } from "../../boot/selection/policy.ts";
import { activate, commitSlot, endCleanly } from "../../boot/selection/running.ts";
import { recordText } from "../../init/explain/record-text.ts";
import { MS } from "../../init/kernel/constants.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { device, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { Ended, PowerCut } from "../../init/kernel/recording/script.ts";
import { Log } from "../../init/sequence/log.ts";
import { launch } from "../../init/sequence/sequence.ts";
import { ownArchitecture } from "../../init/version.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { controlFile, ext4, type Image, KERNEL_RELEASE, MiB } from "./golden-machine.ts";

export interface WorldOptions {
  a?: Image | null;
  b?: Image | null;
  /** Null: a data partition without a filesystem. */
  data?: Tree | null;
  control?: Partial<ControlFile>;
  commandLine?: string;
  /** Version of the kernel's dm-verity; null: it has none. Default that of Linux 6.1. */
  verity?: [number, number, number] | null;
}

export interface Boot {
  kernel: RecordingKernel;
  /** What threw, when it was not the end that a boot has. */
  escaped: Error | null;
  /** "exec /sbin/init", "reboot restart", "power cut", or what escaped. */
  end: string;
  /** The device at the new root: "/dev/vda2"; null where none is. */
  root: string | null;
}

const DATE = Date.UTC(2026, 0, 1);

export class World {
  readonly disk: BlockDevice;
  readonly record: BlockDevice;
  data: BlockDevice;
  a: BlockDevice;
  b: BlockDevice;
  readonly control: ControlFile;
  readonly #text: string;
  /** Of the next boots. */
  verity: [number, number, number] | null;
  /** Of the next boots. */
  commandLine: string;
  /** The kernel of the next boots: uname -r and -v. */
  running = { release: KERNEL_RELEASE, version: "#1 SMP slipway (2026-01-01)" };

  constructor(options: WorldOptions = {}) {
    this.disk = new BlockDevice({ path: "/dev/vda", number: { major: 254, minor: 0 }, size: 64 * MiB });
    this.record = this.#part(1, "boot-record", 4 * MiB, {});
    this.a = this.#slot(2, options.a ?? null);
    this.b = this.#slot(3, options.b ?? null);
    const tree = options.data === undefined ? {} : options.data;
    this.data = this.#dataPart(tree === null ? null : ext4(0xda), tree ?? {});
    const { text, control } = controlFile(options.control);
    this.#text = text;
    this.control = control;
    this.commandLine = options.commandLine ?? "quiet";
    this.verity = options.verity === undefined ? [1, 9, 0] : options.verity;
  }

  get policy(): Policy {
    return policyOf(this.control);
  }

  #part(number: number, label: string, size: number, holds: { contents?: Uint8Array; type?: string; tree?: Tree }): BlockDevice {
    const { contents, type, tree } = holds;
    return new BlockDevice({
      path: `/dev/vda${number}`,
      number: { major: 254, minor: number },
      size,
      partition: { of: this.disk, number, start: number * 8 * MiB, label },
      ...(contents ? { contents } : {}),
      ...(type && tree ? { filesystem: { type, tree } } : {}),
    });
  }

  #dataPart(superblock: Uint8Array | null, tree: Tree): BlockDevice {
    return this.#part(4, "sys-data", 8 * MiB, superblock === null ? {} : { contents: superblock, type: "ext4", tree });
  }

  /** Makes the data filesystem anew, with that superblock; null: there is none any more. */
  formatData(superblock: Uint8Array | null): void {
    this.data = this.#dataPart(superblock, {});
    if (superblock === null) this.data.storage.write(0, new Uint8Array(4096));
  }

  #slot(number: 2 | 3, holds: Image | null): BlockDevice {
    const label = number === 2 ? "root-a" : "root-b";
    return this.#part(number, label, 4 * MiB, holds ? { contents: holds.head, type: "erofs", tree: holds.tree } : {});
  }

  /** The boot record as the next boot reads it. */
  readRecord() {
    const [first, second] = RECORD_LAYOUT.copyOffsets;
    const area = (offset: number) => this.record.storage.read(offset, RECORD_LAYOUT.areaSize);
    return readRecord([area(first), area(second)]);
  }

  journal() {
    return readJournal(this.record.storage.read(RECORD_LAYOUT.journalOffset, RECORD_LAYOUT.journalSize));
  }

  /** What a command of the running system does to the record. */
  change(change: (record: BootRecord) => BootRecord): void {
    const { record, sequence, nextCopy } = this.readRecord();
    if (record === null) throw new Error("there is no boot record to change");
    const offset = RECORD_LAYOUT.copyOffsets[nextCopy];
    this.record.storage.write(offset, encodeRecord(change(record), sequence + 1));
    this.record.storage.sync();
  }

  /** What happens in a system that boots well: commit, then an orderly shutdown. */
  commitAndShutDown(slot: string, imageId: string, seal: CommittedSeal | null = null): void {
    this.change((record) => commitSlot(record, slot, imageId, this.policy, DATE, seal));
    this.shutDown();
  }

  shutDown(): void {
    this.change((record) => endCleanly(record, this.policy, { credit: true, unixMs: DATE }));
    this.data.sync();
  }

  /** Another image in slot b, which the next boot tries. */
  installInB(holds: Image): void {
    this.b = this.#slot(3, holds);
    this.activate("b", holds.id, "a");
  }

  /** The slot's image is tried by the next boot, as `running` asks for it. */
  activate(slot: string, imageId: string, running: string): void {
    this.change((record) => activate(record, slot, imageId, running, this.policy));
  }

  /** Remembers the disk; what it returns brings it back as it is now. */
  checkpoint(): () => void {
    const disk = this.disk.checkpoint();
    const data = this.data.checkpoint();
    return () => {
      disk();
      data();
    };
  }

  /** A kernel as preinit leaves it. `without` names devices that are not there. */
  kernel(without: string[] = []): RecordingKernel {
    const kernel = new RecordingKernel({
      stepMs: 0,
      unixMs: DATE,
      commandLine: this.commandLine,
      ...(this.verity === null ? {} : { verity: this.verity }),
      initramfs: {
        "etc/initrd-release": "ID=slipway\n",
        "etc/slipway/control.json": this.#text,
        init: "preinit",
        ...{ run: {}, runtime: {}, sysroot: {} },
      },
    });
    kernel.plant("/proc", {
      "sys/kernel/osrelease": `${this.running.release}\n`,
      "sys/kernel/version": `${this.running.version}\n`,
      "sys/kernel/random/uuid": "00000000-1111-4222-8333-444444444444\n",
      "sys/kernel/printk_devkmsg": "ratelimit\n",
    });
    kernel.plant("/sys", { "class/tty/console/active": "ttyS0\n" });
    kernel.plant("/dev", { ttyS0: device("character", 4, 64) });
    kernel.mount("tmpfs", "/run", "tmpfs", MS.NOSUID | MS.NODEV, "mode=755");
    kernel.mount("/dev/loop0", "/runtime", "ramfs", MS.RDONLY, "");
    const { major, minor } = kernel.statusAt("/runtime").device;
    kernel.plant("/sys", { [`dev/block/${major}:${minor}/queue/read_ahead_kb`]: "0\n" });
    for (const block of [this.disk, this.record, this.a, this.b, this.data]) {
      if (!without.includes(block.name)) kernel.addDevice(block);
    }
    kernel.describe(/^\/dev\/vda1$/, describeRecord);
    kernel.describe(/\/(boot|meta)\.json$/, describeReport);
    kernel.describe(/^\/run\/slipway\/control\.json$/, () => "the initrd's control file");
    kernel.describe(/\/recovery\.json\.new$/, () => "what the screen shows");
    kernel.describe(/machine.*id/, (bytes) => (/^[0-9a-f]{32}\n$/.test(Buffer.from(bytes).toString()) ? "a machine id" : null));
    kernel.beginTrace();
    return kernel;
  }

  /** One boot on `kernel`, up to its end. */
  async boot(kernel = this.kernel()): Promise<Boot> {
    let escaped: Error | null = null;
    try {
      await launch(kernel, new Log(kernel), "1000000 2000000");
    } catch (error) {
      if (!(error instanceof Ended || error instanceof PowerCut)) {
        escaped = error instanceof Error ? error : new Error(String(error));
      }
    }
    const root = kernel.mounts().findLast((line) => line.startsWith("/ ") || line.startsWith("/sysroot "));
    const shown = root?.split(" ") ?? [];
    return { kernel, escaped, end: endText(kernel, escaped), root: shown[1] === "erofs" ? (shown[2] ?? null) : null };
  }
}

function endText(kernel: RecordingKernel, escaped: Error | null): string {
  if (kernel.end instanceof PowerCut) return "power cut";
  if (kernel.end) return kernel.end.how.kind === "exec" ? `exec ${kernel.end.how.program}` : `reboot ${kernel.end.how.how}`;
  return `escaped: ${escaped?.message}`;
}

/** What a write to the boot record's partition means. */
function describeRecord(bytes: Uint8Array): string | null {
  const text = (payload: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(payload));
  const record = decodeFrame("record", bytes).frame;
  if (record) return `record ${record.sequence}: ${recordText(bootRecord(text(record.payload)))}`;
  const journal = decodeFrame("journal", bytes).frame;
  return journal ? `journal ${journal.sequence}: ${shortJson(text(journal.payload))}` : null;
}

/** JSON without white space, long hex numbers cut, times left out, and the same on every architecture. */
function shortJson(value: unknown): string {
  const shorter = (key: string, part: unknown): unknown => {
    if (key === "timeline" || key === "startedUnixMs") return undefined;
    if (part === ownArchitecture) return "this machine";
    return typeof part === "string" ? part.replace(/\b[0-9a-f]{64}\b/g, (hex) => hex.slice(0, 12)) : part;
  };
  return JSON.stringify(value, shorter);
}

function describeReport(bytes: Uint8Array): string {
  return shortJson(JSON.parse(new TextDecoder().decode(bytes)));
}
