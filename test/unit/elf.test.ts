import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isElf, readElf, readElfBuildId, readElfSegments, readElfStart } from "../../boot/elf.ts";
import { runProgram } from "../../qemu/program.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const program = readFileSync("/bin/ls");

/** A 32-bit big-endian program with an interpreter and one library, as no host of ours has. */
function bigEndian32(): Uint8Array {
  const bytes = new Uint8Array(0x200);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 2]);
  view.setUint16(18, 20); // PowerPC
  view.setUint32(28, 0x34);
  view.setUint16(42, 32);
  view.setUint16(44, 3);
  const segment = (index: number, type: number, offset: number, address: number, size: number): void => {
    for (const [place, value] of [type, offset, address, address, size, size].entries()) {
      view.setUint32(0x34 + index * 32 + place * 4, value);
    }
  };
  segment(0, 1, 0, 0x10000, 0x200);
  segment(1, 3, 0x100, 0x10100, 11);
  segment(2, 2, 0x140, 0x10140, 24);
  bytes.set(new TextEncoder().encode("/lib/ld.so\0"), 0x100);
  for (const [place, value] of [5, 0x10180, 1, 1, 0, 0].entries()) view.setUint32(0x140 + place * 4, value);
  bytes.set(new TextEncoder().encode("\0libc.so.6\0"), 0x180);
  return bytes;
}

test("reads what readelf reads", async () => {
  const said = await runProgram("readelf", ["-Wld", "/bin/ls"]);
  const elf = readElf(program);
  assert.is(elf.interpreter, /interpreter: (\S+)\]/.exec(said)?.[1]);
  assert.equal(
    elf.needed,
    [...said.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((found) => found[1]),
  );
  assert.ok(elf.needed.length > 0);
  assert.is(elf.bits, 64);
});

test("reads the segments and the build id that readelf reads", async () => {
  const said = await runProgram("readelf", ["-Wln", "/bin/ls"]);
  const rows = [...said.matchAll(/^ +LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) ([R ])([W ])([E ])/gm)];
  assert.ok(rows.length > 0);
  const number = (digits = ""): number => Number.parseInt(digits, 16);
  assert.equal(
    readElfSegments(program),
    rows.map(([, offset, address, fileSize, memorySize, read, write, execute]) => ({
      offset: number(offset),
      fileSize: number(fileSize),
      address: BigInt(number(address)),
      memorySize: number(memorySize),
      readable: read === "R",
      writable: write === "W",
      executable: execute === "E",
    })),
  );
  assert.is(readElfBuildId(program), /Build ID: ([0-9a-f]+)/.exec(said)?.[1]);
  assert.is(readElfBuildId(bigEndian32()), null);
  assert.equal(readElfSegments(bigEndian32())[0]?.address, 0x10000n);
  for (const read of [readElfBuildId, readElfSegments]) {
    assert.throws(
      () => read(program.subarray(0, 100)),
      (error: unknown) => error instanceof BadInput,
    );
  }
});

test("the first 4 KiB tell the interpreter", () => {
  const { machine, bits, interpreter } = readElf(program);
  assert.equal(readElfStart(program.subarray(0, 4096)), { machine, bits, interpreter });
});

test("reads 32 bits and big endian", () => {
  assert.equal(readElf(bigEndian32()), { machine: 20, bits: 32, interpreter: "/lib/ld.so", needed: ["libc.so.6"], runpath: [] });
});

test("refuses what is not ELF, cut short or damaged", () => {
  assert.not(isElf(new TextEncoder().encode("#!/bin/sh\n")));
  assert.throws(
    () => readElf(new TextEncoder().encode("#!/bin/sh\n")),
    (error: unknown) => error instanceof BadInput && error.message.includes("23 21 2f 62"),
  );
  for (const length of [4, 20, 63, 100, 4096]) {
    assert.throws(
      () => readElf(program.subarray(0, length)),
      (error: unknown) => error instanceof BadInput,
      `${length} bytes`,
    );
  }
});

test("any bytes behind the magic give a result or BadInput", () => {
  const bytes = bigEndian32();
  for (let place = 4; place < 0x190; place++) {
    for (const value of [0, 0xff]) {
      const changed = bytes.slice();
      changed[place] = value;
      try {
        readElf(changed);
      } catch (error) {
        assert.instance(error, BadInput, `byte ${place}: ${error}`);
      }
    }
  }
});

test.run();
