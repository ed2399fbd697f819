/**
 * boot/loaders/u-boot.cmd in U-Boot itself, against what the dialect says of the same environment: which slots it starts, in which
 * order, what it counts before. One start of the machine for all environments; what would leave U-Boot says what it was given.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UBOOT_DIALECTS } from "../../boot/stores/uboot-dialects.ts";
import { changeEnvironment, readEnvironment } from "../../boot/stores/uboot-env.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { bytesOnEsp, type EspFiles } from "../../qemu/esp.ts";
import { startMachine } from "../../qemu/machine.ts";
import { madeOf, slipway } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { writeFiles } from "../../qemu/tree.ts";
import { BOOT_LABEL, freshFlash, scriptImage, uBootPartitions, uBootScript } from "../../qemu/u-boot.ts";
import { smallSystem } from "./support/small-image.ts";

const slots = [
  { name: "a", bootname: "A" },
  { name: "b", bootname: "B" },
];
const SIZE = 512;
const NONCE = "0123456789abcdef";

interface Case {
  what: string;
  /** Variables of the environment, or its bytes; null: there is none. */
  holds: Record<string, string> | Uint8Array | null;
  /** What the kernel is told of the nonce, where that is not what the dialect says. */
  nonce?: string;
}

const state = (a: string, b: string, more: Record<string, string> = {}): Record<string, string> => ({
  ...{ BOOT_ORDER: "A B", BOOT_A_LEFT: a, BOOT_B_LEFT: b },
  ...more,
});

function environmentOf(variables: Record<string, string>): Uint8Array {
  const blank = readEnvironment([null], "single");
  const [write] = changeEnvironment(blank, "single", SIZE, new Map(Object.entries(variables))).writes ?? [];
  if (write === undefined) throw new Error("nothing to write");
  return write.bytes;
}

const torn = environmentOf(state("1", "1"));
torn[100] = 1;

const cases: Case[] = [
  { what: "both have three boots", holds: state("3", "3") },
  { what: "the other first", holds: state("3", "2", { BOOT_ORDER: "B A" }) },
  { what: "the last boot of one", holds: state("1", "3") },
  { what: "the first used up", holds: state("0", "2") },
  { what: "both used up", holds: state("0", "0") },
  { what: "nine boots, and hexadecimal ones", holds: state("9", "a") },
  { what: "more than one digit", holds: state("10", "1f") },
  { what: "one that is out of the order", holds: state("3", "3", { BOOT_ORDER: "B" }) },
  { what: "strangers in the order", holds: state("3", "3", { BOOT_ORDER: "R B rescue A" }) },
  { what: "commands in the order", holds: state("3", "3", { BOOT_ORDER: "; reset A B" }) },
  { what: "no number in a count", holds: state("x", "3") },
  { what: "words in a count", holds: state("0 -o 1", "3") },
  { what: "commands in a count", holds: state("1;reset", "3; reset") },
  { what: "quotes in a count", holds: state("1' -o '1", '2" && reset; "') },
  { what: "variables in a count", holds: state(`\${slipway_save}`, "$(reset)") },
  { what: "an order alone", holds: { BOOT_ORDER: "B A" } },
  { what: "no order", holds: { BOOT_A_LEFT: "1", BOOT_B_LEFT: "2" } },
  { what: "no order, and none left, as after RAUC's mark-bad of both", holds: { BOOT_A_LEFT: "0", BOOT_B_LEFT: "0" } },
  { what: "nothing in it", holds: { other: "1" } },
  { what: "a nonce", holds: state("3", "3", { slipway_nonce: NONCE }) },
  { what: "words in the nonce", holds: state("3", "3", { slipway_nonce: "1 init=/bin/sh" }), nonce: "1b" },
  { what: "variables that U-Boot runs", holds: state("3", "3", { bootcmd: "reset", slipway_boot: "reset", slipway_slots: "B" }) },
  { what: "no environment", holds: null },
  { what: "a torn one", holds: torn },
  { what: "one that was never written", holds: new Uint8Array(SIZE).fill(0xff) },
  { what: "one of another size", holds: environmentOf(state("1", "1")).subarray(0, 256) },
];

const bytesOf = (holds: Case["holds"]) => (holds === null || holds instanceof Uint8Array ? holds : environmentOf(holds));

/** What starts a kernel, as an echo of it. */
const booti = `booti \${kernel_addr_r} \${ramdisk_addr_r}:\${filesize} \${slipway_fdt}`;

function scriptOf(index: number): string {
  const echo = `echo "<start \${slipway_from} \${bootargs}>" && false`;
  return uBootScript({
    counts: "file",
    lines: { [booti]: echo, "boot.env": `cases/${index}/boot.env`, "sleep 30\nreset": "true" },
  });
}

/** The script is one of U-Boot's own: what is left of one case does not reach the next. */
const driver = `${cases
  .map((_case, index) =>
    [
      `echo "<case ${index}>"`,
      ...["BOOT_ORDER", "BOOT_A_LEFT", "BOOT_B_LEFT", "slipway_nonce"].map((name) => `setenv ${name}`),
      `load \${devtype} \${devnum}:\${distro_bootpart} \${pxefile_addr_r} cases/${index}/boot.scr`,
      `source \${pxefile_addr_r}`,
      `echo "<end ${index}>"`,
    ].join("\n"),
  )
  .join("\n")}
echo "<all>"
poweroff
`;

const said = new Map<number, string[]>();
let disk: string;

test.before(async () => {
  const files: EspFiles = { Image: "no kernel", initrd: "no initrd", "B/Image": "no kernel", "B/initrd": "no initrd" };
  for (const [index, { holds }] of cases.entries()) {
    const bytes = bytesOf(holds);
    if (bytes !== null) files[`cases/${index}/boot.env`] = bytes;
    files[`cases/${index}/boot.scr`] = await scriptImage(scriptOf(index));
  }
  const partitions = await uBootPartitions(driver, files);
  const directory = await madeOf("u-boot-cases", partitions, async (aside) => {
    writeFiles(aside, { "/system.yaml": smallSystem() });
    const words = partitions.flatMap((partition) => ["--partition", partition]);
    const sizes = ["--size", "128M", "--slot-size", "4M"];
    await slipway(["disk", "build", "--system", `${aside}/system.yaml`, ...words, ...sizes, "-o", `${aside}/disk`]);
    freshFlash(`${aside}/flash`);
  });
  disk = throwAwayCopy(`${directory}/disk`);
  const machine = await startMachine({
    architecture: "arm64",
    firmware: { kind: "u-boot", flash: throwAwayCopy(`${directory}/flash`) },
    disks: [{ file: disk }],
    timeoutMs: 90_000,
  });
  await machine.expect("<all>");
  await machine.exited;
  for (const [, index, text = ""] of machine.console.text.matchAll(/<case (\d+)>([\s\S]*?)<end \1>/g)) {
    said.set(
      Number(index),
      [...text.matchAll(/<([^>]*)>/g)].map(([, what = ""]) => what.trimEnd()),
    );
  }
});

cases.forEach(({ what, holds, nonce }, index) => {
  test(what, async () => {
    const before = bytesOf(holds);
    const reading = readEnvironment([before?.length === SIZE ? before : null], "single");
    const variables = reading.variables ?? new Map<string, string>();
    const view = UBOOT_DIALECTS.rauc.view(variables, slots);
    const ranked = slots
      .filter(({ name }) => (view.slots[name]?.priority ?? 0) > 0 && view.slots[name]?.tries !== 0)
      .sort((one, two) => (view.slots[two.name]?.priority ?? 0) - (view.slots[one.name]?.priority ?? 0));
    const echoed = nonce ?? view.nonce;
    const start = (bootname: string, word: string) => {
      const words = ["console=ttyAMA0", word, echoed === null ? "" : `slipway.nonce=${echoed}`].filter((one) => one !== "");
      return `start ${bootname === "B" ? "/B/" : "/"} ${words.join(" ")}`;
    };
    assert.equal(said.get(index), [
      ...ranked.map(({ bootname }) => start(bootname, `slipway.slot=${bootname}`)),
      ...["A", "B"].map((bootname) => start(bootname, "")),
    ]);
    if (ranked.length === 0) return;
    const after = readEnvironment([await bytesOnEsp(disk, `cases/${index}/boot.env`, BOOT_LABEL)], "single");
    const counts = UBOOT_DIALECTS.rauc.view(after.variables ?? new Map(), slots);
    for (const { name } of slots) {
      const isCounted = ranked.some((slot) => slot.name === name);
      const tries = view.slots[name]?.tries ?? 0;
      assert.is(counts.slots[name]?.tries, isCounted ? tries - 1 : tries, name);
      assert.is(counts.slots[name]?.priority, view.slots[name]?.priority, name);
    }
    assert.is(after.variables?.get("slipway_nonce"), variables.get("slipway_nonce"));
    assert.equal(
      [...(after.variables?.keys() ?? [])].filter((name) => !/^(BOOT_|slipway_nonce)/.test(name)),
      [],
    );
  });
});

test("what U-Boot wrote is read by fw_printenv too", async () => {
  const directory = mkdtempSync(`${tmpdir()}/slipway-u-boot-`);
  try {
    const number = cases.findIndex(({ what }) => what === "a nonce");
    writeFileSync(`${directory}/boot.env`, await bytesOnEsp(disk, `cases/${number}/boot.env`, BOOT_LABEL));
    writeFileSync(`${directory}/config`, `${directory}/boot.env 0x0 0x200\n`);
    const printed = await runProgram("fw_printenv", ["-c", `${directory}/config`]);
    const expected = ["BOOT_A_LEFT=2", "BOOT_B_LEFT=2", "BOOT_ORDER=A B", `slipway_nonce=${NONCE}`];
    assert.equal(printed.trimEnd().split("\n").sort(), expected);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("words that the script does not have are not replaced in silence", () => {
  assert.match(uBootScript({ slots: "x y z" }), /^setenv slipway_slots "x y z"$/m);
  assert.match(uBootScript({ counts: "own" }), /^setenv slipway_save saveenv$/m);
  assert.is(uBootScript({ counts: "file" }).match(/^setenv slipway_(load|save) /gm)?.length, 2);
  assert.throws(() => uBootScript({ lines: { "no such words": "" } }), /has no no such words/);
});

test.run();
