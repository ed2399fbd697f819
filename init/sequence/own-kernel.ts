/** `kernel: slot`: the first stage of a boot starts the slot's own kernel, where another one runs. */
import { secondStageLine } from "../../boot/kexec/command-line.ts";
import { type LoadFailure, lineFailure, loadFailure } from "../../boot/kexec/load-failure.ts";
import type { KexecStart } from "../../boot/record/record.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { startKernel } from "../../boot/selection/start-kernel.ts";
import { readText } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { checkInitrd, openSlotKernel, runningKernel, runs, type SlotKernel, WrongKernel } from "../kexec/slot-kernel.ts";
import type { Counters } from "./counters.ts";
import type { Launch } from "./launch.ts";

const UNWRITABLE = "the boot record cannot be written, and a second stage would not know of the first";

/** The slot whose kernel is to run. */
export interface OwnKernel {
  slot: string;
  /** Of its image, proven and mounted. */
  root: Descriptor;
  /** What the second stage cannot see in the record any more. */
  previousEnd: KexecStart["previousEnd"];
  /** Leaves nothing of the slot mounted: no restart would. */
  letGo: () => void;
}

/**
 * Starts the slot's own kernel, once it is durable that this attempt does. Returns where the boot goes on here: it runs already, or
 * the image has none, or this machine cannot start it and the slot is committed.
 *
 * @throws SlotFailure where the slot has to be left
 */
export function toOwnKernel(boot: Launch, counters: Counters, { slot, root, previousEnd, letGo }: OwnKernel): void {
  const { kernel } = boot;
  const own = leavingIfWrong(() => openSlotKernel(kernel, root));
  const running = runningKernel(kernel);
  if (own === null) {
    boot.warnOnce(`the image in slot ${slot} has no kernel of its own: it runs on ${running.release}, which the loader started`);
    return;
  }
  try {
    if (runs(own, running)) return;
    const why = whyNotHere(boot, counters) ?? load(boot, counters, own, previousEnd);
    if (why !== null) {
      boot.warnOnce(`slot ${slot} runs on ${running.release} instead of its own kernel ${own.release}: ${why}`);
      return;
    }
  } finally {
    own.close();
  }
  boot.log.notice(`slot ${slot}: starting its own kernel ${own.release} (kexec), attempt ${counters.attempt}`);
  letGo();
  start(boot);
}

/** A second stage starts no third, whatever came of it; and without a record no second stage would know of the first. */
function whyNotHere(boot: Launch, counters: Counters): string | null {
  if (boot.words.kexec !== null) return "the command line has slipway.kexec, and no kernel is started twice";
  return counters.writable ? null : UNWRITABLE;
}

/** Loads it. Returns why the boot goes on without it; null where it can be started. */
function load(boot: Launch, counters: Counters, own: SlotKernel, previousEnd: KexecStart["previousEnd"]): string | null {
  const { kernel } = boot;
  const initrd = leavingIfWrong(() => checkInitrd(kernel, own, boot.control));
  const nonce = newNonce(kernel);
  const line = secondStageLine(readText(kernel, "/proc/cmdline"), nonce);
  boot.chores();
  const failure = lineFailure(line) ?? loaded(() => kernel.loadKexec(own.file, initrd, line));
  if (failure !== null) {
    const { whose, reason } = failure;
    // What no image could do better is no reason to leave a slot that was good: it may run on this kernel too.
    if (whose === "machine" && !counters.trial) return reason;
    throw new SlotFailure(whose === "image" ? "boot" : "device", `its kernel ${own.release} cannot be started: ${reason}`);
  }
  const before = counters.record;
  if (!counters.change(startKernel(before, { nonce, previousEnd }))) {
    counters.change(before);
    forget(boot);
    return UNWRITABLE;
  }
  counters.reach("handover", `its own kernel ${own.release} was started, and did not come up in PID 1`);
  return null;
}

function loaded(work: () => void): LoadFailure | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof KernelError) return loadFailure(error.code);
    throw error;
  }
}

/** Throws SlotFailure where the kernel that runs does not start the one that was loaded. */
function start(boot: Launch): never {
  const { kernel, watchdog, log } = boot;
  watchdog?.feed();
  log.restoreLimit();
  let answer = "no answer";
  try {
    kernel.reboot("kexec");
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    answer = error.code;
  }
  forget(boot);
  throw new SlotFailure("device", `its kernel was loaded, and did not start (${answer})`);
}

/** What stays loaded takes memory, and a later restart of the system may start it: with this attempt's nonce, and another slot. */
function forget(boot: Launch): void {
  try {
    boot.kernel.unloadKexec();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    boot.warn(`the kernel that was loaded and not started stays in memory (${error.code})`);
  }
}

function leavingIfWrong<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof WrongKernel) throw new SlotFailure("boot", error.message);
    throw error;
  }
}

/** 16 hex digits that nobody can know before: the kernel's own source of random numbers, which waits for none. */
function newNonce(kernel: Kernel): string {
  const uuid = readText(kernel, "/proc/sys/kernel/random/uuid").trim().replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/.test(uuid)) throw new Error(`/proc/sys/kernel/random/uuid says "${uuid}", which is no UUID`);
  return uuid.slice(16);
}
