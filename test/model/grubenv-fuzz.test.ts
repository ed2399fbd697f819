/** Whatever bytes an environment block holds: what GRUB reads of it or a reason, and a change that makes it whole. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { changeGrubenv, GRUBENV_SIZE, readGrubenv } from "../../boot/stores/grubenv.ts";
import { Ends, editedBytes, runs } from "./fuzz-inputs.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-grubenv-fuzz-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "grubenv");

const vectors = ["created", "rauc", "slipway", "escapes", "unset", "second-sector"].map(
  (name) => new Uint8Array(readFileSync(new URL(`../vectors/grubenv/${name}`, import.meta.url))),
);
const signature = new TextEncoder().encode("# GRUB Environment Block\n");
/** Made of the pieces that lines are made of. */
const pieces = fc
  .array(fc.constantFrom("A", "B_OK", "=", "=1", "\n", "\\", "\\\\", "\\\n", "#", "# x\n", "A=1\n", "ORDER=A B\n", "é", "\0"), {
    maxLength: 30,
  })
  .map((words) => {
    const block = new Uint8Array(GRUBENV_SIZE).fill(0x23);
    block.set(signature);
    block.set(new TextEncoder().encode(words.join("")), signature.length);
    return block;
  });
const blocks = fc.oneof(
  pieces,
  pieces,
  fc.constantFrom(...vectors).chain((vector) => fc.oneof(editedBytes(vector), editedBytes(vector, 120))),
  // A write that one sector missed.
  fc.tuple(fc.constantFrom(...vectors), fc.constantFrom(...vectors)).map(([one, other]) => {
    return new Uint8Array([...one.subarray(0, 512), ...other.subarray(512)]);
  }),
  fc.tuple(fc.constantFrom(...vectors), fc.integer({ min: 0, max: GRUBENV_SIZE })).map(([one, size]) => one.subarray(0, size)),
  fc.uint8Array({ maxLength: 1100 }),
);
const value = fc.oneof(
  fc.constantFrom("0", "1", "A B", "", "\\", "\n", "a\\\n\\b", "0123456789abcdef"),
  fc.string({ unit: "binary-ascii", maxLength: 30 }).filter((text) => !text.includes("\0")),
);
const changes = fc
  .dictionary(fc.constantFrom("ORDER", "A_OK", "A_TRY", "B_OK", "B_TRY", "slipway_nonce", "new"), fc.option(value), {
    noNullPrototype: true,
  })
  .map((made) => new Map(Object.entries(made)));

test("a change of any block: whole, ours as asked and in the first sector, theirs as GRUB read it", () => {
  const ends = new Ends();
  fc.assert(
    fc.property(blocks, changes, (bytes, asked) => {
      const before = readGrubenv(bytes);
      if (before.variables === null) ends.refused++;
      else ends.accepted++;
      assert.ok(before.variables !== null || before.reason.length < 200);
      let after: Uint8Array;
      try {
        after = changeGrubenv(bytes, asked);
      } catch (error) {
        assert.instance(error, RangeError);
        assert.match(String(error), /too small by \d+ bytes/);
        return;
      }
      assert.is(after.length, GRUBENV_SIZE);
      const { variables } = readGrubenv(after);
      const expected = new Map(before.variables ?? []);
      for (const [name, wanted] of asked) {
        if (wanted === null) expected.delete(name);
        else expected.set(name, wanted);
      }
      assert.equal(Object.fromEntries(variables ?? []), Object.fromEntries(expected));
      const first = new Uint8Array(GRUBENV_SIZE).fill(0x23);
      first.set(after.subarray(0, 512));
      const inFirst = readGrubenv(first).variables;
      for (const [name, wanted] of asked) if (wanted !== null) assert.is(inFirst?.get(name), wanted, name);
      assert.equal(changeGrubenv(after, asked), after);
    }),
    runs(4000),
  );
  ends.check(1000, 200);
});

test("what is read is what grub-editenv lists, and it can write what was changed", () => {
  const ends = new Ends();
  const signed = blocks.filter((bytes) => bytes.length > 0 && !bytes.includes(0));
  const unsigned = fc.tuple(signed, fc.nat(signature.length - 1)).map(([bytes, at]) => bytes.with(at % bytes.length, 0x21));
  const plain = fc.oneof({ weight: 4, arbitrary: signed }, { weight: 1, arbitrary: unsigned });
  fc.assert(
    fc.property(plain, (bytes) => {
      writeFileSync(file, bytes);
      const { status, stdout } = spawnSync("grub-editenv", [file, "list"], { encoding: "buffer" });
      const { variables, reason } = readGrubenv(bytes);
      assert.is(variables !== null, status === 0);
      if (variables === null) return void ends.refused++;
      ends.accepted++;
      const listed = [...variables].map(([name, text]) => `${name}=${text}\n`).join("");
      if (!reason?.includes("twice")) assert.is(listed, stdout.toString("utf8"));
      writeFileSync(file, changeGrubenv(bytes, new Map([["A_OK", "1"]])));
      assert.is(spawnSync("grub-editenv", [file, "set", "A_OK=0"]).status, 0);
      assert.is(readGrubenv(new Uint8Array(readFileSync(file))).variables?.get("A_OK"), "0");
    }),
    runs(150),
  );
  ends.check(60, 5);
});

test.run();
