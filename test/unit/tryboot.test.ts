/** Raspberry Pi's tryboot in PID 1: no firmware of it runs here, so the machine in memory is told what it would have done. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { askTrial, trialCame } from "../../boot/selection/ask-trial.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { readAutoboot } from "../../boot/stores/autoboot.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { file } from "../../init/kernel/recording/memory-tree.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { controlFile, ext4, image, MiB } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";
import { report } from "./sealed-world.ts";
import { committed, policy, recordOf } from "./selection-fixtures.ts";

const trialFirst = () => recordOf({ a: { priority: 1 }, b: { priority: 2 } });

test("a trial that waits is asked for, as often as a trial has tries, and given up then", () => {
  let record = trialFirst();
  for (const times of [1, 2, 3]) {
    const asked = askTrial(record, "a", policy);
    assert.is(asked?.slot, "b");
    record = asked?.record ?? record;
    assert.is(record.trialsAsked, times);
    assert.is(slotOf(record, "b").tries, 3, "its own boots count its tries");
  }
  const last = askTrial(record, "a", policy);
  assert.is(last?.slot, null);
  const b = slotOf(last?.record ?? record, "b");
  assert.equal([b.tries, b.reason], [0, "the firmware was asked for its trial 3 times, and it did not come up"]);
  assert.is("trialsAsked" in (last?.record ?? record), false);
});

test("nothing is asked for where the trial runs, none waits, or nobody knows what was started", () => {
  assert.is(askTrial(trialFirst(), "b", policy), null);
  assert.is(askTrial(trialFirst(), null, policy), null);
  assert.is(askTrial(recordOf(), "a", policy), null, "a committed slot is first");
  assert.is(askTrial(recordOf({ a: { priority: 1 }, b: { ...committed, priority: 2 } }), "a", policy), null);
  assert.is(askTrial(recordOf({ a: { priority: 1 }, b: { priority: 2, tries: 0 } }), "a", policy), null);
  assert.is("trialsAsked" in trialCame({ ...trialFirst(), trialsAsked: 2 }), false);
});

const control: Partial<ControlFile> = {
  chooser: "loader",
  slots: [
    { name: "a", device: "PARTLABEL=root-a", bootname: "2" },
    { name: "b", device: "PARTLABEL=root-b", bootname: "3" },
  ],
  bootRecord: { store: "tryboot", device: "PARTLABEL=boot-record", tryboot: { device: "PARTLABEL=firmware" } },
};

class Pi {
  readonly world: World;
  readonly firmware: BlockDevice;

  constructor(autoboot: string) {
    const plain = controlFile({ operators: [] }).text;
    const v = (number: number) => image(number, { "usr/lib/slipway/control.json": plain });
    this.world = new World({ a: v(1), b: v(2), control });
    this.firmware = new BlockDevice({
      path: "/dev/vda5",
      number: { major: 254, minor: 5 },
      size: 4 * MiB,
      contents: ext4(0xf1),
      partition: { of: this.world.disk, number: 5, start: 48 * MiB, label: "firmware" },
      filesystem: { type: "ext4", tree: { "autoboot.txt": autoboot } },
    });
  }

  /** A boot for which the firmware took that partition. */
  async boot(partition: number): Promise<Boot> {
    const kernel = this.world.kernel();
    kernel.addDevice(this.firmware);
    const number = file(Uint8Array.of(0, 0, 0, partition));
    kernel.plant("/proc", { "device-tree": { chosen: { bootloader: { partition: number } } } });
    return this.world.boot(kernel);
  }

  get autoboot() {
    const kernel = this.world.kernel();
    kernel.addDevice(this.firmware);
    kernel.plant("/", { look: {} });
    kernel.mount("/dev/vda5", "/look", "ext4", 0, "");
    return readAutoboot(kernel.peek("/look/autoboot.txt") ?? "");
  }
}

const asksFor = ({ kernel }: Boot) => /\nreboot\("restart", "([^"]*)"\)/.exec(kernel.trace)?.[1] ?? null;

test("the slot whose partition the firmware booted is followed; a trial that waits is asked for by a restart", async () => {
  const pi = new Pi("[all]\ntryboot_a_b=1\nboot_partition=2\n");
  const first = await pi.boot(2);
  assert.is(first.root, "/dev/vda2", first.end);
  assert.is(report(first).loader?.named, "a");
  assert.is(report(first).loader?.store?.place, "autoboot.txt on /dev/vda5");
  pi.world.commitAndShutDown("a", image(1).id);
  pi.world.activate("b", image(2).id, "a");
  const asking = await pi.boot(2);
  assert.equal([asking.end, asksFor(asking)], ["reboot restart", "0 tryboot"]);
  const trial = await pi.boot(3);
  assert.is(trial.root, "/dev/vda3");
  assert.is(report(trial).trial, true);
});

test("a power cycle and a failure look the same: the trial is asked for again while it has tries, then the committed slot stays", async () => {
  const pi = new Pi("[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n");
  await pi.boot(2);
  pi.world.commitAndShutDown("a", image(1).id);
  pi.world.activate("b", image(2).id, "a");
  const seen: string[] = [];
  let next = 2;
  for (let boots = 0; boots < 9; boots++) {
    const boot = await pi.boot(next);
    seen.push(asksFor(boot) ?? boot.root ?? boot.end);
    // The firmware forgets at each boot what it was asked for.
    next = asksFor(boot) === null ? 2 : 3;
  }
  assert.equal(seen.slice(0, 6), ["0 tryboot", "/dev/vda3", "0 tryboot", "/dev/vda3", "0 tryboot", "/dev/vda3"]);
  assert.equal(seen.slice(6), ["/dev/vda2", "/dev/vda2", "/dev/vda2"]);
});

test("a trial whose kernel never gets as far as PID 1 is asked for three times", async () => {
  const pi = new Pi("[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n");
  await pi.boot(2);
  pi.world.commitAndShutDown("a", image(1).id);
  pi.world.activate("b", image(2).id, "a");
  const ends: (string | null)[] = [];
  for (let boots = 0; boots < 5; boots++) {
    const boot = await pi.boot(2);
    ends.push(asksFor(boot) ?? boot.root);
  }
  assert.equal(ends, ["0 tryboot", "0 tryboot", "0 tryboot", "/dev/vda2", "/dev/vda2"]);
  const { record } = pi.world.readRecord();
  assert.match(record?.slots.b?.reason ?? "", /asked for its trial 3 times/);
  assert.equal([pi.autoboot.all, pi.autoboot.tryboot], [2, 2], "a bad slot is not tried");
});

test.run();
