/**
 * The life of a machine whose boot record has a bootloader's store beside it, or lies in a file, with slipway as the chooser: the
 * kernel is started by QEMU, so that nobody else writes the store.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ShownStore } from "../../../init/commands/store/show.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import type { TreeFiles } from "../../../qemu/tree.ts";
import { ordersFile, takeOrders } from "./orders.ts";
import type { SmallImage } from "./small-image.ts";
import { part, type SmallMachine, smallMachine, startSmall, type Told, toEnd } from "./small-machine.ts";

export interface StoreUnderTest {
  /** For the tests' names. */
  name: string;
  /** The line `boot-record: …` of system.yaml. */
  bootRecord: string;
  /** The loader's own partitions: "esp:esp=FILE". */
  partitions(): Promise<string[]>;
  /** Spoils the store on a disk. Null where there is none. */
  spoil: ((disk: string) => Promise<void>) | null;
  /** Whether slipway writes a spoiled store anew. */
  isRebuilt: boolean;
  /** Takes the record away; what the next boot then says of it. */
  loseRecord(disk: string): Promise<void>;
}

const script = `${takeOrders}sync\n`;

const image = (facts: string): SmallImage => ({ facts, ending: "hang", script, slipway: true });

/** system.yaml with slots a and b, which a loader calls A and B. */
export function systemOf(bootRecord: string): string {
  return `system: small
slots:
  a: { device: PARTLABEL=root-a, bootname: A }
  b: { device: PARTLABEL=root-b, bootname: B }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
${bootRecord}
device-timeout: 3s
recovery: off
trust: unsigned
`;
}

/** A store's machine; `files` are in its images. */
export async function storeMachine({ bootRecord, partitions }: StoreUnderTest, files: TreeFiles = {}): Promise<SmallMachine> {
  return smallMachine({
    system: systemOf(bootRecord),
    slots: { a: { ...image("v1"), files }, b: { ...image("v2"), files } },
    partitions: await partitions(),
    size: "768M",
  });
}

/** Boots with orders for the root that comes up. */
export async function orderedBoot(machine: SmallMachine, ...orders: string[]): Promise<Told> {
  return toEnd(await startSmall(machine, { disks: [{ file: machine.disk }, { file: ordersFile(...orders) }] }));
}

export const SHOW = "report show slipway store show --json";

export function shownIn(told: Told): ShownStore {
  const shown: ShownStore = JSON.parse(part(told, "show"));
  return shown;
}

/** Ranks of the slots in the view: "B A", what is given up left out. */
export function orderIn({ store }: ShownStore): string {
  const slots = Object.entries(store?.view?.slots ?? {});
  const on = slots.filter(([, { priority, good }]) => priority > 0 && good !== false);
  return on
    .sort(([, one], [, other]) => other.priority - one.priority)
    .map(([name]) => name)
    .join(" ");
}

export async function storeStory(subject: StoreUnderTest): Promise<void> {
  const machine = await storeMachine(subject);
  const { name, spoil } = subject;
  const hasStore = spoil !== null;

  test(`${name}: a first boot, which is committed`, async () => {
    const told = await orderedBoot(machine, "report commit slipway commit --quick", SHOW);
    assert.is(told.root, "v1");
    assert.equal([told.report.slot, told.report.trial, told.report.record.writable], ["a", true, true]);
    assert.match(part(told, "commit"), /Slot a is committed/);
    const shown = shownIn(told);
    assert.is(shown.record.condition, "valid");
    if (!hasStore) return;
    assert.equal([shown.store?.condition, shown.store?.changed], ["valid", []]);
    assert.is(orderIn(shown), "a b");
    assert.is(shown.store?.view?.slots.a?.tries, shown.store?.view?.slots.b?.tries, "a has all its boots again");
    assert.match(shown.store?.view?.nonce ?? "", /^[0-9a-f]{16}$/);
  });

  test(`${name}: the committed slot again; b is activated`, async () => {
    const told = await orderedBoot(machine, "report activate slipway activate b", SHOW);
    assert.equal([told.report.slot, told.report.trial], ["a", false]);
    assert.equal(
      told.report.warnings.filter((warning) => warning.includes("store")),
      [],
    );
    assert.match(part(told, "activate"), /b/);
    if (hasStore) assert.is(orderIn(shownIn(told)), "b a");
  });

  test(`${name}: b has three tries, the power goes each time, and a is back with the reason`, async () => {
    for (const attempt of [3, 4, 5]) {
      const told = await orderedBoot(machine, SHOW);
      assert.equal([told.report.slot, told.report.trial, told.report.attempt], ["b", true, attempt]);
      assert.equal(told.report.loader?.merged ?? [], []);
    }
    const told = await orderedBoot(machine, SHOW);
    assert.equal([told.report.slot, told.report.trial], ["a", false]);
    assert.is(told.report.rollback?.from, "b");
    if (hasStore) assert.is(orderIn(shownIn(told)), "a");
  });

  if (spoil !== null) {
    test(`${name}: a store that was torn is no reason not to boot${subject.isRebuilt ? ", and is made anew" : ""}`, async () => {
      await spoil(machine.disk);
      const told = await orderedBoot(machine, SHOW);
      assert.is(told.report.slot, "a");
      assert.is(told.report.loader?.store?.condition, "unreadable");
      assert.match(
        told.report.warnings.join("\n"),
        /the bootloader's store cannot be read .*: the boot record says what there is/,
      );
      const shown = shownIn(told);
      assert.is(shown.store?.condition, subject.isRebuilt ? "valid" : "unreadable");
      if (subject.isRebuilt) assert.is(orderIn(shown), "a");
    });
  }

  test(`${name}: the record lost${hasStore ? ", the store kept: what it gave up stays so" : ""}`, async () => {
    const own = { ...machine, disk: throwAwayCopy(machine.disk) };
    if (subject.isRebuilt) await orderedBoot(own, "report commit slipway commit --quick");
    await subject.loseRecord(own.disk);
    const told = await orderedBoot(own, "report commit slipway commit --quick", SHOW);
    assert.is(told.report.slot, "a");
    assert.is.not(told.report.record.condition, "valid");
    assert.is(told.report.trial, true);
    assert.match(part(told, "commit"), /Slot a is committed/);
    const shown = shownIn(told);
    assert.is(shown.record.condition, "valid");
    if (!subject.isRebuilt) return;
    assert.match((told.report.loader?.merged ?? []).join(), /begun from what the bootloader's store says/);
    assert.is(orderIn(shown), "a");
  });

  test(`${name}: ${hasStore ? "both lost" : "the record lost once more"}: the control file's slots, as trials`, async () => {
    await subject.loseRecord(machine.disk);
    await spoil?.(machine.disk);
    const told = await orderedBoot(machine, SHOW);
    assert.equal([told.report.slot, told.report.trial], ["a", true]);
    const shown = shownIn(told);
    assert.is(shown.record.condition, "valid");
    if (subject.isRebuilt) assert.is(orderIn(shown), "a b");
  });
}
