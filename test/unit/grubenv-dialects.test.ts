import { test } from "uvu";
import * as assert from "uvu/assert";
import { GRUBENV_DIALECTS, variableNumber } from "../../boot/stores/grubenv-dialects.ts";
import type { LoaderSlot, StoreView } from "../../boot/stores/view.ts";

const slots = [
  { name: "a", bootname: "A" },
  { name: "b", bootname: "B" },
];
const { rauc, slipway } = GRUBENV_DIALECTS;
const map = (variables: Record<string, string>) => new Map(Object.entries(variables));

test("numbers as strtoull reads them with base 0", () => {
  const table: [string, number][] = [
    ["0", 0],
    ["1", 1],
    ["3", 3],
    ["42", 42],
    ["0x1", 1],
    ["0XfF", 255],
    ["0x", 0],
    ["0xg", 0],
    ["010", 8],
    ["08", 0],
    ["1z", 1],
    [" 2", 2],
    ["+2", 2],
    ["-1", Number.MAX_SAFE_INTEGER],
    ["-0", 0],
    ["+-1", 0],
    ["", 0],
    ["a", 0],
    ["true", 0],
    ["99999999999999999999", Number.MAX_SAFE_INTEGER],
  ];
  for (const [text, value] of table) assert.is(variableNumber(text), value, JSON.stringify(text));
});

type Row = [what: string, variables: Record<string, string>, a: LoaderSlot | undefined, b: LoaderSlot | undefined];
const both = (a: [string, string], b: [string, string], order = "A B") => ({
  ORDER: order,
  A_OK: a[0],
  A_TRY: a[1],
  B_OK: b[0],
  B_TRY: b[1],
});
const slot = (priority: number, tries: number, good: boolean | null): LoaderSlot => ({ priority, tries, good });

const raucRows: Row[] = [
  ["nothing at all", {}, undefined, undefined],
  ["both good", both(["1", "0"], ["1", "0"]), slot(2, 1, true), slot(1, 1, true)],
  ["the other first", both(["1", "0"], ["1", "0"], "B A"), slot(1, 1, true), slot(2, 1, true)],
  ["started, not marked yet", both(["1", "1"], ["1", "0"]), slot(2, 0, null), slot(1, 1, true)],
  ["marked bad", both(["0", "0"], ["1", "0"]), slot(0, 1, false), slot(1, 1, true)],
  ["hexadecimal", both(["0x1", "0x0"], ["1", "0"]), slot(2, 1, true), slot(1, 1, true)],
  ["counted by another script", both(["1", "2"], ["1", "0"]), slot(2, 0, null), slot(1, 1, true)],
  ["no number", both(["yes", ""], ["1", "x"]), slot(0, 1, false), slot(1, 1, true)],
  ["one not in the order", both(["1", "0"], ["1", "0"], "B"), slot(0, 1, true), slot(1, 1, true)],
  ["strangers in the order", both(["1", "0"], ["1", "0"], "R  B rescue A"), slot(1, 1, true), slot(2, 1, true)],
  ["an empty order", both(["1", "0"], ["1", "0"], ""), slot(0, 1, true), slot(0, 1, true)],
  ["no order", { A_OK: "1", B_OK: "1" }, slot(2, 1, true), slot(1, 1, true)],
  ["an order alone: contrib/grub.conf takes both for not OK", { ORDER: "A B" }, undefined, undefined],
  ["OK missing: nobody's verdict, and never chosen", { ORDER: "A B", A_TRY: "1", B_OK: "1" }, slot(0, 0, null), slot(1, 1, true)],
];
const slipwayRows: Row[] = [
  ["nothing at all", {}, undefined, undefined],
  ["both good", both(["1", "0"], ["1", "0"]), slot(2, 3, true), slot(1, 3, true)],
  ["a first try", both(["1", "1"], ["1", "0"]), slot(2, 2, null), slot(1, 3, true)],
  ["a last try", both(["1", "3"], ["1", "0"]), slot(2, 0, null), slot(1, 3, true)],
  ["counted too far", both(["1", "9"], ["1", "0"]), slot(2, 0, null), slot(1, 3, true)],
  ["negative", both(["1", "-1"], ["1", "0"]), slot(2, 0, null), slot(1, 3, true)],
  ["marked bad", both(["0", "0"], ["1", "2"]), slot(0, 3, false), slot(1, 1, null)],
  ["an order alone: boot/loaders/grub.cfg takes both for OK", { ORDER: "B A" }, slot(1, 3, true), slot(2, 3, true)],
  ["OK missing is OK", { A_TRY: "1" }, slot(2, 2, null), undefined],
];
for (const [dialect, rows] of [
  ["rauc", raucRows],
  ["slipway", slipwayRows],
] as const) {
  for (const [what, variables, a, b] of rows) {
    test(`${dialect}: ${what}`, () => {
      const expected = Object.fromEntries(Object.entries({ a, b }).filter(([, value]) => value !== undefined));
      assert.equal(GRUBENV_DIALECTS[dialect].view(map(variables), slots), { slots: expected, nonce: null });
    });
  }
}

test("the nonce is 16 hexadecimal digits, or none", () => {
  const nonce = (value: string) => slipway.view(map({ slipway_nonce: value }), slots).nonce;
  assert.is(nonce("0123456789abcdef"), "0123456789abcdef");
  for (const other of ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg"])
    assert.is(nonce(other), null);
});

const changes = (view: StoreView, dialect = slipway) => Object.fromEntries(dialect.changes(view, slots));

test("a view is written with all variables of its slots", () => {
  const view: StoreView = { slots: { a: slot(1, 3, true), b: slot(2, 2, null) }, nonce: "0123456789abcdef" };
  const expected = { ORDER: "B A", A_OK: "1", A_TRY: "0", B_OK: "1", slipway_nonce: "0123456789abcdef" };
  assert.equal(changes(view), { ...expected, B_TRY: "1" });
  // One start is all that this script gives: what has tries left has not had it.
  assert.equal(changes(view, rauc), { ...expected, B_TRY: "0" });
});

test("what is not to be chosen is not OK and last in the order, where a later mark-good finds it", () => {
  const view: StoreView = { slots: { a: slot(0, 0, null), b: slot(1, 3, null) }, nonce: null };
  assert.equal(changes(view), { ORDER: "B A", A_OK: "0", A_TRY: "3", B_OK: "1", B_TRY: "0", slipway_nonce: null });
  const bad: StoreView = { slots: { a: { priority: 2, tries: null, good: false }, b: slot(1, 3, null) }, nonce: null };
  assert.equal(changes(bad), { ORDER: "A B", A_OK: "0", A_TRY: "0", B_OK: "1", B_TRY: "0", slipway_nonce: null });
});

test("more tries than the script counts are as many as it counts; none are none", () => {
  const view: StoreView = { slots: { a: slot(2, 10, true), b: slot(1, 0, null) }, nonce: null };
  assert.equal(changes(view), { ORDER: "A B", A_OK: "1", A_TRY: "0", B_OK: "1", B_TRY: "3", slipway_nonce: null });
  assert.is(changes(view, rauc).B_TRY, "1");
});

test("of slots that the view does not have, nothing is left", () => {
  const none = { ORDER: null, A_OK: null, A_TRY: null, B_OK: null, B_TRY: null, slipway_nonce: null };
  assert.equal(changes({ slots: {}, nonce: null }), none);
  const one = changes({ slots: { b: slot(1, 3, true) }, nonce: null });
  assert.equal(one, { ...none, ORDER: "B", B_OK: "1", B_TRY: "0" });
});

test("what was read is written as it stood", () => {
  for (const [dialect, rows] of [
    [rauc, raucRows],
    [slipway, slipwayRows],
  ] as const) {
    for (const [what, variables] of rows) {
      const view = dialect.view(map(variables), slots);
      const written = new Map<string, string>();
      for (const [name, value] of dialect.changes(view, slots)) if (value !== null) written.set(name, value);
      const again = dialect.view(written, slots);
      const order = (from: StoreView) =>
        Object.keys(from.slots).sort((x, y) => (from.slots[y]?.priority ?? 0) - (from.slots[x]?.priority ?? 0));
      assert.equal(order(again), order(view), what);
      assert.equal(dialect.view(new Map([...written]), slots), again);
      // A second writing changes nothing more.
      assert.equal(dialect.changes(again, slots), dialect.changes(view, slots), what);
    }
  }
});

test.run();
