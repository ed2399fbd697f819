import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { buildInitrd } from "../../init/builder/initrd/build.ts";
import { readCpio, writeCpio } from "../../init/builder/initrd/cpio.ts";
import { executableRanges } from "../../init/builder/initrd/executable-parts.ts";
import { verb } from "../../init/builder/initrd/list.ts";
import { purposesOf } from "../../init/builder/initrd/module-purposes.ts";
import { type Weight, weighInitrd, weightsAsJson, weightsAsText } from "../../init/builder/initrd/weigh.ts";
import { dist } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { matchesGolden } from "../golden.ts";
import { NO_RECOVERY, sampleControlText } from "../samples/control-file.ts";
import { sampleInitrdInput } from "../samples/initrd-input.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-weights-`);
const modules = `${scratch}/lib/modules/6.1-test`;

test.before(() => {
  mkdirSync(`${modules}/kernel`, { recursive: true });
  const needs: Record<string, string[]> = {
    loop: [],
    squashfs: [],
    virtio_blk: ["virtio"],
    virtio: [],
    ext4: ["jbd2"],
    jbd2: [],
    vfat: ["fat"],
    fat: [],
    e1000: [],
    dm_verity: [],
    i6300esb: [],
    virtio_net: ["virtio"],
    af_packet: [],
  };
  for (const name of Object.keys(needs)) writeFileSync(`${modules}/kernel/${name}.ko`, `module ${name} `.repeat(500));
  const lines = Object.entries(needs).map(
    ([name, others]) => `kernel/${name}.ko: ${others.map((other) => `kernel/${other}.ko`).join(" ")}\n`,
  );
  writeFileSync(`${modules}/modules.dep`, lines.join(""));
  writeFileSync(`${modules}/modules.alias`, "alias pci:e1000 e1000\n");
  const recovery = { ...NO_RECOVERY, network: { mode: "dhcp" as const }, media: true };
  writeFileSync(`${scratch}/control.json`, sampleControlText({ system: "test", data: null, recovery }));
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

async function initrd(
  changes: { executable?: string; extra?: string[]; debug?: boolean; named?: string[] } = {},
): Promise<Buffer> {
  await buildInitrd(
    sampleInitrdInput({
      control: `${scratch}/control.json`,
      modules,
      executable: "/bin/ls",
      preinit: "/bin/true",
      output: `${scratch}/initrd`,
      ...changes,
    }),
  );
  return readFileSync(`${scratch}/initrd`);
}

const sum = (weights: readonly { bytes: number }[]): number => weights.reduce((total, { bytes }) => total + bytes, 0);
const filesOf = (weights: readonly Weight[], purpose: string): string[] =>
  (weights.find((weight) => weight.purpose === purpose)?.files ?? []).map(({ path }) => path).sort();

test("the weights of a real initrd add up to its size, and name what each file is for", async () => {
  const archive = await initrd({ extra: ["/usr/share/x=/etc/passwd"], debug: true });
  const weights = weighInitrd(archive);
  assert.is(sum(weights), archive.length);
  for (const { bytes, files, purpose } of weights) {
    assert.is(sum(files), bytes, purpose);
    assert.ok(bytes > 0, purpose);
  }
  assert.equal(
    weights.map(({ bytes }) => bytes),
    weights.map(({ bytes }) => bytes).sort((one, other) => other - one),
  );
  const inRuntime = (...names: string[]) => names.map((name) => `/modules/${name}.ko`).sort();
  assert.equal(filesOf(weights, "module-network"), inRuntime("af_packet", "e1000", "virtio_net"));
  assert.equal(filesOf(weights, "module-media"), inRuntime("fat", "vfat"));
  assert.equal(filesOf(weights, "module-disks"), inRuntime("virtio", "virtio_blk"));
  assert.equal(filesOf(weights, "module-filesystems"), inRuntime("ext4", "jbd2"));
  assert.equal(filesOf(weights, "module-proof"), inRuntime("dm_verity"));
  assert.equal(filesOf(weights, "module-watchdogs"), inRuntime("i6300esb"));
  assert.equal(filesOf(weights, "module-preinit"), [...inRuntime("loop", "squashfs"), "modules/loop.ko", "modules/squashfs.ko"]);
  assert.equal(filesOf(weights, "busybox"), ["/usr/bin/busybox"]);
  assert.equal(filesOf(weights, "extra"), ["/usr/share/x"]);
  assert.equal(filesOf(weights, "executable-code"), ["/usr/bin/slipway"]);
  assert.ok(filesOf(weights, "libraries").some((path) => path.includes("libc.so")));
  assert.equal(filesOf(weights, "preinit"), ["init"]);
  assert.equal(filesOf(weights, "control"), ["etc/slipway/control.json"]);
  const named = weighInitrd(await initrd({ named: ["ext4"] }));
  assert.equal(filesOf(named, "module-named"), inRuntime("ext4", "jbd2"));
  assert.equal(filesOf(named, "module-filesystems"), []);
});

test("the executable's weight is told by what its bytes are for", async () => {
  const archive = await initrd({ executable: `${dist}/slipway` });
  const weights = weighInitrd(archive);
  assert.is(sum(weights), archive.length);
  const bytes = (purpose: string): number => weights.find((weight) => weight.purpose === purpose)?.bytes ?? 0;
  const code = bytes("executable-code");
  for (const part of ["constants", "languages", "our-javascript", "runtime-javascript"]) {
    assert.ok(
      bytes(`executable-${part}`) > 300_000 && bytes(`executable-${part}`) < code / 4,
      `${part}: ${bytes(`executable-${part}`)}`,
    );
  }
  assert.ok(bytes("executable-languages") < 2_000_000, "other languages are zeros");
});

test("the ranges of a program follow each other and cover it, as readelf has its sections", async () => {
  for (const program of ["/bin/ls", `${dist}/slipway`, `${dist}/preinit`]) {
    const file = readFileSync(program);
    const ranges = executableRanges(file);
    let at = 0;
    for (const { start, end } of ranges) {
      assert.is(start, at, program);
      assert.ok(end > start);
      at = end;
    }
    assert.is(at, file.length, program);
    const said = await runProgram("readelf", ["-SW", program]);
    const text = /\] \.text +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)/.exec(said);
    const [start, size] = [Number.parseInt(text?.[1] ?? "", 16), Number.parseInt(text?.[2] ?? "", 16)];
    const covering = ranges
      .filter(({ part }) => part === "code")
      .filter((range) => range.start < start + size && range.end > start);
    const covered = covering.reduce((sum, range) => sum + Math.min(range.end, start + size) - Math.max(range.start, start), 0);
    assert.is(covered, size, program);
  }
  assert.throws(
    () => executableRanges(Buffer.from("#!/bin/sh")),
    (error: unknown) => error instanceof BadInput,
  );
});

test("a second file of the executable's pages, and a program that no ELF is in", async () => {
  const archive = await initrd();
  const entries = readCpio(archive);
  const content = (path: string) => {
    const entry = entries.find((one) => one.path === path);
    return entry === undefined ? new Uint8Array(0) : archive.subarray(entry.start, entry.start + entry.size);
  };
  const file = (path: string, bytes: Uint8Array) => ({ path, kind: "file" as const, mode: 0o644, content: bytes });
  const other = Buffer.concat(
    writeCpio([
      file("runtime.hot", new Uint8Array(50_000)),
      file("odd", new Uint8Array(7)),
      file("runtime.squashfs", content("runtime.squashfs")),
    ]),
  );
  const weights = weighInitrd(other);
  assert.is(sum(weights), other.length);
  assert.equal(weights.find(({ purpose }) => purpose === "hot")?.bytes, 50_000);
  assert.equal(filesOf(weights, "small"), ["odd"]);
});

test("what a module is for is the first purpose that needs it", () => {
  const index = (depends: Record<string, string[]>, load: string[] = [], recovery: string[] = []) =>
    purposesOf({ schema: 1, kernel: "k", load, depends, aliases: [], recovery });
  const purposes = index(
    {
      "usb-storage.ko": ["usbcore.ko"],
      "usbcore.ko": [],
      "vfat.ko": ["usbcore.ko"],
      "strange.ko": [],
      "odd.ko": [],
      "zram.ko": [],
    },
    ["zram.ko"],
    ["odd.ko"],
  );
  assert.equal(Object.fromEntries(purposes), {
    "zram.ko": "named",
    "usbcore.ko": "disks",
    "usb-storage.ko": "disks",
    "vfat.ko": "media",
    "odd.ko": "network",
    "strange.ko": "other",
  });
});

test("as text", () => {
  const weights: Weight[] = [
    { purpose: "executable-code", bytes: 35_494_122, files: [{ path: "/usr/bin/slipway", bytes: 35_494_122 }] },
    { purpose: "module-network", bytes: 2_000_000, files: [{ path: "/modules/e1000.ko", bytes: 2_000_000 }] },
    { purpose: "module-disks", bytes: 900_001, files: [] },
    { purpose: "headers", bytes: 3_486, files: [] },
  ];
  const archive = new Uint8Array(sum(weights));
  matchesGolden("initrd-weights", `${weightsAsText(archive, weights)}\n`);
  const { parts, bytes }: { parts: unknown[]; bytes: number } = JSON.parse(JSON.stringify(weightsAsJson(archive, weights)));
  assert.is(bytes, archive.length);
  assert.equal(parts[1], {
    purpose: "module-network",
    what: "kernel modules: network, for a recovery",
    leftOutBy: "recovery: { network: off }",
    bytes: 2_000_000,
    files: [{ path: "/modules/e1000.ko", bytes: 2_000_000 }],
  });
});

test("what is no initrd, or a damaged one, is refused by name", async () => {
  const refused = async (path: string, wanted: RegExp, values: Record<string, boolean> = { weights: true }) => {
    try {
      await verb.run(values, [path]);
    } catch (error) {
      assert.instance(error, BadInput, String(error));
      assert.match(String(error), wanted);
      return;
    }
    assert.unreachable(`${path} was not refused`);
  };
  const archive = await initrd();
  const runtime = readCpio(archive).find(({ path }) => path === "runtime.squashfs");
  assert.ok(runtime);
  const spoiled = (name: string, change: (bytes: Buffer) => void): string => {
    const bytes = Buffer.from(archive);
    change(bytes);
    writeFileSync(`${scratch}/${name}`, bytes);
    return `${scratch}/${name}`;
  };
  await refused("/etc/passwd", /^BadInput: \/etc\/passwd: byte 0 has/);
  await refused(
    spoiled("magic", (bytes) => bytes.fill(0, runtime.start, runtime.start + 4)),
    /magic: no squashfs 4/,
  );
  await refused(
    spoiled("tables", (bytes) => bytes.fill(0xff, runtime.start + 64, runtime.start + 72)),
    /tables: squashfs is damaged/,
  );
  cpSync(`${scratch}/initrd`, `${scratch}/short`);
  writeFileSync(`${scratch}/short`, archive.subarray(0, archive.length - 40_000));
  await refused(`${scratch}/short`, /short: the archive is cut short/);
  await refused(`${scratch}/initrd`, /--json is there for --weights only/, { json: true });
});

test("a runtime whose files would take more than it has is refused: its weights would not add up to it", async () => {
  const [tree, file] = [`${scratch}/noise`, `${scratch}/noise.squashfs`];
  mkdirSync(tree);
  for (const name of ["one", "other"]) writeFileSync(`${tree}/${name}`, randomBytes(150_000));
  await runProgram("mksquashfs", [tree, file, "-comp", "zstd", "-noI", "-no-fragments", "-quiet", "-no-progress"]);
  const image = readFileSync(file);
  const archive = () => Buffer.concat(writeCpio([{ path: "runtime.squashfs", kind: "file", mode: 0o644, content: image }]));
  assert.is(sum(weighInitrd(archive())), archive().length);
  const plain = 1 << 24;
  const word = Buffer.alloc(4);
  word.writeUInt32LE((150_000 - 131_072) | plain);
  image.writeUInt32LE(131_072 | plain, image.indexOf(word, 96 + 300_000));
  assert.throws(
    () => weighInitrd(archive()),
    (error: unknown) => error instanceof BadInput && /damaged: its files take more than it has/.test(error.message),
  );
});

test.run();
