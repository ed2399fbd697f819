import type { Stage } from "../../boot/record/record.ts";
import { wishOf } from "../../boot/recovery/changes.ts";
import { type Failure, SlotFailure } from "../../boot/selection/attempt.ts";
import { endOfLastTry } from "../../boot/selection/begin.ts";
import { whyLeft } from "../../boot/selection/left.ts";
import { checkRoot } from "../../boot/slot-image.ts";
import type { SlotDefinition } from "../../state-ops/control.ts";
import { CORRUPTED } from "../image/verity-device.ts";
import { MNT, O } from "../kernel/constants.ts";
import { type Descriptor, KernelError } from "../kernel/kernel.ts";
import type { ChosenSlot } from "./chosen-slot.ts";
import type { Counters } from "./counters.ts";
import { closeData, DamagedUnderImage, type DataRequest, repairData } from "./data.ts";
import { DeviceFailure, type Devices } from "./devices.ts";
import { type OpenFileSlot, openFileSlot } from "./file-slot.ts";
import { missingMountPoints } from "./handover.ts";
import { mountImage, NEW_ROOT, readImageControl, setReadOnly } from "./image.ts";
import type { Launch } from "./launch.ts";
import { findNextInit, foreignModules } from "./next-init.ts";
import type { OpenData } from "./open-data.ts";
import { type ProvenImage, proveImage } from "./proof.ts";
import { detachState, type LaidState, layState, type StateRequest } from "./state.ts";

/** A slot whose root stands at /sysroot with its state laid: nothing but the handover is left. */
export interface ReadySlot {
  slot: string;
  device: string;
  image: ProvenImage;
  /** Path of the next init in the new root. */
  init: string;
  state: LaidState;
}

/** The slot's attempt under way: what is mounted, and how far it came. */
export class SlotAttempt {
  readonly #boot: Launch;
  readonly #devices: Devices;
  readonly #counters: Counters;
  readonly #slot: string;
  readonly #isRecovered: boolean;
  readonly #knownEnd: ChosenSlot["previousEnd"];
  #stage: Stage = "counted";
  /** Device of the slot, once it is to be set read-only. */
  #device: string | null = null;
  #image: ProvenImage | null = null;
  #mounted = false;
  /** Null for a slot that is a partition. */
  #file: OpenFileSlot | null = null;
  /** The data filesystem while it is mounted for the image alone: laying the state takes it over. */
  #data: OpenData | null = null;
  /** What the data filesystem's checker said in this attempt; null where it was not asked. */
  #checked: string | null = null;
  #state: LaidState | null = null;

  constructor(
    boot: Launch,
    devices: Devices,
    counters: Counters,
    { slot, isRecovered, previousEnd }: Pick<ChosenSlot, "slot" | "isRecovered" | "previousEnd">,
  ) {
    this.#boot = boot;
    this.#devices = devices;
    this.#counters = counters;
    this.#slot = slot;
    this.#isRecovered = isRecovered;
    this.#knownEnd = previousEnd;
  }

  /** Prepares the slot up to the handover, after its try was counted. Throws whatever stands in the way. */
  async prepare(): Promise<ReadySlot> {
    try {
      return await this.#prepare();
    } catch (error) {
      if (!(error instanceof DamagedUnderImage)) throw error;
      // Nothing can be repaired under a filesystem that is in use: the image is let go, and taken up again.
      this.#undo();
      this.#checked = await repairData(this.#boot, error.facts, error.failure, null);
      this.#boot.note(`the data filesystem was repaired: ${error.message}; ${this.#checked}`);
      return this.#prepare();
    }
  }

  async #prepare(): Promise<ReadySlot> {
    const { kernel } = this.#boot;
    const { device, image } = await this.#boot.part("slot", () => this.#prove());
    await this.#boot.part("image", () => this.#mount(device, image));
    const root = kernel.open(NEW_ROOT, O.RDONLY | O.DIRECTORY);
    try {
      if (this.#boot.control.kernel === "slot") await this.#boot.part("kernel", () => this.#ownKernel(root, image.imageId));
      const init = await this.#boot.part("next-init", () => this.#check(root));
      this.#stage = "state";
      this.#counters.reach("state");
      const state = await this.#boot.part("state", () => this.#layState(root, image.imageId));
      return { slot: this.#slot, device, image, init, state };
    } finally {
      kernel.close(root);
    }
  }

  /**
   * The attempt failed: records why, and leaves nothing of the slot mounted. Its device can be written again: another slot's
   * system may install into it.
   */
  abandon(error: unknown): void {
    const failure = this.#failure(error);
    try {
      this.#undo();
    } catch (undoing) {
      this.#boot.warn(`slot ${this.#slot} is not left as it was: ${undoing instanceof Error ? undoing.message : undoing}`);
    }
    this.#counters.fail(this.#slot, failure, this.#stage);
  }

  /** Each step is done whatever becomes of the others: what stays would be in the next slot's way. Throws the first's error. */
  #undo(): void {
    const { kernel } = this.#boot;
    const [mounted, device, verity, file, data, state] = [
      this.#mounted,
      this.#device,
      this.#image?.verity,
      this.#file,
      this.#data,
      this.#state,
    ];
    this.#mounted = false;
    this.#device = null;
    this.#image = null;
    this.#file = null;
    this.#data = null;
    this.#state = null;
    allOf([
      () => mounted && kernel.unmount(NEW_ROOT, MNT.DETACH),
      () => state !== null && detachState(this.#boot, state),
      () => device !== null && setReadOnly(kernel, device, false),
      () => verity?.remove(),
      () => file?.release(),
      () => data !== null && closeData(kernel, data),
    ]);
  }

  /** Whatever failed because dm-verity refused a block, failed in the image's proof. */
  #failure(error: unknown): Failure {
    const failure = failureOf(error);
    if (failure.kind === "proof" || !this.#isCorrupted()) return failure;
    return { kind: "proof", reason: `${CORRUPTED}; seen in: ${failure.reason}` };
  }

  /** A device that cannot be asked says nothing about the image: the slot is left for what it failed with. */
  #isCorrupted(): boolean {
    try {
      return this.#image?.verity?.isCorrupted() === true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return false;
    }
  }

  async #prove(): Promise<{ device: string; image: ProvenImage }> {
    const definition = this.#boot.control.slots.find(({ name }) => name === this.#slot);
    if (definition === undefined) throw new Error(`slot ${this.#slot} is not in the control file`);
    const device = await this.#open(definition);
    this.#image = await this.#proveOn(definition, device);
    return { device, image: this.#image };
  }

  /** Returns where the boot goes on with the kernel that runs. */
  async #ownKernel(root: Descriptor, imageId: string): Promise<void> {
    const { toOwnKernel } = await import("./own-kernel.ts");
    const start = { slot: this.#slot, root, previousEnd: this.#previousEnd(imageId), letGo: () => this.#undo() };
    toOwnKernel(this.#boot, this.#counters, start);
  }

  async #proveOn(definition: SlotDefinition, device: string): Promise<ProvenImage> {
    const { verity } = "device" in definition ? definition : {};
    if (!("device" in definition) || verity === undefined) return proveImage(this.#boot, this.#counters, this.#slot, device);
    const { proveDps } = await import("./dps.ts");
    return proveDps(this.#boot, this.#devices, this.#counters, { ...definition, verity }, device);
  }

  #mount(device: string, { imageId, verity }: ProvenImage): void {
    this.#counters.identify(this.#slot, imageId);
    this.#stage = "image";
    this.#device = device;
    setReadOnly(this.#boot.kernel, device, true);
    mountImage(this.#boot, device, verity?.path ?? device);
    this.#mounted = true;
    this.#file?.letGo();
  }

  /** The slot's device: its partition, or one made of its file. */
  async #open(definition: SlotDefinition): Promise<string> {
    if ("device" in definition) return (await this.#devices.find(`slot ${this.#slot}`, definition.device)).path;
    this.#file = await openFileSlot(this.#boot, definition, this.#dataRequest());
    this.#data = this.#file.data;
    return this.#file.device;
  }

  #dataRequest(): DataRequest {
    const reference = this.#boot.control.data?.device ?? "";
    return {
      knownData: this.#counters.record.dataFilesystem,
      findDevice: () => this.#devices.find("the data filesystem", reference),
      opened: this.#data,
      checked: this.#checked,
    };
  }

  /** What the root must have to be started. Returns the path of its init. */
  #check(root: Descriptor): string {
    const { kernel } = this.#boot;
    const facts = { missing: missingMountPoints(kernel, root), foreignModules: foreignModules(kernel, root) };
    const foreign = checkRoot(facts, this.#counters.trial);
    if (foreign !== null) this.#boot.warn(`slot ${this.#slot}: ${foreign}`);
    const init = findNextInit(kernel, root, this.#boot.words.init);
    for (const warning of init.warnings) this.#boot.warn(warning);
    return init.path;
  }

  async #layState(newRoot: Descriptor, imageId: string): Promise<LaidState> {
    const { control, kernel } = this.#boot;
    const { record, attempt, trial } = this.#counters;
    const wish = wishOf(record, this.#slot, imageId);
    const request: StateRequest = {
      ...this.#dataRequest(),
      newRoot,
      imageControl: await readImageControl(kernel, newRoot, control),
      slot: this.#slot,
      wish,
      imageId,
      attempt,
      trial,
      previousEnd: this.#previousEnd(imageId),
      committed: record.lastCommitted,
      left: whyLeft(record, this.#counters.failed, control.trust),
    };
    this.#data = null;
    this.#state = await layState(this.#boot, request);
    return this.#state;
  }

  #previousEnd(imageId: string) {
    // A step that was carried out in this very boot begins anew, whatever an earlier one of its kind came to.
    const isFirstTry = this.#isRecovered && wishOf(this.#counters.record, this.#slot, imageId) !== "ordinary";
    return this.#knownEnd ?? (isFirstTry ? "none" : endOfLastTry(this.#counters.previous, this.#slot, imageId));
  }
}

/** Does every step, then throws the first of their errors. */
function allOf(steps: readonly (() => unknown)[]): void {
  const errors = steps.flatMap((step) => {
    try {
      step();
      return [];
    } catch (error) {
      return [error];
    }
  });
  if (errors.length > 0) throw errors[0];
}

/** Only a failed proof makes a slot damaged; a device that is missing or fails says nothing about the image. */
export function failureOf(error: unknown): Failure {
  if (error instanceof SlotFailure) return { kind: error.kind, reason: error.message };
  const reason = error instanceof Error ? error.message : String(error);
  const ofDevice = error instanceof DeviceFailure || (error instanceof KernelError && error.code === "EIO");
  return { kind: ofDevice ? "device" : "boot", reason };
}
