import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { weighRuntime } from "../../init/builder/initrd/weigh-runtime.ts";
import { runProgram } from "../../qemu/program.ts";
import { oneFileSquashfs } from "../../scripts/build/one-file-squashfs.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-one-file-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

const image = (content: Uint8Array, blockSize = 4096) =>
  oneFileSquashfs({ directory: "0123456789abcdef", name: "slipway", content, mode: 0o755, blockSize, level: 3 });

/** What squashfs-tools, which share no code with us, make of it. */
async function unpacked(bytes: Uint8Array): Promise<Buffer> {
  writeFileSync(`${scratch}/image`, bytes);
  rmSync(`${scratch}/tree`, { recursive: true, force: true });
  await runProgram("unsquashfs", ["-q", "-n", "-d", `${scratch}/tree`, `${scratch}/image`]);
  assert.is(statSync(`${scratch}/tree/0123456789abcdef/slipway`).mode & 0o777, 0o755);
  return readFileSync(`${scratch}/tree/0123456789abcdef/slipway`);
}

const text = (length: number) => Buffer.from("slipway launches. ".repeat(Math.ceil(length / 18))).subarray(0, length);

for (const [what, content, blockSize] of [
  ["one byte", Buffer.from("x"), 4096],
  ["a whole block", text(4096), 4096],
  ["a block and a byte", text(4097), 4096],
  ["noise, text and a hole", Buffer.concat([text(100_000), randomBytes(70_000), Buffer.alloc(400_000), text(5)]), 131_072],
  [
    "a list of blocks that goes on in a second and a third table",
    Buffer.concat([text(10_000_000), randomBytes(10_000_001)]),
    4096,
  ],
] as const) {
  test(`a file of ${what} comes out as it went in`, async () => {
    const bytes = await image(content, blockSize);
    assert.is(bytes.length % 4096, 0);
    assert.ok((await unpacked(bytes)).equals(content));
    const [file, ...others] = weighRuntime(bytes);
    assert.equal([file?.path, others.length], ["/0123456789abcdef/slipway", 0]);
    assert.ok(file !== undefined && content.equals(file.content()));
    assert.ok(Buffer.from(await image(content, blockSize)).equals(bytes), "the same bytes again");
  });
}

test("another header and another end leave the blocks between them where they were", async () => {
  const middle = Buffer.concat([text(200_000), randomBytes(100_000)]);
  const leaves = (bytes: Uint8Array) =>
    Array.from({ length: bytes.length / 4096 }, (_, index) =>
      Buffer.from(bytes.subarray(index * 4096, index * 4096 + 4096)).toString("latin1"),
    );
  const header = (seed: number) =>
    Buffer.concat([Buffer.alloc(100, seed), randomBytes(seed * 30), Buffer.alloc(4096 - 100 - seed * 30)]);
  const before = leaves(await image(Buffer.concat([header(1), middle, text(9000)])));
  const after = leaves(await image(Buffer.concat([header(100), middle, randomBytes(9000)])));
  const changed = after.filter((leaf) => !before.includes(leaf)).length;
  assert.ok(changed > 2 && changed <= 8, `${changed} of ${after.length}`);
});

test.run();
