/** `install:`, `layout:` and what `data:` says of making it: what they become in the control file, and what is refused. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PARTITION_TYPES, SLIPWAY_PARTITION_TYPE } from "../../state-ops/partition-types.ts";
import { compileTexts, problemsOf, sampleSystem } from "../samples/compile.ts";

const MIB = 1024 * 1024;
const keys = { "k.pem": "ab".repeat(32) };
const signed = sampleSystem.replace("trust: unsigned", "trust: { keys: [k.pem] }");
const record = "{ label: boot-record, size: 4M }";
const [a, b] = ["{ label: root-a, size: 600M }", "{ label: root-b, size: 600MiB }"];
const data = "{ label: sys-data, size: rest }";

/** The sample with `install: blank` in line 8 and the layout in line 9. */
function system(partitions: readonly string[], more = ""): string {
  return `${signed}install: blank\nlayout: [${partitions.join(", ")}]\n${more}`;
}

const whole = [record, a, b, data];
const linux = SLIPWAY_PARTITION_TYPE;

test("a layout becomes partitions in bytes, Linux' own unless said; the data filesystem is made", () => {
  const { control, warnings } = compileTexts({ system: system(whole), keys });
  assert.equal(control.install, {
    partitions: [
      { label: "boot-record", size: 4 * MIB, type: linux },
      { label: "root-a", size: 600 * MIB, type: linux },
      { label: "root-b", size: 600 * MIB, type: linux },
      { label: "sys-data", size: null, type: linux },
    ],
  });
  assert.is(control.data?.create, true);
  assert.is(control.data?.grow, false);
  assert.equal(warnings, []);
});

test("types are names or GUIDs; what is Linux' own has one meaning", () => {
  assert.is(PARTITION_TYPES.linux, SLIPWAY_PARTITION_TYPE);
  const guid = "9D275380-40AD-11DB-BF97-000C2911D1B8";
  const more = ["{ label: EFI, size: 64M, type: esp }", `{ label: core, size: 1M, type: ${guid} }`];
  const typed = "{ label: root-a, size: 600M, type: root-x86-64 }";
  const { control } = compileTexts({ system: system([more[0] ?? "", record, typed, b, more[1] ?? "", data]), keys });
  const types = control.install?.partitions.map(({ type }) => type);
  assert.equal(types, [PARTITION_TYPES.esp, linux, PARTITION_TYPES["root-x86-64"], linux, guid.toLowerCase(), linux]);
});

test("the last partition may have a size too; a machine without data needs none", () => {
  const sized = compileTexts({ system: system([record, a, b, "{ label: sys-data, size: 2G }"]), keys }).control;
  assert.is(sized.install?.partitions.at(-1)?.size, 2048 * MIB);
  const text = system([record, a, "{ label: root-b, size: rest }"]).replace(/^data:.*\n/m, "");
  assert.is(compileTexts({ system: text, keys }).control.install?.partitions.length, 3);
});

test("data grows and is made only where that is said", () => {
  const dataOf = (text: string) => compileTexts({ system: signed.replace("ext4 }", `ext4${text} }`), keys }).control.data;
  assert.equal([dataOf("")?.grow, dataOf("")?.create], [false, false]);
  assert.equal([dataOf(", grow: true")?.grow, dataOf(", create: true")?.create], [true, true]);
});

test("a blank disk and nothing to install from is said", () => {
  const nowhere = system(whole).replace("trust: { keys: [k.pem] }", "trust: unsigned");
  const [warning, ...more] = compileTexts({ system: nowhere }).warnings;
  assert.match(warning ?? "", /^system\.yaml:8:10: "recovery" names nothing to install from; give it "sources"$/);
  assert.equal(more, []);
});

const faults: [string, string, RegExp][] = [
  ["a layout without install", `${signed}layout: [${record}]\n`, /^system\.yaml:8:1: "layout" says what .*"install: blank"/],
  ["install without a layout", `${signed}install: blank\n`, /^system\.yaml:8:10: "install: blank" makes the partitions/],
  ["another word", `${signed}install: always\nlayout: [${whole}]\n`, /^system\.yaml:8:10: "install" must be blank, is "always"/],
  [
    "a layout that is a map",
    `${signed}install: blank\nlayout: { root-a: 600M }\n`,
    /^system\.yaml:9:9: "layout" must be a list of/,
  ],
  ["an empty layout", system([]), /^system\.yaml:9:9: "layout" must name at least one partition/],
  [
    "too many partitions",
    system([...Array.from({ length: 61 }, (_, index) => `{ label: p${index}, size: 1M }`), ...whole]),
    /"layout" must name at most 64 partitions/,
  ],
  [
    "an unknown key",
    system([record, a, b, "{ label: sys-data, size: rest, start: 0 }"]),
    /"start" is no key .* label, size, type/,
  ],
  ["no size", system([record, a, b, "{ label: sys-data }"]), /"size" is missing; it must be a size such as "600M", or "rest"/],
  [
    "a size that is none",
    system([record, a, b, "{ label: sys-data, size: all }"]),
    /"size" must be a size such as "600M", or "rest"/,
  ],
  ["no label", system([record, a, b, data, "{ size: 1M }"]), /"label" is missing/],
  [
    "a label that is too long",
    system(["{ label: abcdefghijklmnopqrstuvwxyz-1234567890, size: 1M }", ...whole]),
    /a partition label is 1 to 36/,
  ],
  [
    "a label that is not ASCII",
    system(["{ label: zündung, size: 1M }", ...whole]),
    /a partition label is 1 to 36 printable ASCII/,
  ],
  ["a label twice", system([record, a, a, b, data]), /^system\.yaml:9:84: two partitions are labelled "root-a"/],
  ["the rest in between", system([record, a, data, b]), /only the last partition can have the rest/],
  [
    "half a MiB",
    system([record, a, b, "{ label: x, size: 1536K }", data]),
    /^system\.yaml:9:\d+: 1572864 bytes are no whole number of MiB/,
  ],
  [
    "a type",
    system([record, a, b, "{ label: x, size: 1M, type: root }", data]),
    /"root" is no partition type; known are linux, esp/,
  ],
  [
    "a type of an object's own",
    system([record, a, b, "{ label: x, size: 1M, type: constructor }", data]),
    /is no partition type/,
  ],
  [
    "a slot that is not there",
    system([record, a, data]),
    /^system\.yaml:3:16: slot b is PARTLABEL=root-b, and "layout" has no such/,
  ],
  ["no boot record", system([a, b, data]), /^system\.yaml:6:39: the boot record is PARTLABEL=boot-record, and "layout" has no/],
  ["no data", system([record, a, b]), /^system\.yaml:5:17: the data filesystem is PARTLABEL=sys-data, and "layout" has no/],
  [
    "a small boot record",
    system(["{ label: boot-record, size: 3M }", a, b, data]),
    /^system\.yaml:6:39: the boot record needs 4M/,
  ],
  [
    "a slot by its UUID",
    system([record, a, b, data]).replace("PARTLABEL=root-a", "PARTUUID=12-34"),
    /^system\.yaml:4:16: slot a is PARTUUID=12-34, which a disk that is made anew does not have/,
  ],
  [
    "data that nobody makes",
    system(whole).replace("ext4 }", "ext4, create: false }"),
    /^system\.yaml:5:\d+: a blank disk has no data filesystem, and "create: false"/,
  ],
  [
    "a ladder without reinstall",
    system(whole, "recovery: { ladder: [repair] }\n"),
    /^system\.yaml:8:10: "install: blank" installs by/,
  ],
  ["no recovery at all", system(whole, "recovery: off\n"), /^system\.yaml:8:10: "install: blank" installs by the rung reinstall/],
  [
    "data by its filesystem's label, made",
    signed.replace("device: PARTLABEL=sys-data, filesystem: ext4", "device: LABEL=sys-data, filesystem: ext4, create: true"),
    /^system\.yaml:5:17: "create": LABEL=sys-data names a filesystem/,
  ],
  ["a word for growing", signed.replace("ext4 }", "ext4, grow: yes }"), /"grow" must be true or false, is "yes"/],
];

for (const [name, text, message] of faults) {
  test(`refused: ${name}`, () => {
    const [first, ...others] = problemsOf({ system: text, keys });
    assert.match(first ?? "it compiled", message);
    assert.equal(others, []);
  });
}

test.run();
