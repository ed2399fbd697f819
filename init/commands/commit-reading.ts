import { cutReason } from "../../boot/record/reason.ts";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import { type Checked, checkSlot, type DamagedBlock, damageText, openRaw } from "../image/check-slot.ts";
import type { OnBytes } from "../image/progress.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { type Change, changeRecord, writeRecord } from "./change-record.ts";
import type { Places } from "./machine.ts";

/** What is read before a trial ends. */
export interface ToRead {
  slot: string;
  device: string;
  /** Null where the image has no seal, so that there is nothing to compare it with. */
  image: Checked | null;
  /** From when on the reading takes its turn like everybody, milliseconds since kernel start. */
  hurryAtMs: number;
}

/** The running slot, where committing it ends a trial; null where it was committed before: that re-arms it and reads nothing. */
export function readingFor({ machine, record }: Change): ToRead | null {
  const { slot, slotDevice, image } = machine.report;
  if (slotOf(record, slot).state === "committed") return null;
  // A disk that is never idle would keep a good image from its commit, and be held against it. The deadline began later than the kernel.
  const hurryAtMs = (machine.control.trialDeadline * 1000) / 2;
  return { slot, device: slotDevice, image, hurryAtMs };
}

/** Bytes of the image and its tree. */
export function bytesToRead(kernel: Kernel, { device, image }: ToRead): number {
  if (image === null) return 0;
  const fd = open(kernel, device);
  try {
    return checkSlot(kernel, fd, image).next().value?.total ?? 0;
  } catch (error) {
    throw error instanceof KernelError ? unreadable(device, error) : error;
  } finally {
    kernel.close(fd);
  }
}

/**
 * Reads the running slot whole, past the page cache and past dm-verity, which would restart the machine at a bad block. Nobody
 * waits for the boot record meanwhile. Half of the trial's deadline it leaves the disk to others. Returns what there is to say. Throws Refusal where a block is not the image's, or cannot
 * be read; the record then says that the slot is damaged, so that the next boot leaves it.
 */
export function readWhole(kernel: Kernel, places: Places, toRead: ToRead, onBytes: OnBytes): string {
  const { slot, device, image, hurryAtMs } = toRead;
  if (image === null) return `The image in slot ${slot} has no seal: there is nothing to read it against.`;
  const beganMs = kernel.now().bootMs;
  let hurries = beganMs >= hurryAtMs;
  let read = 0;
  const fd = open(kernel, device);
  try {
    setPriority(kernel, hurries);
    for (const { done, damaged } of checkSlot(kernel, fd, image)) {
      const [bad] = damaged;
      if (bad !== undefined) refuseDamaged(kernel, places, slot, bad);
      read = done;
      onBytes(done);
      if (hurries || kernel.now().bootMs < hurryAtMs) continue;
      hurries = true;
      setPriority(kernel, hurries);
    }
  } catch (error) {
    throw error instanceof KernelError ? unreadable(device, error) : error;
  } finally {
    kernel.close(fd);
  }
  const seconds = (kernel.now().bootMs - beganMs) / 1000;
  return `Read slot ${slot} whole, ${sizeText(read)} in ${seconds.toFixed(1)} s: every block is the image's.`;
}

function open(kernel: Kernel, device: string): number {
  try {
    return openRaw(kernel, device);
  } catch (error) {
    throw error instanceof KernelError ? unreadable(device, error) : error;
  }
}

/** It says nothing about the image: the device as a whole is gone, or there is no memory. */
function unreadable(device: string, { code }: KernelError): Error {
  return new Error(`${device} cannot be read (${code}); is the disk failing? --quick commits without reading`);
}

/** A kernel or a sandbox that does not let us is no reason to give up a trial. */
function setPriority(kernel: Kernel, hurries: boolean): void {
  try {
    if (hurries) kernel.restorePriority();
    else kernel.lowerPriority();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}

function refuseDamaged(kernel: Kernel, places: Places, slot: string, bad: DamagedBlock): never {
  const what = damageText(bad);
  const unnoted = noteDamage(kernel, places, slot, what);
  throw new Refusal(
    `slot ${slot} is damaged and is not committed: ${what}; go to another slot (slipway rollback --reboot), and run "slipway repair ${slot}" there${unnoted}`,
  );
}

/** Returns what there is to add where the record cannot say so: whatever stands in its way, the damage is what matters. */
function noteDamage(kernel: Kernel, places: Places, slot: string, what: string): string {
  try {
    changeRecord(kernel, places, "slipway commit", ({ machine, store, record }) => {
      writeRecord(store, withSlot(record, slot, { damaged: cutReason(what) }));
      store.updateJournal(machine.report.attempt, { reason: cutReason(`not committed: ${what}`) });
    });
    return "";
  } catch (error) {
    return ` (the boot record does not say so: ${error instanceof Error ? error.message : error})`;
  }
}
