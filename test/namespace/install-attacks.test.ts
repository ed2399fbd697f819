/** Every attack as somebody who runs `slipway install` meets it: refused with its reason, the slot and the boot record untouched. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { install } from "../../init/commands/install.ts";
import { openSource } from "../../init/converge/open-source.ts";
import { SourceError } from "../../init/converge/source.ts";
import { readSeal } from "../../init/image/read-seal.ts";
import { O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { PLAIN } from "../../init/network/options.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { allAttacks } from "../samples/attacks/all.ts";
import { attackedWorld } from "../samples/attacks/attack.ts";
import { imageOf, sampleFilesystem } from "../samples/image-parts.ts";
import { InstallMachine, type InstallMachineOptions } from "./install-machine.ts";

const world = attackedWorld(sampleFilesystem(130, "this"), sampleFilesystem(130, "other"));
const { image, other } = world;
const kernel = linuxKernel();
const directory = mkdtempSync(join(tmpdir(), "slipway-attacks-"));
const sourceFile = join(directory, "image");
/** What runs: an image of the same system and of the floor's rollback index. */
const running = imageOf(sampleFilesystem(140, "running"), world.keys.slice(0, 2), { rollbackIndex: world.floor });

const signed: ControlTrust = {
  mode: "signed",
  keys: world.trusted.map(({ raw }) => raw.toHex()),
  threshold: 2,
  rollbackFloor: 0,
  kernelSignature: "ignored",
};

function machineOf(change: Partial<InstallMachineOptions> = {}): InstallMachine {
  return new InstallMachine({
    system: world.system,
    trust: signed,
    slots: {
      a: { bytes: running.bytes, imageId: running.manifest.rootHash },
      b: { bytes: other.bytes, imageId: other.manifest.rootHash },
    },
    slotSize: running.bytes.length + 8 * BLOCK,
    record: { floors: { install: world.floor, boot: 0 } },
    ...change,
  });
}

const machine = machineOf();
test.after(() => {
  machine.close();
  rmSync(directory, { recursive: true, force: true });
});

/** `slipway install FILE --slot b`. Returns why nothing came of it; null where it did. */
async function run(bytes: Uint8Array, on = machine): Promise<string | null> {
  writeFileSync(sourceFile, bytes);
  const source = await openSource(sourceFile, { kernel, network: PLAIN });
  const { stderr } = process;
  const write = stderr.write;
  stderr.write = () => true; // progress
  try {
    await install(kernel, on.places, { source, slot: "b", dryRun: false, retry: false, telling: "lines" });
    return null;
  } catch (error) {
    if (error instanceof SourceError || error instanceof Refusal || error instanceof BadInput) return error.message;
    throw error;
  } finally {
    stderr.write = write;
    await source.close();
  }
}

/** Whether somebody who asks slot b alone, without a boot record, finds something to boot. */
function bootable(): boolean {
  const bytes = machine.bytes("b");
  const reading = withOpen(kernel, machine.slot("b"), O.RDONLY, (fd) => readSeal(kernel, fd, BigInt(bytes.length)));
  return reading.is === "sealed" || readSuperblock(bytes.subarray(0, SUPERBLOCK_BYTES)) !== null;
}

test("the image that is attacked is installed, and boots next", async () => {
  assert.is(await run(image.bytes), null);
  assert.ok(machine.holds("b", image.bytes));
  const { slots } = machine.record();
  assert.equal([slots.b?.state, slots.b?.imageId, slots.b?.priority], ["trial", image.manifest.rootHash, 2]);
});

for (const { name, foundBy, words, make } of allAttacks(world)) {
  test(`${foundBy}: ${name}`, async () => {
    machine.reset();
    const before = { slot: machine.bytes("b"), running: machine.bytes("a"), record: machine.record() };
    const refused = await run(make());
    assert.ok(machine.bytes("a").equals(before.running), "the running slot");
    if (foundBy === "form" && refused === null) {
      // Nothing of what was altered is written: the slot holds the image as it was signed.
      assert.ok(machine.holds("b", image.bytes));
      return;
    }
    if (foundBy === "seal") {
      const noFooter = /is no sealed image: (its last 4096 bytes are no footer|\d+ bytes are not the size of one)/;
      assert.ok(words.test(refused ?? "") || noFooter.test(refused ?? ""), refused ?? "it was installed");
    }
    assert.is.not(refused, null);
    if (foundBy !== "data") {
      assert.ok(machine.bytes("b").equals(before.slot), "not a byte of the slot was written");
      assert.equal(machine.record(), before.record);
      return;
    }
    const { slots } = machine.record();
    assert.is(slots.a?.state, "committed");
    assert.is(slots.b?.state, "empty", "the slot's image was withdrawn before it was written to");
    assert.not.ok(bootable(), "and nothing in it says otherwise");
  });
}

test("an image that is a block larger than the slot, and one that fits just so", async () => {
  for (const [blocks, fits] of [
    [0, true],
    [-1, false],
  ] as const) {
    const small = machineOf({
      slots: { a: { bytes: image.bytes, imageId: image.manifest.rootHash }, b: null },
      slotSize: other.bytes.length + blocks * BLOCK,
    });
    try {
      const refused = await run(other.bytes, small);
      if (fits) assert.is(refused, null);
      else assert.match(refused ?? "it was installed", /takes .* slot b has .*; make the image smaller, or the slot larger/);
      assert.is(small.holds("b", other.bytes), fits);
    } finally {
      small.close();
    }
  }
});

test.run();
