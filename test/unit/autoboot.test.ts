/** Raspberry Pi's autoboot.txt. No firmware of it runs here: the file is held against the documentation's own example. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { AUTOBOOT_SIZE, autobootReading, changeAutoboot, partitionsOf, readAutoboot } from "../../boot/stores/autoboot.ts";
import type { StoreSlot, StoreView } from "../../boot/stores/view.ts";

const slots: StoreSlot[] = [
  { name: "a", bootname: "2" },
  { name: "b", bootname: "3" },
];
/** As the documentation has it. */
const example = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";

const files: [string, string, ReturnType<typeof readAutoboot>][] = [
  ["the documentation's", example, { all: 2, tryboot: 3, isPartition: true, foreign: [] }],
  ["without sections", "boot_partition=2\n", { all: 2, tryboot: 2, isPartition: false, foreign: [] }],
  ["empty", "", { all: null, tryboot: null, isPartition: false, foreign: [] }],
  ["the last line counts", "boot_partition=2\nboot_partition=4\n", { all: 4, tryboot: 4, isPartition: false, foreign: [] }],
  [
    "[all] behind [tryboot] overrules it",
    "[tryboot]\nboot_partition=3\n[all]\nboot_partition=2\ntryboot_a_b=1",
    { all: 2, tryboot: 2, isPartition: true, foreign: [] },
  ],
  [
    "comments, blanks and carriage returns",
    "# boot_partition=9\r\n [all] \r\n\r\n  boot_partition = 2\r\ntryboot_a_b=1\r\n",
    { all: 2, tryboot: 2, isPartition: true, foreign: [] },
  ],
  [
    "a section of somebody else",
    `${example}[partition=5]\nboot_partition=6\n`,
    { all: 2, tryboot: 3, isPartition: true, foreign: ["partition=5"] },
  ],
  ["no number", "boot_partition=two\n", { all: null, tryboot: null, isPartition: false, foreign: [] }],
];
for (const [name, text, expected] of files) {
  test(`read: ${name}`, () => assert.equal(readAutoboot(text), expected));
}

test("what is written is read again, one sector long, with all else as it was", () => {
  const commented = `# made at the factory\n${example}# end\n[pi4]\nother=1\n`;
  for (const text of [...files.map(([, file]) => file), commented]) {
    for (const wanted of [
      { all: 2, tryboot: 3 },
      { all: 3, tryboot: 2 },
      { all: 3, tryboot: 3 },
    ]) {
      const changed = changeAutoboot(text, wanted);
      assert.is(Buffer.byteLength(changed), AUTOBOOT_SIZE);
      const { all, tryboot, isPartition } = readAutoboot(changed);
      assert.equal({ all, tryboot }, wanted, JSON.stringify(text));
      assert.ok(isPartition);
      assert.is(changeAutoboot(changed, wanted), changed, "the same again changes nothing");
    }
  }
  const changed = changeAutoboot(commented, { all: 3, tryboot: 2 });
  assert.is(
    changed.trimEnd(),
    commented.trimEnd().replace("boot_partition=2", "boot_partition=X").replace("=3", "=2").replace("=X", "=3"),
  );
});

test("there and back, many times, grows no file", () => {
  let text = "";
  for (let round = 0; round < 100; round++)
    text = changeAutoboot(text, round % 2 === 0 ? { all: 2, tryboot: 3 } : { all: 3, tryboot: 2 });
  assert.is(text.trimEnd(), "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2");
});

test("what does not fit is refused, and says what to do", () => {
  assert.throws(
    () => changeAutoboot(`# ${"x".repeat(500)}\n`, { all: 2, tryboot: 3 }),
    /bytes, and the firmware reads 512; take comments out/,
  );
  assert.throws(() => changeAutoboot(`# ${"ü".repeat(240)}\n`, { all: 2, tryboot: 3 }), /firmware reads 512/);
});

const good = { tries: null, good: true };
const views: [string, StoreView["slots"], { all: number; tryboot: number } | null][] = [
  [
    "a trial is tried, what is good boots",
    { a: { priority: 1, ...good }, b: { priority: 2, tries: 1, good: null } },
    { all: 2, tryboot: 3 },
  ],
  ["committed: they change places", { a: { priority: 1, ...good }, b: { priority: 2, ...good } }, { all: 3, tryboot: 2 }],
  ["back again", { a: { priority: 2, ...good }, b: { priority: 1, ...good } }, { all: 2, tryboot: 3 }],
  ["a bad one is neither", { a: { priority: 2, ...good }, b: { priority: 0, tries: 0, good: false } }, { all: 2, tryboot: 2 }],
  [
    "nothing is good: the best",
    { a: { priority: 1, tries: 1, good: null }, b: { priority: 2, tries: 1, good: null } },
    { all: 3, tryboot: 2 },
  ],
  ["both bad", { a: { priority: 0, tries: 0, good: false }, b: { priority: 0, tries: 0, good: false } }, null],
];
for (const [name, view, expected] of views) {
  test(`written: ${name}`, () => assert.equal(partitionsOf({ slots: view, nonce: null }, slots), expected));
}

test("a view says what the firmware boots by itself", () => {
  const reading = autobootReading(example, slots);
  assert.equal(reading, {
    condition: "valid",
    view: { slots: { a: { priority: 2, tries: null, good: true }, b: { priority: 1, tries: 1, good: null } }, nonce: null },
    reason: null,
  });
  assert.equal(autobootReading("tryboot_a_b=1\nboot_partition=3\n", slots).view?.slots, {
    a: { priority: 0, tries: 0, good: false },
    b: { priority: 2, tries: null, good: true },
  });
  assert.match(autobootReading("boot_partition=2\n", slots).reason ?? "", /lacks tryboot_a_b=1/);
  assert.match(
    autobootReading(`${example}[pi5]\nboot_partition=2\n`, slots).reason ?? "",
    /\[pi5\] sets a boot_partition as well/,
  );
  for (const [text, reason] of [
    ["", /names no boot_partition/],
    ["boot_partition=7\n", /boots partition 7, which is no slot's/],
  ] as const) {
    const { condition, reason: said } = autobootReading(text, slots);
    assert.is(condition, "empty");
    assert.match(said ?? "", reason);
  }
});

test("what a view is written as says that view again, as far as the firmware can tell", () => {
  for (const [name, view] of views) {
    const partitions = partitionsOf({ slots: view, nonce: null }, slots);
    if (partitions === null) continue;
    const seen = autobootReading(changeAutoboot("", partitions), slots).view;
    if (seen === null) throw new Error(name);
    assert.equal(partitionsOf(seen, slots), partitions, name);
  }
});

test.run();
