import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  changeEnvironment,
  type EnvironmentLayout,
  type EnvironmentReading,
  readEnvironment,
} from "../../boot/stores/uboot-env.ts";
import { IOCTL } from "../../init/kernel/constants.ts";
import { FLASH_TYPE } from "../../init/kernel/flash-layouts.ts";
import { type FlashDescription, MemoryFlash } from "../../init/kernel/recording/memory-flash.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { type FlashPlace, readFlash, writeFlash } from "../../init/store/loader-store/mtd.ts";
import { isMtd } from "../../state-ops/boot-record-rules.ts";

const ERASE = 4096;

function flashOf(description: Partial<FlashDescription> = {}): { kernel: RecordingKernel; flash: MemoryFlash } {
  const kernel = new RecordingKernel();
  return { kernel, flash: kernel.addFlash(1, new MemoryFlash({ size: 8 * ERASE, eraseSize: ERASE, ...description })) };
}

const place = (offset: number, size: number, sectorSize = 0): FlashPlace => ({ device: "/dev/mtd1", offset, size, sectorSize });
const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte);

test("flash is /dev/mtdN; what only looks like it is not", () => {
  assert.ok(isMtd("/dev/mtd0") && isMtd("/dev/mtd12"));
  for (const name of ["/dev/mtdblock0", "/dev/mtd0ro", "/dev/mtd", "/dev/vda", "PARTLABEL=mtd0"]) assert.not(isMtd(name));
});

test("a place is erased, written and read back; bits that are set need that", () => {
  const { kernel } = flashOf();
  writeFlash(kernel, place(ERASE, ERASE), 0, filled(ERASE, 0x0f));
  writeFlash(kernel, place(ERASE, ERASE), 0, filled(ERASE, 0xf0));
  assert.equal(readFlash(kernel, place(ERASE, ERASE)), filled(ERASE, 0xf0));
  assert.equal(readFlash(kernel, place(0, ERASE)), filled(ERASE, 0xff));
});

test("a byte in the place is written without erasing, and can only lose bits", () => {
  const { kernel, flash } = flashOf();
  writeFlash(kernel, place(0, ERASE), 0, filled(ERASE, 0x01));
  writeFlash(kernel, place(0, ERASE), 4, Uint8Array.of(0));
  assert.equal([...flash.read(3, 3)], [1, 0, 1]);
  assert.throws(
    () => writeFlash(kernel, place(0, ERASE), 4, Uint8Array.of(1)),
    (error: Error) => error.message === "/dev/mtd1 does not hold what was written at 4: is it worn out, or write-protected?",
  );
});

test("what else lies in the sectors stays", () => {
  const { kernel, flash } = flashOf({ contents: [{ offset: 0, bytes: filled(3 * ERASE, 0x55) }] });
  writeFlash(kernel, place(ERASE + 512, 1024), 0, filled(1024, 0x33));
  assert.equal(flash.read(0, ERASE + 512), filled(ERASE + 512, 0x55));
  assert.equal(flash.read(ERASE + 512, 1024), filled(1024, 0x33));
  assert.equal(flash.read(ERASE + 1536, 2 * ERASE - 1536), filled(2 * ERASE - 1536, 0x55));
  // Across the edge of two sectors, at an offset that is none.
  writeFlash(kernel, place(2 * ERASE - 10, 20), 0, filled(20, 0x11));
  assert.equal(flash.read(2 * ERASE - 11, 22), Uint8Array.from([0x55, ...filled(20, 0x11), 0x55]));
});

test("a lock is opened and closed again; flash without locks is written all the same", () => {
  for (const locked of [true, false, null]) {
    const { kernel, flash } = flashOf({ locked });
    writeFlash(kernel, place(0, ERASE), 0, filled(ERASE, 1));
    assert.is(flash.locked, locked === null ? null : locked, String(locked));
    assert.equal(readFlash(kernel, place(0, ERASE)), filled(ERASE, 1));
  }
});

test("what is not ours to write, or not there, is refused before anything is erased", () => {
  const cases: [Partial<FlashDescription>, FlashPlace, string][] = [
    [{ type: FLASH_TYPE.NANDFLASH }, place(0, ERASE), "is NAND, which has bad blocks"],
    [{ type: FLASH_TYPE.MLCNANDFLASH }, place(0, ERASE), "is NAND"],
    [{ type: FLASH_TYPE.ROM }, place(0, ERASE), "is flash of a kind that slipway does not write (type 2)"],
    [{}, place(7 * ERASE, 2 * ERASE), "has 32768 bytes, the environment is to lie at 28672 with 8192; see fw_env.config"],
    [{}, place(0, ERASE, 1000), "erases 4096 bytes at once, fw_env.config says 1000; write what /proc/mtd says"],
    [{ eraseSize: 0 }, place(0, ERASE), "says that nothing of it can be erased"],
  ];
  for (const [description, where, message] of cases) {
    const { kernel } = flashOf(description);
    for (const work of [() => readFlash(kernel, where), () => writeFlash(kernel, where, 0, filled(16, 0))]) {
      assert.throws(work, (error: Error) => error.message.startsWith(`/dev/mtd1 ${message}`), message);
    }
    assert.not(kernel.trace.includes("MEMERASE"));
  }
  const { kernel } = flashOf();
  assert.throws(() => readFlash(kernel, { ...place(0, ERASE), device: "/dev/mtd7" }), /ENOENT/);
});

/** Flash that loses power at one erase or write, the write half done. */
class CutFlash extends MemoryFlash {
  steps = Number.POSITIVE_INFINITY;

  override control(request: number, argument: number | Uint8Array<ArrayBuffer>): number {
    if (request === IOCTL.MEMERASE && this.steps-- === 0) throw new Error("cut");
    return super.control(request, argument);
  }

  override write(offset: number, bytes: Uint8Array): void {
    const isCut = this.steps-- === 0;
    super.write(offset, isCut ? bytes.subarray(0, bytes.length >> 1) : bytes);
    if (isCut) throw new Error("cut");
  }
}

/**
 * A power cut at each erase and write of a change from `before - 1` to `before`, after as many changes; `check` sees what is left.
 * @returns how many cuts there were
 */
function cutEverywhere(layout: EnvironmentLayout, last: number, check: (left: EnvironmentReading) => void): number {
  const places = Array.from({ length: layout === "single" ? 1 : 2 }, (_none, copy) => place(copy * ERASE, ERASE));
  const read = (kernel: RecordingKernel) =>
    readEnvironment(
      places.map((one) => readFlash(kernel, one)),
      layout,
    );
  const change = (kernel: RecordingKernel, value: number) => {
    const { writes } = changeEnvironment(read(kernel), layout, ERASE, new Map([["x", String(value)]]));
    for (const { copy, offset, bytes } of writes ?? []) writeFlash(kernel, place(copy * ERASE, ERASE), offset, bytes);
  };
  for (let cut = 0; ; cut++) {
    const kernel = new RecordingKernel();
    const flash = new CutFlash({ size: 8 * ERASE, eraseSize: ERASE });
    kernel.addFlash(1, flash);
    for (let value = 1; value < last; value++) change(kernel, value);
    flash.steps = cut;
    try {
      change(kernel, last);
      return cut;
    } catch (error) {
      assert.is(error instanceof Error && error.message, "cut");
    }
    const next = new RecordingKernel();
    next.addFlash(1, flash);
    check(read(next));
    change(next, last + 1);
    assert.is(read(next).variables?.get("x"), String(last + 1), "the next write puts it right");
  }
}

test("two copies: a power cut at any erase or write leaves the old environment or the new one", () => {
  const seen = new Set<string | undefined>();
  for (const last of [4, 5]) {
    const cuts = cutEverywhere("boolean", last, (left) => {
      const x = left.variables?.get("x");
      assert.ok(x === String(last - 1) || x === String(last), `${x} instead of ${last}, ${left.reason}`);
      seen.add(x);
    });
    assert.is(cuts, 3, "erase, write, mark of the older copy");
  }
  assert.equal([...seen].sort(), ["3", "4", "5"]);
});

test("one copy: a power cut between erase and write leaves none, and the next write makes it whole", () => {
  const conditions: string[] = [];
  const cuts = cutEverywhere("single", 4, (left) => conditions.push(left.condition));
  assert.is(cuts, 2);
  assert.equal(conditions, ["valid", "unreadable"]);
});

test.run();
