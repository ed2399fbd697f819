import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readElfBuildId, readElfSections, readElfSegments } from "../../boot/elf.ts";
import { splitExecutable } from "../../init/builder/initrd/hot-file.ts";
import { hotPagesOf, PAGE, type PageRun, pageRuns, parseHotPages, writeHotPages } from "../../init/builder/initrd/hot-pages.ts";
import { dist } from "../../qemu/places.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { unpackLz4 } from "./lz4-unpack.ts";

const buildId = "b5188e4f53b53f3a346614bd78ba53f2ff234402";

test("a list is read as it was written", () => {
  const runs = Array.from({ length: 40 }, (_, index) => ({ start: index * 10, end: index * 10 + 3 }));
  const text = writeHotPages({ buildId, runs }, ["a comment", "another"]);
  assert.match(text, /^# a comment\n# another\nruntime /);
  assert.equal(parseHotPages("list", text), { buildId, runs });
  assert.equal(parseHotPages("list", `\n# none\nruntime ab # so\n\n`), { buildId: "ab", runs: [] });
});

const wrong: [text: string, said: string][] = [
  ["", 'list has no line "runtime BUILD-ID"'],
  ["pages 1-2\n", 'list has no line "runtime BUILD-ID"'],
  ["runtime\n", "list, line 1: neither"],
  ["runtime abc\n", "list, line 1: neither"],
  ["runtime ab cd\n", "list, line 1: neither"],
  ["runtime AB\n", "list, line 1: neither"],
  ["runtime ab\nruntime ab\n", "list, line 2: neither"],
  ["runtime ab\npage 1-2\n", 'list, line 2: neither one "runtime BUILD-ID" nor "pages START-END": "page 1-2"'],
  ["runtime ab\npages 1\n", 'list, line 2: "1" is no START-END'],
  ["runtime ab\npages -1-2\n", '"-1-2" is no START-END'],
  ["runtime ab\npages 1-2-3\n", '"1-2-3" is no START-END'],
  ["runtime ab\npages 1-1234567890\n", "is no START-END"],
  ["runtime ab\npages 5-5\n", "5-5 holds no page"],
  ["runtime ab\npages 5-4\n", "5-4 holds no page"],
  ["runtime ab\npages 5-8\npages 7-9\n", "list, line 3: 7-9 does not lie behind page 8"],
  ["runtime ab\npages 5-8 8-9\n", "8-9 does not lie behind page 8"],
  ["runtime ab\npages 5-8 1-2\n", "1-2 does not lie behind page 8"],
];

test("what is no list is refused, with its line", () => {
  for (const [text, said] of wrong) {
    assert.throws(
      () => parseHotPages("list", text),
      (error: unknown) =>
        error instanceof BadInput && error.message.includes(said) && error.message.includes("npm run trace-start"),
      JSON.stringify(text),
    );
  }
});

test("pages become runs; a gap that is allowed is filled", () => {
  assert.equal(pageRuns([], 1), []);
  assert.equal(pageRuns([7, 1, 2, 4, 2], 0), [run(1, 3), run(4, 5), run(7, 8)]);
  assert.equal(pageRuns([7, 1, 2, 4], 1), [run(1, 5), run(7, 8)]);
  assert.equal(pageRuns([7, 1, 2, 4], 2), [run(1, 8)]);
});

test("a list is for one runtime; bytecode of our own is taken as a whole", () => {
  const executable = new Uint8Array(readFileSync(`${dist}/slipway`));
  const runtime = readElfBuildId(executable);
  assert.type(runtime, "string");
  assert.is(hotPagesOf(executable, []), null);
  assert.is(
    hotPagesOf(
      executable,
      [{ buildId, runs: [] }].filter((list) => list.buildId !== runtime),
    ),
    null,
  );
  const runs = hotPagesOf(executable, [
    { buildId: "00", runs: [run(3, 4)] },
    { buildId: runtime ?? "", runs: [run(10, 12), run(300, 302), run(303, 304)] },
  ]);
  const own = readElfSections(executable).find(({ name }) => name === ".bun");
  assert.ok(runs && own);
  assert.equal(runs[0], run(0, 256), "the first block");
  assert.equal(runs[1], run(300, 304), "one page between two runs costs less than a mapping");
  assert.is(runs[2]?.start, Math.floor(own.start / PAGE));
  const source = Buffer.from(executable).indexOf("// @bun @bytecode", own.start);
  assert.ok(source > own.start && source < own.end);
  assert.is(runs[2]?.end, Math.floor(source / PAGE) + 1);
  assert.equal(runs.at(-1), run(Math.floor((own.end - 1) / PAGE), Math.floor((own.end - 1) / PAGE) + 1));
  const foreign = readFileSync("/bin/true"); // no Bun is in it
  assert.equal(hotPagesOf(foreign, [{ buildId: readElfBuildId(foreign) ?? "", runs: [run(1, 2)] }]), [run(0, 256)]);
});

interface HotRange {
  address: bigint;
  length: number;
  offset: number;
  protection: number;
}

/** As init/interpreter/hot-file.h has them. `offset` is among the pages that `hot` holds. */
function readHot(hot: Uint8Array): { ranges: HotRange[]; pages: Uint8Array } {
  const view = new DataView(hot.buffer, hot.byteOffset, hot.byteLength);
  const long = (at: number): number => Number(view.getBigUint64(at, true));
  const [page, count = 0, packed, unpacked] = [40, 48, 56, 64].map(long);
  assert.is(Buffer.from(hot.subarray(0, 8)).toString(), "SLIPHOT1");
  assert.equal(hot.subarray(8, 40), new Uint8Array(new Bun.CryptoHasher("sha256").update(hot.subarray(40)).digest()));
  assert.equal([page, packed], [PAGE, hot.length - 72 - count * 24]);
  let offset = 0;
  const ranges = Array.from({ length: count }, (_, index): HotRange => {
    const at = 72 + index * 24;
    const range = { address: view.getBigUint64(at, true), length: long(at + 8), offset, protection: long(at + 16) };
    offset += range.length;
    return range;
  });
  assert.is(offset, unpacked);
  return { ranges, pages: unpackLz4(hot.subarray(72 + count * 24)) };
}

/** What a page of memory holds after the kernel loaded `file`, and after `hot` was laid over it; null where nothing is. */
function memory(file: Uint8Array, hot: Uint8Array | null): Map<bigint, { bytes: string; protection: number }> {
  const pages = new Map<bigint, { bytes: string; protection: number }>();
  const put = (address: bigint, bytes: Uint8Array, protection: number): void => {
    const whole = Buffer.alloc(PAGE);
    whole.set(bytes);
    pages.set(address, { bytes: whole.toString("hex"), protection });
  };
  for (const { offset, fileSize, memorySize, address, readable, writable, executable } of readElfSegments(file)) {
    const skew = Number(address % BigInt(PAGE));
    for (let at = offset - skew; at < offset + fileSize; at += PAGE) {
      const page = file.slice(at, at + PAGE);
      if (memorySize > fileSize && at + PAGE > offset + fileSize) page.fill(0, offset + fileSize - at); // the kernel clears it
      put(address + BigInt(at - offset), page, (readable ? 1 : 0) | (writable ? 2 : 0) | (executable ? 4 : 0));
    }
  }
  const laid = hot === null ? { ranges: [], pages: file } : readHot(hot);
  for (const { address, length, offset, protection } of laid.ranges) {
    for (let at = 0; at < length; at += PAGE) {
      assert.ok(pages.has(address + BigInt(at)), "nothing is mapped where the program has nothing");
      put(address + BigInt(at), laid.pages.slice(offset + at, offset + at + PAGE), protection);
    }
  }
  return pages;
}

const run = (start: number, end: number): PageRun => ({ start, end });

test("a program without its hot pages and with them is in memory what it was", () => {
  for (const path of ["/bin/true", "/bin/ls", `${dist}/preinit`]) {
    const program = new Uint8Array(readFileSync(path));
    const pages = Math.ceil(program.length / PAGE);
    const whole = memory(program, null);
    for (const runs of [
      [],
      [run(0, 1)],
      [run(1, 2)],
      [run(0, pages)],
      [run(2, 4), run(6, pages + 10)],
      [run(pages + 1, pages + 5)],
    ]) {
      const { cold, hot } = splitExecutable(program, runs);
      assert.is(cold.length, program.length);
      const mark = cold.subarray(9, 16);
      assert.equal(mark, hot.subarray(8, 15), "the executable names its hot file");
      assert.ok(mark.some((byte) => byte !== 0));
      const unmarked = cold.slice();
      unmarked.set(program.subarray(9, 16), 9);
      assert.equal(unmarked.subarray(0, PAGE), program.subarray(0, PAGE), "the kernel reads the first page");
      const laid = memory(cold, hot);
      for (const [address, { bytes, protection }] of whole) {
        const seen = laid.get(address);
        if (!bytes.startsWith("7f454c46")) assert.is(seen?.bytes, bytes, `${path}, page at 0x${address.toString(16)}`);
        assert.is(seen?.protection, protection);
      }
    }
  }
});

test("hot pages are taken out of the program, and another program has another hot file", () => {
  const program = new Uint8Array(readFileSync("/bin/ls"));
  const pages = Math.ceil(program.length / PAGE);
  const { cold, hot } = splitExecutable(program, [run(0, pages)]);
  const zeros = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => sum + (byte === 0 ? 1 : 0), 0);
  assert.ok(zeros(cold) > zeros(program) + program.length / 4);
  const other = program.slice();
  const fewer = splitExecutable(program, [run(0, 4)]);
  assert.not.equal(fewer.hot.subarray(8, 40), hot.subarray(8, 40));
  other[PAGE * 5] = (other[PAGE * 5] ?? 0) ^ 1;
  assert.not.equal(splitExecutable(other, [run(0, pages)]).hot.subarray(8, 40), hot.subarray(8, 40));
  assert.equal(splitExecutable(program, [run(0, pages)]).hot, hot, "same input, same bytes");
});

test("what is no program is refused", () => {
  assert.throws(
    () => splitExecutable(new TextEncoder().encode("#!/bin/sh"), []),
    (error: unknown) => error instanceof BadInput,
  );
});

test.run();
