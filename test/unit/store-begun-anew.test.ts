/** A loader that lost its store writes down what it takes for missing: that is nobody's wish. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { freshRecord } from "../../boot/record/store.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import { mergeStore } from "../../boot/stores/merge.ts";
import { UBOOT_DIALECTS } from "../../boot/stores/uboot-dialects.ts";
import type { StoreView } from "../../boot/stores/view.ts";

const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };
const traits = { mostTries: 3, countsGood: true, hasNonce: true };
const facts = { policy, traits, chooser: "loader", unixMs: 1, started: "a" } as const;
const slots = policy.slots.map((name) => ({ name, bootname: name.toUpperCase() }));
const NONCE = "0123456789abcdef";

/** Slot b failed its trial. */
const record = withSlot(freshRecord(policy), "b", { tries: 0, reason: "trial used up without a commit" });
const said = (variables: Record<string, string>): StoreView =>
  UBOOT_DIALECTS.rauc.view(new Map(Object.entries(variables)), slots);
const base = said({ BOOT_ORDER: "A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "0", slipway_nonce: NONCE });
/** What the boot script writes where it found nothing, with the first boot counted. */
const defaults = { BOOT_ORDER: "A B", BOOT_A_LEFT: "2", BOOT_B_LEFT: "3" };

test("without its nonce the store gives no failed slot its tries back, and the record stays as it is", () => {
  const merged = mergeStore(record, base, said(defaults), facts);
  assert.equal(merged.record, record);
  assert.equal(merged.changes, [
    "the bootloader's store was lost and begun anew, without the nonce: it is written again from the boot record",
  ]);
});

test("with its nonce the same variables are somebody's mark-good", () => {
  const merged = mergeStore(record, base, said({ ...defaults, slipway_nonce: NONCE }), facts);
  assert.is(slotOf(merged.record, "b").tries, 3);
});

test("a store that never had one is merged all the same", () => {
  const merged = mergeStore(record, { ...base, nonce: null }, said(defaults), facts);
  assert.is(slotOf(merged.record, "b").tries, 3);
});

test.run();
