/**
 * boot/loaders/grub.cfg in GRUB itself, against what the dialects say of the same block: which slots it starts, in which order,
 * what it counts before. One start of the machine for all blocks; what would leave GRUB is a function that says what it was given.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { changeGrubenv, readGrubenv } from "../../boot/stores/grubenv.ts";
import { GRUBENV_DIALECTS } from "../../boot/stores/grubenv-dialects.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { bytesOnEsp, type EspFiles } from "../../qemu/esp.ts";
import { GRUB_DIRECTORY, type GrubSettings, grubPartitions, grubScript, writeBootSector } from "../../qemu/grub.ts";
import { startMachine } from "../../qemu/machine.ts";
import { madeOf, slipway } from "../../qemu/product.ts";
import { writeFiles } from "../../qemu/tree.ts";
import { smallSystem } from "./support/small-image.ts";

const slots = [
  { name: "a", bootname: "a" },
  { name: "b", bootname: "b" },
];
const NONCE = "0123456789abcdef";

interface Case {
  what: string;
  /** Variables of the block, or its bytes; null: there is none. */
  block: Record<string, string> | Uint8Array | null;
  settings?: GrubSettings;
  /** Not what the dialect makes of the block, but this. */
  starts?: string[];
  /** Kernels that cannot be read. */
  broken?: string[];
}

const state = (a: [string, string], b: [string, string], more: Record<string, string> = {}) => ({
  ...{ ORDER: "a b", a_OK: a[0], a_TRY: a[1], b_OK: b[0], b_TRY: b[1] },
  ...more,
});
const blockOf = (variables: Record<string, string>) => changeGrubenv(null, new Map(Object.entries(variables)));
const whole = blockOf(state(["1", "0"], ["1", "0"], { ORDER: "b a", slipway_nonce: NONCE }));
const withSector = (from: number, fill: number) => new Uint8Array(whole).fill(fill, from, from + 512);
const second = state(["1", "0"], ["1", "0"], { filler: "x".repeat(380), ORDER: "b a", slipway_nonce: NONCE });

const cases: Case[] = [
  { what: "both good", block: state(["1", "0"], ["1", "0"]) },
  { what: "the other first", block: state(["1", "0"], ["1", "0"], { ORDER: "b a" }) },
  { what: "a second and a third start", block: state(["1", "1"], ["1", "2"]) },
  { what: "the first used up", block: state(["1", "3"], ["1", "0"]) },
  { what: "both used up", block: state(["1", "3"], ["1", "3"]) },
  { what: "counted too far", block: state(["1", "17"], ["1", "0"]) },
  { what: "the first bad", block: state(["0", "0"], ["1", "0"]) },
  { what: "both bad", block: state(["0", "0"], ["0", "0"]) },
  { what: "hexadecimal and octal", block: state(["0x1", "0x2"], ["01", "010"]) },
  { what: "words where numbers are", block: state(["1", ""], ["yes", "x"]) },
  { what: "strangers in the order", block: state(["1", "0"], ["1", "0"], { ORDER: "R b rescue a" }) },
  { what: "an order without one", block: state(["1", "0"], ["1", "0"], { ORDER: "b" }) },
  { what: "an empty order", block: state(["1", "0"], ["1", "0"], { ORDER: "" }) },
  { what: "commands in the order", block: state(["1", "0"], ["1", "0"], { ORDER: "; halt a" }) },
  { what: "a nonce", block: state(["1", "0"], ["1", "0"], { slipway_nonce: NONCE }) },
  { what: "words in the nonce", block: state(["1", "0"], ["1", "0"], { slipway_nonce: "1 init=/bin/sh" }) },
  { what: "variables of the script", block: state(["1", "0"], ["1", "0"], { tries: "0", words: "init=/bin/sh", root: "hd9" }) },
  { what: "an order alone", block: { ORDER: "b a" } },
  { what: "nothing in it", block: {}, starts: ["a", "b"] },
  { what: "no block", block: null, starts: ["a", "b"] },
  { what: "its first sector torn to zeros", block: withSector(0, 0), starts: ["a", "b"] },
  { what: "its second sector torn to zeros", block: withSector(512, 0) },
  { what: "its second sector torn to ones", block: withSector(512, 0xff) },
  { what: "variables across the sectors, the second torn", block: blockOf(second).fill(0, 512) },
  { what: "RAUC's: one start", block: state(["1", "0"], ["1", "1"]), settings: { tries: 1 } },
  { what: "RAUC's: both tried", block: state(["1", "1"], ["1", "1"]), settings: { tries: 1 } },
  {
    what: "chooser: slipway counts and names nothing",
    block: state(["1", "1"], ["1", "0"]),
    settings: { chooser: "slipway" },
    starts: [],
  },
  { what: "a kernel that cannot be read", block: state(["1", "0"], ["1", "0"]), broken: ["a"] },
];

/** Each slot has a kernel of its own, so that it is seen whose is started. */
const lines = {
  "set kernel=/vmlinuz": "set kernel=/slots/$1/vmlinuz",
  // "normal" brings this command with it.
  "if initrd $initrd; then boot; fi": "if initrd $initrd; then started; fi",
};

/** What ends GRUB, as functions: GRUB takes those where it has no such command. */
const functions = `
function linux { if [ "$1" = "$broken_a" -o "$1" = "$broken_b" ]; then false; else set given="$*"; true; fi; }
function initrd { true; }
function started { echo "<start $given>"; }
function sleep { echo "<sleep $1>"; }
function reboot { echo "<reboot>"; }
`;

function driver(): string {
  const steps = cases.map(({ broken = [] }, index) => {
    const unset = ["nonce", "slipway_nonce", "ORDER"].map((name) => `unset ${name}`).join("; ");
    const breaks = slots
      .map(({ name }) => `set broken_${name}=${broken.includes(name) ? `/slots/${name}/vmlinuz` : "none"}`)
      .join("; ");
    return `echo "<case ${index}>"; ${unset}; ${breaks}; source /cases/${index}/grub.cfg; echo "<end ${index}>"`;
  });
  return `${functions}${steps.join("\n")}\necho "<all>"\nwhile true; do true; done\n`;
}

const bytesOf = (block: Case["block"]) => (block === null || block instanceof Uint8Array ? block : blockOf(block));
const settingsOf = ({ settings }: Case, index: number) => ({ ...settings, block: `/cases/${index}/grubenv`, lines });

const said = new Map<number, string[]>();
let disk: string;

test.before(async () => {
  const files: EspFiles = { [`${GRUB_DIRECTORY}/grub.cfg`]: driver() };
  cases.forEach((one, index) => {
    const block = bytesOf(one.block);
    if (block !== null) files[`cases/${index}/grubenv`] = block;
    files[`cases/${index}/grub.cfg`] = grubScript(settingsOf(one, index));
  });
  const without = ["linux", "sleep", "reboot"];
  const partitions = await grubPartitions("bios", files, { without });
  const directory = await madeOf("grub-script", partitions, async (aside) => {
    writeFiles(aside, { "/system.yaml": smallSystem() });
    const words = partitions.flatMap((partition) => ["--partition", partition]);
    const sizes = ["--size", "128M", "--slot-size", "4M"];
    await slipway(["disk", "build", "--system", `${aside}/system.yaml`, ...words, ...sizes, "-o", `${aside}/disk`]);
    writeBootSector(`${aside}/disk`);
  });
  disk = throwAwayCopy(`${directory}/disk`);
  const machine = await startMachine({ firmware: { kind: "bios" }, disks: [{ file: disk }], memoryMiB: 256, timeoutMs: 60_000 });
  await machine.expect("<all>");
  await machine.cutPower();
  // Its terminal breaks lines after 79 columns.
  // Its terminal breaks lines after 79 columns.
  for (const [, index, text = ""] of machine.console.text.matchAll(/<case (\d+)>([\s\S]*?)<end \1>/g)) {
    said.set(
      Number(index),
      [...text.matchAll(/<([^>]*)>/g)].map(([, what = ""]) => what.replaceAll(/\s*\n\s*/g, " ")),
    );
  }
});

cases.forEach((one, index) => {
  test(one.what, async () => {
    const before = bytesOf(one.block);
    const reading = before === null ? null : readGrubenv(before);
    const rauc = one.settings?.tries === 1;
    const { view } = GRUBENV_DIALECTS[rauc ? "rauc" : "slipway"];
    const variables = reading?.variables ?? new Map<string, string>();
    const seen = view(variables, slots);
    const ranked = Object.entries(seen.slots)
      .filter(([, slot]) => slot.priority > 0 && slot.tries !== 0)
      .sort(([, x], [, y]) => y.priority - x.priority)
      .map(([name]) => name);
    const counted = one.starts ?? ranked;
    const can = (name: string) => !one.broken?.includes(name);
    const nonce = seen.nonce === null ? "" : ` slipway.nonce=${seen.nonce}`;
    const start = (name: string, word: string) => `start /slots/${name}/vmlinuz console=ttyS0${nonce}${word}`;
    const order = (variables.get("ORDER") ?? "a b").split(" ").filter((name) => name !== "");
    // Whatever the order names: there is no kernel of a stranger, and no harm in asking for it.
    const last = [...order, "a", "b"].filter(can);
    assert.equal(said.get(index), [
      ...counted.filter(can).map((name) => start(name, ` slipway.slot=${name}`)),
      ...last.map((name) => start(name, "")),
      "sleep 30",
      "reboot",
    ]);
    if (before === null) return;
    const after = await bytesOnEsp(disk, `cases/${index}/grubenv`);
    // What GRUB cannot read, or write to, it leaves as it is.
    const writable = reading?.variables !== null && (reading?.reason ?? null) === null;
    const expected = new Map<string, string | null>();
    for (const name of counted) expected.set(`${name}_TRY`, String(3 - (seen.slots[name]?.tries ?? 3) + 1));
    if (rauc) for (const name of counted) expected.set(`${name}_TRY`, "1");
    if (!writable) assert.equal(after, before);
    else for (const [name, value] of expected) assert.is(readGrubenv(after).variables?.get(name), value, name);
    if (writable && counted.length === 0) assert.equal(after, before);
  });
});

test("a setting that the script does not have is not set in silence", () => {
  assert.match(grubScript({ slots: "A B", tries: 1 }), /^set slots="A B"$[\s\S]*^set tries=1$/m);
  assert.throws(() => grubScript({ lines: { "set nothing=1": "x" } }), /has no line/);
});

test.run();
