import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readSquashfs } from "../../boot/squashfs.ts";
import { distribute, type WeighedFile, weighRuntime } from "../../init/builder/initrd/weigh-runtime.ts";
import { runProgram } from "../../qemu/program.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-squashfs-`);
const tree = `${scratch}/tree`;
const contents = new Map<string, Buffer>();

function put(path: string, content: Buffer): void {
  contents.set(path, content);
  writeFileSync(`${tree}${path}`, content);
}

test.before(() => {
  mkdirSync(`${tree}/deep/er/still`, { recursive: true });
  const noise = randomBytes(300_000);
  put("/noise", noise);
  put("/twin", noise); // its blocks are stored once
  put("/text", Buffer.from("slipway ".repeat(70_000)));
  put("/empty", Buffer.alloc(0));
  put("/zeros", Buffer.alloc(1 << 20)); // a hole
  for (let index = 0; index < 900; index++)
    put(`/deep/er/still/${index} of many names`, Buffer.from(`file ${index}\n`.repeat(50)));
  for (const [index, size] of [4095, 4096, 4097, 131_072, 131_073].entries()) put(`/deep/size-${index}`, randomBytes(size));
  put("/small-twin", Buffer.from("twin"));
  put("/small-twin-too", Buffer.from("twin"));
  symlinkSync("noise", `${tree}/link`);
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

async function squashfs(...words: string[]): Promise<Buffer> {
  rmSync(`${scratch}/image`, { force: true });
  await runProgram("mksquashfs", [tree, `${scratch}/image`, "-noappend", "-no-progress", "-quiet", "-all-root", ...words]);
  return readFileSync(`${scratch}/image`);
}

const taken = (files: WeighedFile[]): number =>
  files.reduce((sum, file) => sum + file.pieces.reduce((all, { bytes }) => all + bytes, 0), 0);

for (const words of [
  ["-comp", "zstd", "-b", "131072"],
  ["-comp", "zstd", "-b", "4096", "-no-exports"],
  ["-comp", "gzip", "-b", "1048576", "-no-fragments"],
  ["-noI", "-noD", "-noF"],
  ["-comp", "zstd", "-always-use-fragments", "-no-duplicates"],
]) {
  test(`every file of a squashfs made with ${words.join(" ")} is read, and what it takes`, async () => {
    const image = await squashfs(...words);
    const files = weighRuntime(image);
    assert.equal(files.map(({ path }) => path).sort(), [...contents.keys()].sort());
    for (const file of files) assert.ok(contents.get(file.path)?.equals(file.content()), file.path);
    for (const { path, size, pieces } of files) {
      let at = 0;
      for (const piece of pieces) {
        assert.is(piece.start, at, path);
        at = piece.end;
      }
      assert.is(at, size, path);
    }
    assert.ok(taken(files) < image.length && taken(files) > 570_000, `${taken(files)} of ${image.length}`);
    const bytes = (path: string) => taken(files.filter((file) => file.path === path));
    assert.is(bytes("/empty"), 0);
    if (words.includes("-no-duplicates")) assert.ok(Math.min(bytes("/noise"), bytes("/twin")) > 262_000);
    else assert.ok(bytes("/noise") + bytes("/twin") < 310_000 && bytes("/noise") + bytes("/twin") > 280_000);
  });
}

test("other compressors are named", async () => {
  const image = await squashfs("-comp", "xz");
  assert.throws(
    () => weighRuntime(image),
    (error: unknown) => error instanceof BadInput && /compressed with xz; zstd and gzip/.test(error.message),
  );
});

test("what is no squashfs, is cut short or damaged is refused, and never read beyond", async () => {
  const image = await squashfs("-comp", "zstd");
  const refuses = (bytes: Uint8Array): boolean => {
    try {
      weighRuntime(bytes);
      return false;
    } catch (error) {
      assert.instance(error, BadInput, String(error));
      return true;
    }
  };
  assert.ok(refuses(Buffer.from("cpio")));
  assert.ok(refuses(Buffer.alloc(4096)));
  for (const length of [0, 95, 96, 1000, image.length >> 1, image.length - 8192])
    assert.ok(refuses(image.subarray(0, length)), `${length}`);
  const old = Buffer.from(image);
  old.writeUInt16LE(3, 28);
  assert.ok(refuses(old));
  let refused = 0;
  const { used } = readSquashfs(image, (_, bytes) => Bun.zstdDecompressSync(bytes));
  for (let round = 0; round < 400; round++) {
    const bytes = Buffer.from(image);
    const at = round < 96 ? round : used - 1 - Math.floor(((round - 96) / 304) * 20_000);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
    if (refuses(bytes)) refused++;
  }
  assert.ok(refused > 50, `${refused} of 400`);
});

test("a damaged block of a file's content is told when it is unpacked, not taken for zeros", async () => {
  const image = await squashfs("-comp", "zstd", "-b", "131072");
  const { files } = readSquashfs(image, (_, bytes) => Bun.zstdDecompressSync(bytes));
  const block = files.find(({ path }) => path === "/text")?.blocks[0];
  assert.ok(block !== undefined && !block.plain);
  const other = Bun.zstdCompressSync(Buffer.alloc(1));
  assert.ok(other.length <= block.size);
  for (const [what, bytes] of [
    ["noise", new Uint8Array(block.size).fill(0x5a)],
    ["too short", other],
  ] as const) {
    const spoiled = Buffer.from(image);
    spoiled.set(bytes, block.start);
    const text = weighRuntime(spoiled).find(({ path }) => path === "/text");
    assert.throws(
      () => text?.content(),
      (error: unknown) => error instanceof BadInput && /damaged: \/text cannot be unpacked/.test(error.message),
      what,
    );
  }
});

test("a directory that holds itself is refused", async () => {
  const image = Buffer.from(await squashfs("-noI", "-noD", "-noF"));
  const inodes = Number(image.readBigUInt64LE(64));
  const directories = Number(image.readBigUInt64LE(72)) + 2;
  const root = Number(image.readBigUInt64LE(32));
  // the listing of the first directory, whose entries name the inode of the root then
  image.writeUInt32LE(root >> 16, directories + 4);
  image.writeUInt16LE(root & 0xffff, directories + 12);
  assert.ok(inodes > 0);
  assert.throws(
    () => weighRuntime(image),
    (error: unknown) => error instanceof BadInput && /damaged/.test(error.message),
  );
});

test("a total is distributed without a rest", () => {
  assert.equal(distribute(10, [1, 1, 1]), [3, 4, 3]);
  assert.equal(distribute(7, [0, 5, 0]), [0, 7, 0]);
  assert.equal(distribute(0, [1, 2]), [0, 0]);
  assert.equal(distribute(5, []), []);
  for (const total of [1, 99, 131_071]) {
    const parts = distribute(total, [3, 1, 4, 1, 5, 9, 2, 6]);
    assert.is(
      parts.reduce((sum, part) => sum + part, 0),
      total,
    );
    assert.ok(parts.every((part) => part >= 0));
  }
});

test.run();
