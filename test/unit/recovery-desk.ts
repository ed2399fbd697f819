/** A machine that recovers: the world of golden boots, with what a recovery's steps work with. */
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { encodeRecord, freshRecord, RECORD_LAYOUT } from "../../boot/record/store.ts";
import type { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import type { DeskNetwork, RecoveryDesk } from "../../init/recovery/desk.ts";
import { RecoveryScreen } from "../../init/recovery/screen.ts";
import { Counters } from "../../init/sequence/counters.ts";
import { Devices } from "../../init/sequence/devices.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import type { World } from "./golden-world.ts";

export interface TestDesk extends RecoveryDesk {
  kernel: RecordingKernel;
  /** Gives the step up. */
  abort(): void;
  /** How often something got on. */
  advances: number;
  /** Of each time that the sources were asked, whether any was reached. */
  reached: boolean[];
  /** What is mounted and what is open, apart from what the desk itself keeps. */
  held(): { mounts: string[]; open: string[] };
}

/** Gives a machine that never booted a boot record. */
export function firstRecord(world: World, make: (record: BootRecord) => BootRecord): void {
  const bytes = encodeRecord(make(freshRecord(world.policy)), 1);
  world.record.storage.write(RECORD_LAYOUT.copyOffsets[0], bytes);
  world.record.storage.sync();
}

/** The desk of a boot of `world` with these devices plugged in, once its boot record was read. */
export async function recoveryDesk(
  world: World,
  { media = [], network = null }: { media?: BlockDevice[]; network?: DeskNetwork | null } = {},
): Promise<TestDesk> {
  const kernel = world.kernel();
  for (const medium of media) kernel.addDevice(medium);
  const boot = new Launch(kernel, new Log(kernel), world.control, parseCommandLine("quiet"));
  const devices = new Devices(boot);
  const counters = new Counters(boot, await devices.findRecord());
  const screen = new RecoveryScreen(kernel);
  screen.say("begins");
  const controller = new AbortController();
  const open = () => [...kernel.openDescriptors().values()].sort();
  const before = { mounts: kernel.mounts(), open: open() };
  const without = (all: string[], known: string[]) => {
    const left = [...known];
    return all.filter((one) => {
      const at = left.indexOf(one);
      if (at >= 0) left.splice(at, 1);
      return at < 0;
    });
  };
  kernel.beginTrace();
  const desk: TestDesk = {
    kernel,
    boot,
    devices,
    counters,
    screen,
    signal: controller.signal,
    advances: 0,
    reached: [],
    askedSources: (reached) => void desk.reached.push(reached),
    advanced: () => void desk.advances++,
    network: async () => network,
    abort: () => controller.abort(new Error("nothing moved")),
    held: () => ({ mounts: without(kernel.mounts(), before.mounts), open: without(open(), before.open) }),
  };
  return desk;
}
