import { test } from "uvu";
import * as assert from "uvu/assert";
import { UBOOT_DIALECTS, type UBootDialectName } from "../../boot/stores/uboot-dialects.ts";
import type { LoaderSlot, StoreView } from "../../boot/stores/view.ts";

const slots = [
  { name: "a", bootname: "A" },
  { name: "b", bootname: "B" },
];
const slot = (priority: number, tries: number | null, good: boolean | null = null): LoaderSlot => ({ priority, tries, good });
const bad = (tries = 0): LoaderSlot => slot(0, tries, false);

function view(name: UBootDialectName, variables: Record<string, string>): StoreView {
  return UBOOT_DIALECTS[name].view(new Map(Object.entries(variables)), slots);
}

function changes(of: StoreView, before: Record<string, string> = {}): Record<string, string | null> {
  return Object.fromEntries(UBOOT_DIALECTS.rauc.changes(of, slots, new Map(Object.entries(before))));
}

test("what the variables say, in both dialects", () => {
  const cases: [Record<string, string>, LoaderSlot, LoaderSlot][] = [
    [{ BOOT_ORDER: "A B", BOOT_A_LEFT: "3", BOOT_B_LEFT: "2" }, slot(2, 3), slot(1, 2)],
    [{ BOOT_ORDER: "B A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "2" }, slot(1, 3), slot(2, 2)],
    // Missing: the script of RAUC takes all slots and three tries.
    [{}, slot(2, 3), slot(1, 3)],
    [{ BOOT_ORDER: "", BOOT_A_LEFT: "" }, slot(2, 3), slot(1, 3)],
    [{ BOOT_ORDER: "B" }, bad(3), slot(2, 3)],
    // RAUC's mark-bad, of one slot, then of the other: fw_setenv removes an empty BOOT_ORDER.
    [{ BOOT_ORDER: "B", BOOT_A_LEFT: "0", BOOT_B_LEFT: "3" }, bad(), slot(2, 3)],
    [{ BOOT_A_LEFT: "0", BOOT_B_LEFT: "0" }, bad(), bad()],
    // Used up by the loader, which leaves the order alone.
    [{ BOOT_ORDER: "B A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "0" }, slot(1, 3), slot(2, 0)],
    // What is no number has none left, for U-Boot's test and for RAUC.
    [{ BOOT_ORDER: "A B", BOOT_A_LEFT: "x", BOOT_B_LEFT: "-1" }, slot(2, 0), slot(1, 0)],
    [{ BOOT_ORDER: "  A   B ", BOOT_A_LEFT: "1 " }, slot(2, 1), slot(1, 3)],
    // Slots that are none of ours, and one that is named twice.
    [{ BOOT_ORDER: "R A R B A" }, slot(2, 3), slot(1, 3)],
    [{ BOOT_ORDER: "R" }, bad(3), bad(3)],
  ];
  for (const name of ["rauc", "rauc-decimal"] as const) {
    for (const [variables, a, b] of cases) {
      assert.equal(view(name, variables), { slots: { a, b }, nonce: null }, `${name} ${JSON.stringify(variables)}`);
    }
  }
});

test("counts are hex for RAUC and its script, decimal for U-Boot's own bootmeth", () => {
  const counts: [string, number, number][] = [
    ["9", 9, 9],
    ["a", 10, 0],
    ["10", 16, 10],
    ["0xa", 10, 0],
    ["3z", 3, 3],
  ];
  for (const [text, hex, decimal] of counts) {
    assert.is(view("rauc", { BOOT_A_LEFT: text }).slots.a?.tries, hex, text);
    assert.is(view("rauc-decimal", { BOOT_A_LEFT: text }).slots.a?.tries, decimal, text);
  }
  assert.ok(Number.isSafeInteger(view("rauc", { BOOT_A_LEFT: "f".repeat(40) }).slots.a?.tries));
});

test("the nonce is 16 hex digits, or none", () => {
  assert.is(view("rauc", { slipway_nonce: "0123456789abcdef" }).nonce, "0123456789abcdef");
  for (const text of ["", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0"]) {
    assert.is(view("rauc", { slipway_nonce: text }).nonce, null, text);
  }
});

test("what RAUC 1.8 makes of the variables is seen", () => {
  const before = { BOOT_ORDER: "A B", BOOT_A_LEFT: "2", BOOT_B_LEFT: "1" };
  assert.equal(view("rauc", { ...before, BOOT_A_LEFT: "3" }).slots, { a: slot(2, 3), b: slot(1, 1) }, "mark-good A");
  assert.equal(view("rauc", { ...before, BOOT_ORDER: "B", BOOT_A_LEFT: "0" }).slots, { a: bad(), b: slot(2, 1) }, "mark-bad A");
  const active = { ...before, BOOT_ORDER: "B A", BOOT_B_LEFT: "3" };
  assert.equal(view("rauc", active).slots, { a: slot(1, 2), b: slot(2, 3) }, "mark-active B");
});

test("a view is written as RAUC's variables: the order by priority, counts from 0 to 9", () => {
  const nonce = "0123456789abcdef";
  assert.equal(changes({ slots: { a: slot(1, 3), b: slot(2, 2) }, nonce }), {
    BOOT_ORDER: "B A",
    BOOT_A_LEFT: "3",
    BOOT_B_LEFT: "2",
    slipway_nonce: nonce,
  });
  // A good slot that the store need not count has RAUC's three; ten tries are nine in both dialects.
  assert.equal(changes({ slots: { a: slot(2, null, true), b: slot(1, 10, true) }, nonce: null }), {
    BOOT_ORDER: "A B",
    BOOT_A_LEFT: "3",
    BOOT_B_LEFT: "9",
    slipway_nonce: null,
  });
  // A bad slot, one that is never chosen, and one that the view lacks are out of the order.
  for (const b of [bad(), slot(1, 3, false), slot(0, 3), undefined]) {
    const { BOOT_ORDER, BOOT_B_LEFT } = changes({ slots: { a: slot(2, 1), ...(b && { b }) }, nonce: null });
    assert.equal([BOOT_ORDER, BOOT_B_LEFT], ["A", "0"]);
  }
  assert.is(changes({ slots: { a: bad(), b: bad() }, nonce: null }).BOOT_ORDER, null);
});

test("slots in BOOT_ORDER that are none of ours are kept, behind ours", () => {
  const of: StoreView = { slots: { a: slot(1, 3), b: slot(2, 3) }, nonce: null };
  assert.is(changes(of, { BOOT_ORDER: "A R B" }).BOOT_ORDER, "B A R");
  assert.is(changes({ slots: {}, nonce: null }, { BOOT_ORDER: "A R B" }).BOOT_ORDER, "R");
});

test("what is written is read back, and written again the same", () => {
  const views: StoreView["slots"][] = [
    { a: slot(2, 3), b: slot(1, 9) },
    { a: slot(1, 3), b: slot(2, 0) },
    { a: bad(), b: slot(2, 1) },
    { a: bad(), b: bad() },
  ];
  for (const name of ["rauc", "rauc-decimal"] as const) {
    for (const ofSlots of views) {
      const written = UBOOT_DIALECTS[name].changes({ slots: ofSlots, nonce: null }, slots);
      const kept = new Map([...written].flatMap(([key, value]): [string, string][] => (value === null ? [] : [[key, value]])));
      assert.equal(UBOOT_DIALECTS[name].view(kept, slots).slots, ofSlots);
    }
  }
});

test.run();
