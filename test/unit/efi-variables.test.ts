/** UEFI's variables and boot entries, held against what the real efibootmgr made on a real efivarfs. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  decodeLoadOption,
  encodeLoadOption,
  LOAD_OPTION,
  type LoadOption,
  programOf,
} from "../../boot/stores/efi-load-option.ts";
import {
  bootEntryName,
  bootEntryNumber,
  bootEntryVariable,
  decodeBootNumber,
  decodeBootOrder,
  decodeSwitch,
  decodeText,
  decodeVariable,
  EFI_VARIABLE,
  efiPath,
  encodeBootNumber,
  encodeBootOrder,
  encodeText,
  encodeVariable,
  KEPT_VARIABLE,
  pathOfEfi,
} from "../../boot/stores/efi-variables.ts";

const vectors = readFileSync(new URL("../vectors/efi/efibootmgr-17.txt", import.meta.url), "utf8").split("\n");
/** What efibootmgr -v says. */
const shown = vectors.filter((line) => line.startsWith("> ")).map((line) => line.slice(2));
const files = new Map(
  vectors
    .filter((line) => /^[A-Z][^ ]+-[0-9a-f-]{36} /.test(line))
    .map((line): [string, Uint8Array] => [
      line.slice(0, line.indexOf(" ")),
      Uint8Array.fromHex(line.slice(line.indexOf(" ") + 1)),
    ]),
);

function known<Result>(result: Result | string | null): Result {
  if (typeof result === "string" || result === null) throw new Error(`refused: ${result}`);
  return result;
}

function fileOf(name: string): Uint8Array {
  return known(files.get(name) ?? null);
}

function variableValue(name: string): Uint8Array {
  return known(decodeVariable(fileOf(name))).value;
}

function optionOf(number: number): LoadOption {
  return known(decodeLoadOption(variableValue(bootEntryVariable(number))));
}

/** Refused, and why. */
function refused(result: unknown, why: RegExp): void {
  assert.type(result, "string");
  assert.match(String(result), why);
}

test("efibootmgr's order, next entry and switches are read as it shows them", () => {
  const order = known(decodeBootOrder(variableValue(EFI_VARIABLE.bootOrder)));
  assert.ok(shown.includes(`BootOrder: ${order.map((number) => bootEntryName(number).slice(4)).join(",")}`));
  assert.equal(order, [2, 1, 0]);
  assert.is(decodeBootNumber(variableValue(EFI_VARIABLE.bootNext)), 2);
  assert.is(decodeSwitch(variableValue(EFI_VARIABLE.secureBoot)), false);
  assert.is(decodeSwitch(variableValue(EFI_VARIABLE.setupMode)), true);
});

test("efibootmgr's boot entries are read as it shows them", () => {
  for (const number of [1, 2, 3]) {
    const { attributes, description, path, morePaths } = optionOf(number);
    const line = shown.find((text) => text.startsWith(`${bootEntryName(number)}*`)) ?? "";
    const [partition, file] = path;
    assert.is(attributes, LOAD_OPTION.active);
    assert.is(morePaths.length, 0);
    assert.is(path.length, 2);
    if (partition?.kind !== "partition" || file?.kind !== "file") throw new Error("neither partition nor file");
    const [start, size] = [partition.start.toString(16), partition.size.toString(16)];
    const drive = `HD(${partition.number},GPT,${partition.partition},0x${start},0x${size})`;
    assert.ok(line.startsWith(`${bootEntryName(number)}* ${description}\t${drive}/File(${file.path})`), line);
  }
  assert.is(Buffer.from(optionOf(1).data).toString("utf16le"), "nonce=0123456789abcdef");
  assert.equal(programOf(optionOf(1)), {
    partition: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
    path: "EFI/slipway-b/grubx64.efi",
  });
});

test("the firmware's own entry names no program on a partition, and keeps its nodes and its data", () => {
  const option = optionOf(0);
  assert.is(option.description, "UiApp");
  assert.equal(
    option.path.map((node) => node.kind),
    ["other", "other"],
  );
  assert.is(programOf(option), null);
});

test("what was read is written again byte for byte", () => {
  for (const [name, file] of files) {
    const variable = known(decodeVariable(file));
    assert.equal(encodeVariable(variable), file, name);
    const number = bootEntryNumber(name);
    if (number === null) continue;
    assert.is(bootEntryVariable(number), name);
    assert.equal(encodeLoadOption(known(decodeLoadOption(variable.value))), variable.value, name);
  }
  assert.equal(encodeVariable({ attributes: KEPT_VARIABLE, value: encodeBootOrder([2, 1, 0]) }), fileOf(EFI_VARIABLE.bootOrder));
  assert.equal(encodeVariable({ attributes: KEPT_VARIABLE, value: encodeBootNumber(2) }), fileOf(EFI_VARIABLE.bootNext));
});

test("a boot entry that is made here is efibootmgr's, byte for byte", () => {
  const partition = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
  const made: LoadOption = {
    attributes: LOAD_OPTION.active,
    description: "slipway b",
    path: [
      { kind: "partition", number: 2, start: 0x14800n, size: 0x14000n, partition },
      { kind: "file", path: efiPath("EFI/slipway-b/grubx64.efi") },
    ],
    morePaths: new Uint8Array(0),
    data: new Uint8Array(Buffer.from("nonce=0123456789abcdef", "utf16le")),
  };
  const value = encodeLoadOption(made);
  assert.equal(encodeVariable({ attributes: KEPT_VARIABLE, value }), fileOf(bootEntryVariable(1)));
});

test("every truncation of every entry is refused, up to its data", () => {
  for (const number of [0, 1, 2, 3]) {
    const value = variableValue(bootEntryVariable(number));
    const needed = value.length - optionOf(number).data.length;
    for (let length = 0; length < needed; length++) refused(decodeLoadOption(value.subarray(0, length)), /bytes|end/);
    for (let length = needed; length <= value.length; length++) known(decodeLoadOption(value.subarray(0, length)));
  }
  for (let length = 0; length < 4; length++) refused(decodeVariable(new Uint8Array(length)), /4 of attributes/);
  refused(decodeBootOrder(new Uint8Array(3)), /3 bytes/);
  for (const length of [0, 1, 3, 4]) refused(decodeBootNumber(new Uint8Array(length)), /has two/);
  for (const length of [0, 2]) refused(decodeSwitch(new Uint8Array(length)), /has one/);
  refused(decodeSwitch(Uint8Array.of(2)), /2, a switch is 0 or 1/);
});

test("nodes whose lengths cannot be are refused", () => {
  const value = variableValue(bootEntryVariable(1));
  const list = known(value.findIndex((_, at) => value[at] === 4 && value[at + 1] === 1 && value[at + 2] === 0x2a) || null);
  for (const length of [0, 3, 0xffff]) {
    const spoiled = value.slice();
    new DataView(spoiled.buffer).setUint16(list + 2, length, true);
    refused(decodeLoadOption(spoiled), /the node at byte 0 of its device path has/);
  }
  const longEnd = encodeLoadOption({
    ...optionOf(1),
    path: [{ kind: "other", type: 0x7f, subtype: 0xff, data: new Uint8Array(2) }],
  });
  refused(decodeLoadOption(longEnd), /the end of its device path has 6 bytes/);
});

test("partitions of an MBR, files without an end and nodes of any kind are kept as they are, and are no program", () => {
  const mbr = new Uint8Array(38);
  mbr[36] = 1;
  mbr[37] = 1;
  const paths: LoadOption["path"][] = [
    [{ kind: "other", type: 4, subtype: 1, data: mbr }],
    [{ kind: "other", type: 4, subtype: 1, data: new Uint8Array(37) }],
    [{ kind: "other", type: 4, subtype: 4, data: Uint8Array.of(0x41, 0) }],
    [{ kind: "other", type: 4, subtype: 4, data: Uint8Array.of(0x41, 0, 0, 0, 0x42, 0, 0, 0) }],
    [{ kind: "other", type: 4, subtype: 4, data: Uint8Array.of(0x41, 0, 0) }],
    [{ kind: "other", type: 0x7f, subtype: 1, data: new Uint8Array(0) }],
    [],
  ];
  for (const path of paths) {
    const option: LoadOption = { ...optionOf(1), path, morePaths: Uint8Array.of(1, 2, 3), data: Uint8Array.of(9) };
    assert.equal(decodeLoadOption(encodeLoadOption(option)), option);
    assert.is(programOf(option), null);
  }
});

test("a program is what lies behind the last partition, in one node or several", () => {
  const [drive] = optionOf(1).path;
  const pci: LoadOption["path"][number] = { kind: "other", type: 1, subtype: 1, data: new Uint8Array(2) };
  const file = (path: string): LoadOption["path"][number] => ({ kind: "file", path });
  if (!drive) throw new Error("no partition");
  const programs = [
    [pci, drive, file("\\EFI"), file("slipway-b\\grubx64.efi")],
    [pci, drive, file("\\EFI\\"), file("\\slipway-b\\grubx64.efi")],
  ].map((path) => programOf({ ...optionOf(1), path })?.path);
  assert.equal(programs, ["EFI/slipway-b/grubx64.efi", "EFI/slipway-b/grubx64.efi"]);
  assert.is(programOf({ ...optionOf(1), path: [drive] }), null);
  assert.is(programOf({ ...optionOf(1), path: [drive, file("\\x.efi"), pci] }), null);
});

test("names of boot entries have four digits in upper case and the firmware's vendor", () => {
  assert.is(bootEntryName(0xab), "Boot00AB");
  assert.is(bootEntryNumber(bootEntryVariable(0xffff)), 0xffff);
  const others = ["Boot00ab-8be4df61-93ca-11d2-aa0d-00e098032b8c", EFI_VARIABLE.bootOrder, EFI_VARIABLE.bootNext];
  const foreign = ["Boot0001-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", "Boot00001-8be4df61-93ca-11d2-aa0d-00e098032b8c", "Boot0001"];
  for (const name of [...others, ...foreign]) assert.is(bootEntryNumber(name), null, name);
});

test("numbers that no entry can have are refused", () => {
  for (const number of [-1, 0x10000, 0.5, Number.NaN])
    assert.throws(() => encodeBootOrder([0, number]), /no number of a boot entry/);
});

test("texts end at a NUL; without one, or with half a character, they are none", () => {
  assert.is(decodeText(encodeText("systemd-boot 252.39")), "systemd-boot 252.39");
  assert.is(decodeText(encodeText("")), "");
  assert.is(decodeText(encodeText("\ud800é€")), "\ud800é€");
  const value = encodeText("abc");
  for (let length = 0; length < value.length; length++) assert.is(decodeText(value.subarray(0, length)), null);
  assert.is(decodeText(Uint8Array.of(...encodeText("a"), 0x62, 0)), "a");
  assert.is(decodeText(Uint8Array.of(...encodeText("a"), 0x62)), null);
  assert.throws(() => encodeText("a\0b"), /NUL/);
});

test("paths of a partition and paths of the firmware", () => {
  assert.is(efiPath("EFI/slipway-a/grubx64.efi"), "\\EFI\\slipway-a\\grubx64.efi");
  assert.is(efiPath("/EFI//BOOT/"), "\\EFI\\BOOT");
  assert.is(pathOfEfi("\\EFI\\BOOT\\BOOTX64.EFI"), "EFI/BOOT/BOOTX64.EFI");
});

test("device paths that are too long are refused", () => {
  const file = { kind: "file", path: "x".repeat(33_000) } as const;
  assert.throws(() => encodeLoadOption({ ...optionOf(1), path: [file] }), /a node of a device path has 66006 bytes/);
  const files = Array.from({ length: 3 }, () => ({ kind: "file", path: "x".repeat(12_000) }) as const);
  assert.throws(() => encodeLoadOption({ ...optionOf(1), path: files }), /65535 are possible/);
});

test.run();
