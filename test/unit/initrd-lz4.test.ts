import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { packLz4 } from "../../init/builder/initrd/lz4.ts";
import { dist } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { unpackLz4 } from "./lz4-unpack.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-lz4-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

const repeated = (text: string, times: number): Uint8Array => new TextEncoder().encode(text.repeat(times));

test("what was packed is unpacked, at all lengths near the rules of the end", () => {
  for (let length = 0; length < 300; length++) {
    for (const bytes of [new Uint8Array(length), repeated("abcdefg", 50).subarray(0, length)]) {
      assert.equal(unpackLz4(packLz4(bytes)), bytes, `${length} bytes`);
    }
  }
});

test("any bytes come back", () => {
  const few = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2000 }).map((values) => Uint8Array.from(values));
  fc.assert(
    fc.property(fc.oneof(few, fc.uint8Array({ maxLength: 2000 })), (bytes) => {
      assert.equal(unpackLz4(packLz4(bytes)), bytes);
    }),
  );
});

test("long literals, long matches, and matches at the window's edge", () => {
  const random = Uint8Array.from({ length: 70_000 }, (_, index) => (Math.imul(index + 1, 2654435761) >>> 13) & 255);
  for (const distance of [65_534, 65_535, 65_536, 65_537]) {
    const bytes = new Uint8Array(distance + 1000);
    bytes.set(random.subarray(0, distance));
    bytes.set(random.subarray(0, 1000), distance);
    assert.equal(unpackLz4(packLz4(bytes)), bytes, `${distance}`);
  }
  assert.ok(packLz4(new Uint8Array(1_000_000)).length < 5000);
  assert.ok(packLz4(random).length <= random.length + random.length / 255 + 16);
});

test("the interpreter unpacks it, and stays in its bounds with what is damaged", async () => {
  const source = fileURLToPath(new URL("lz4-unpack.c", import.meta.url));
  const checks = ["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all"];
  await runProgram("gcc", ["-O1", "-Wall", "-Wextra", "-Werror", ...checks, "-o", `${scratch}/unpack`, source]);
  const program = new Uint8Array(readFileSync(`${dist}/preinit`));
  const texts = ["a", "ab".repeat(3000), "slipway ".repeat(9), "x".repeat(5000) + "y".repeat(20), "0123456789abcdefghijklm"];
  for (const bytes of [program, ...texts.map((text) => new TextEncoder().encode(text))]) {
    writeFileSync(`${scratch}/packed`, packLz4(bytes));
    const { status, stdout, stderr } = spawnSync(`${scratch}/unpack`, [`${scratch}/packed`, String(bytes.length)]);
    assert.is(status, 0, `${bytes.length} bytes: ${stderr}`);
    assert.ok(stdout.equals(bytes));
  }
});

test("a program becomes smaller by a third", () => {
  const program = new Uint8Array(readFileSync("/bin/busybox"));
  const packed = packLz4(program);
  assert.equal(unpackLz4(packed), program);
  assert.ok(packed.length < program.length * 0.67, `${packed.length} of ${program.length}`);
  const preinit = new Uint8Array(readFileSync(`${dist}/preinit`));
  assert.equal(packLz4(preinit), packLz4(preinit.slice()), "same input, same bytes");
});

test.run();
