/** A running machine whose slots are files and whose boot record is on a real disk: what install and repair work on, in this process or in one of their own. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BLOCK } from "../../boot/image/verity.ts";
import type { BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import { PLACES, type Places } from "../../init/commands/machine.ts";
import { O } from "../../init/kernel/constants.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import type { KeyPair, SampleImage } from "../samples/image-parts.ts";
import { entry, record, report, slot } from "../unit/commands-machine.ts";
import { controlFile } from "../unit/golden-machine.ts";

const project = join(import.meta.dirname, "../..");
const kernel = linuxKernel();

/** What a slot holds: an image's bytes and the id that the boot record knows it by. */
export interface Held {
  bytes: Uint8Array;
  imageId: string;
}

export interface InstallMachineOptions {
  system: string;
  trust: ControlTrust;
  /** Slot a runs, committed. Slot b holds a committed fallback, or nothing. */
  slots: { a: Held; b: Held | null };
  /** Bytes of each slot. */
  slotSize: number;
  record?: Partial<BootRecord>;
}

export class InstallMachine {
  /** On a disk, not on a tmpfs: older kernels have no O_DIRECT there. */
  readonly #directory: string;
  /** Below /dev, as devices are. */
  readonly #slots = mkdtempSync("/dev/shm/slipway-install-");
  readonly places: Places;
  /** What stands for /run/slipway. */
  readonly run: string;
  readonly #record: string;
  readonly #options: InstallMachineOptions;

  constructor(options: InstallMachineOptions) {
    mkdirSync(join(project, ".cache"), { recursive: true });
    this.#directory = mkdtempSync(join(project, ".cache/install-"));
    this.run = join(this.#directory, "run");
    this.#record = join(this.#directory, "record");
    this.#options = options;
    const own = (name: string) => join(this.run, name);
    this.places = {
      ...PLACES,
      report: own("boot.json"),
      control: own("control.json"),
      uncommitted: own("uncommitted"),
      lock: own("lock"),
      installLock: own("install.lock"),
      systemctl: "false",
    };
    this.reset();
  }

  /** File of a slot. */
  slot(name: "a" | "b"): string {
    return join(this.#slots, name);
  }

  /** All as it was in the beginning. */
  reset(): void {
    const { system, trust, slots, slotSize, record: change } = this.#options;
    rmSync(this.run, { recursive: true, force: true });
    mkdirSync(this.run);
    for (const name of ["a", "b"] as const) this.#fill(this.slot(name), slots[name], slotSize);
    const held = (imageId: string, more: Partial<SlotRecord>) => slot({ imageId, ...more });
    const b = slots.b === null ? slot({ state: "empty", tries: 0, imageId: null }) : held(slots.b.imageId, {});
    const facts = record({
      slots: { a: held(slots.a.imageId, { priority: 2, tries: 9 }), b },
      attempt: { number: 7, slot: "a", imageId: slots.a.imageId, trial: false, stage: "handover", cleanEnd: false },
      lastCommitted: { slot: "a", imageId: slots.a.imageId },
      ...change,
    });
    writeFileSync(this.#record, "");
    truncateSync(this.#record, RECORD_LAYOUT.minimumPartitionSize);
    const store = openBootRecord(kernel, this.#record);
    store.write(facts);
    store.appendJournal(entry(7, { imageId: slots.a.imageId }));
    store.close();
    const booted = { imageId: slots.a.imageId, slotDevice: this.slot("a"), data: null, generation: null };
    const place = { condition: "valid", writable: true, device: this.#record } as const;
    writeFileSync(this.places.report, JSON.stringify(report({ ...booted, record: place })));
    const devices = (["a", "b"] as const).map((name) => ({ name, device: this.slot(name) }));
    writeFileSync(this.places.control, controlFile({ system, trust, slots: devices, data: null }).text);
  }

  #fill(file: string, held: Held | null, size: number): void {
    writeFileSync(file, held === null ? "" : held.bytes.subarray(0, -BLOCK));
    truncateSync(file, size);
    if (held === null) return;
    const fd = kernel.open(file, O.WRONLY);
    kernel.write(fd, held.bytes.subarray(-BLOCK), BigInt(size - BLOCK));
    kernel.close(fd);
  }

  bytes(name: "a" | "b"): Buffer {
    return readFileSync(this.slot(name));
  }

  record(): BootRecord {
    const store = openBootRecord(kernel, this.#record);
    try {
      const { record: found } = store.read().record;
      if (found === null) throw new Error("the boot record is not valid any more");
      return found;
    } finally {
      store.close();
    }
  }

  /** Whether a slot holds this image, whole, its footer at the slot's end, and between them nothing that matters. */
  holds(name: "a" | "b", image: Uint8Array): boolean {
    const there = this.bytes(name);
    const body = there.subarray(0, image.length - BLOCK).equals(image.subarray(0, -BLOCK));
    return body && there.subarray(-BLOCK).equals(image.subarray(-BLOCK));
  }

  /** Program and arguments of `slipway WORDS…` in a mount namespace in which /run/slipway is this machine's. */
  command(...words: string[]): string[] {
    const script = `mount -t tmpfs none /run && mkdir /run/slipway && mount --bind ${this.run} /run/slipway && exec "$@"`;
    const program = [process.execPath, join(project, "init/main.ts"), ...words];
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", ...program];
  }

  close(): void {
    for (const path of [this.#directory, this.#slots]) rmSync(path, { recursive: true, force: true });
  }
}

/** A machine that believes what these keys sign and runs one image; slot b is empty, and has room for the other. */
export function smallMachine(keys: readonly KeyPair[], running: SampleImage, image: SampleImage): InstallMachine {
  return new InstallMachine({
    system: "small",
    trust: {
      mode: "signed",
      keys: keys.map(({ publicKey }) => publicKey.raw.toHex()),
      threshold: 1,
      rollbackFloor: 0,
      kernelSignature: "ignored",
    },
    slots: { a: { bytes: running.bytes, imageId: running.manifest.rootHash }, b: null },
    slotSize: image.bytes.length + 64 * BLOCK,
  });
}
