/** slipway image verify: one altered byte anywhere, and every length but the right one, is found and named. */
import { closeSync, ftruncateSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { imageSizeOf, layoutOf } from "../../boot/image/seal.ts";
import type { Trust } from "../../boot/image/trust.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { withImage } from "../../init/builder/image/open-image.ts";
import { proveImage } from "../../init/builder/image/prove-image.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { sealedImage, testKey } from "../samples/sealed-image.ts";
import { Desk } from "./builder-desk.ts";

const desk = new Desk();
const verify = suite("image verify");
verify.after(() => desk.clear());

const [first, second] = [await testKey(), await testKey()];
const trust: Trust = { mode: "signed", keys: [first.key, second.key], threshold: 2 };
const unsigned: Trust = { mode: "unsigned" };

/** Bytes that say that they are a squashfs of that size, version 4. */
function filesystem(dataBlocks: number): Uint8Array {
  const bytes = Uint8Array.from({ length: dataBlocks * BLOCK }, (_, index) => (index * 7 + (index >> 12) * 13 + 1) & 0xff);
  const view = new DataView(bytes.buffer);
  bytes.set(Buffer.from("hsqs"));
  view.setUint16(28, 4, true);
  view.setBigUint64(40, BigInt(bytes.length), true);
  return bytes;
}

/** What verify says of the file, in one line; "" where it is right. */
async function said(name: string, by: Trust = trust): Promise<string> {
  const kernel = linuxKernel();
  try {
    return await withImage(kernel, desk.path(name), async (image) => {
      const { damages } = await proveImage(kernel, image, by);
      return damages.map(({ region, offset, text }) => `${region}, byte ${offset}: ${text}`).join("; ");
    });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Flips a bit of one byte of the file after the other, and gives what verify says of each. */
async function flipped(name: string, places: Iterable<number>, check: (place: number, message: string) => void): Promise<void> {
  const fd = openSync(desk.path(name), "r+");
  const byte = Buffer.alloc(1);
  try {
    for (const place of places) {
      readSync(fd, byte, 0, 1, place);
      const was = byte[0] ?? 0;
      writeSync(fd, Buffer.of(was ^ (1 << (place % 8))), 0, 1, place);
      const message = await said(name);
      writeSync(fd, Buffer.of(was), 0, 1, place);
      check(place, message);
    }
  } finally {
    closeSync(fd);
  }
  assert.is(await said(name), "", "as it was");
}

function* from(start: number, end: number, step = 1): Generator<number> {
  for (let place = start; place < end; place += step) yield place;
}

const small = await sealedImage(filesystem(9), [first, second]);
const { hashOffset, treeOffset, sealOffset } = layoutOf(small.manifest);
const size = small.bytes.length;
desk.write("small.img", small.bytes);
const sealLength = small.bytes.subarray(sealOffset).indexOf(0);

verify("every byte of seal and padding", async () => {
  assert.is(imageSizeOf(small.manifest, sealLength), size);
  await flipped("small.img", from(sealOffset, size - BLOCK), (place, message) => {
    const inSeal = place < sealOffset + sealLength;
    const wanted = inSeal
      ? new RegExp(`the seal at ${sealOffset} is not the one that the footer names`)
      : new RegExp(`^padding of the seal, byte ${place}: is .. instead of 00`);
    assert.match(message, wanted, `byte ${place}`);
  });
});

verify("every byte of the footer", async () => {
  await flipped("small.img", from(size - BLOCK, size), (place, message) => {
    const inMagic = place < size - BLOCK + 8;
    assert.match(message, inMagic ? /has no footer in its last 4096 bytes/ : /is damaged: the footer/, `byte ${place}`);
  });
});

verify("every byte of the verity superblock and its padding", async () => {
  await flipped("small.img", from(hashOffset, treeOffset), (place, message) => {
    assert.match(message, new RegExp(`^verity superblock, byte ${place}: is`), `byte ${place}`);
  });
});

verify("bytes of every block of filesystem and tree, the tree's unused end as well", async () => {
  await flipped("small.img", from(0, hashOffset, 251), (place, message) => {
    assert.is(message, `filesystem, byte ${place - (place % BLOCK)}: the block has not the digest that the tree says`);
  });
  await flipped("small.img", from(treeOffset, sealOffset, 61), (place, message) => {
    assert.match(message, new RegExp(`^hash tree, byte ${treeOffset}: the block has not the digest`), `byte ${place}`);
  });
});

verify("a tree of two levels: each block of it", async () => {
  const large = await sealedImage(filesystem(3 * 128 + 5), [first, second]);
  const layout = layoutOf(large.manifest);
  assert.is(layout.treeBlocks, 5);
  desk.write("large.img", large.bytes);
  await flipped("large.img", from(layout.treeOffset + 40, layout.sealOffset, BLOCK), (place, message) => {
    assert.ok(message.includes(`hash tree, byte ${place - 40}: `), `byte ${place}: ${message}`);
  });
  await flipped("large.img", [0, 127 * BLOCK, 128 * BLOCK + 17, layout.hashOffset - 1], (place, message) => {
    assert.match(message, new RegExp(`^filesystem, byte ${place - (place % BLOCK)}: `));
  });
  writeFileSync(desk.path("large.idx"), large.bytes.subarray(layout.hashOffset));
  await flipped("large.idx", from(BLOCK + 40, layout.sealOffset - layout.hashOffset, BLOCK), (place, message) => {
    assert.ok(message.includes(`hash tree, byte ${layout.hashOffset + place - 40}: `), `byte ${place} of the .idx: ${message}`);
  });
});

verify("an .idx: every byte of superblock, seal and footer", async () => {
  desk.write("small.idx", small.bytes.subarray(hashOffset));
  await flipped("small.idx", from(0, size - hashOffset, 3), (place, message) => {
    assert.is.not(message, "", `byte ${place}`);
  });
});

verify("other lengths: cut off, and longer", async () => {
  for (const length of [0, 1, BLOCK, hashOffset, hashOffset + BLOCK, sealOffset, size - BLOCK, size - 1]) {
    desk.write("cut.img", small.bytes.subarray(0, length));
    assert.match(await said("cut.img"), /is no sealed image|has no footer in its last|must have/, `${length} bytes`);
  }
  for (const more of [1, BLOCK - 1, BLOCK, 8 * BLOCK]) {
    const fd = openSync(desk.path("long.img"), "w");
    writeSync(fd, small.bytes);
    ftruncateSync(fd, size + more);
    closeSync(fd);
    assert.match(await said("long.img"), /has no footer in its last|must have|is no sealed image/, `${more} bytes more`);
  }
  const footer = small.bytes.subarray(size - BLOCK);
  desk.write("long.img", Buffer.concat([small.bytes.subarray(0, size - BLOCK), new Uint8Array(BLOCK), footer]));
  assert.match(await said("long.img"), new RegExp(`has ${size + BLOCK} bytes, and must have ${size}`));
  desk.write(
    "swapped.idx",
    Buffer.concat([small.bytes.subarray(hashOffset, hashOffset + BLOCK), small.bytes.subarray(hashOffset)]),
  );
  assert.match(await said("swapped.idx"), /the seal at \d+ is not the one that the footer names/);
});

verify("signatures: not enough, wrong, unknown; unsigned is asked for by that word alone", async () => {
  const stranger = await testKey();
  const one: Trust = { mode: "signed", keys: [first.key, stranger.key], threshold: 2 };
  assert.match(await said("small.img", one), /is signed by 1 trusted keys; not trusted: .* must be by 2 of 2/);
  assert.match(await said("small.img", { mode: "signed", keys: [stranger.key], threshold: 1 }), /is signed by 0 trusted keys/);
  const bare = await sealedImage(filesystem(9));
  desk.write("bare.img", bare.bytes);
  assert.match(await said("bare.img"), /the seal is not signed, and must be/);
  assert.is(await said("bare.img", unsigned), "");
  const liar = { key: first.key, sign: stranger.sign };
  desk.write("liar.img", (await sealedImage(filesystem(9), [liar, second])).bytes);
  assert.match(await said("liar.img"), /the signature of key .* is wrong/);
  assert.is(await said("liar.img", unsigned), "", "signatures say nothing where none is asked for");
});

verify("the verb: exit codes, and what it prints", () => {
  desk.write("first.pub.pem", pem(first.key.raw));
  desk.write("second.pub.pem", pem(second.key.raw));
  const both = ["--trust", "first.pub.pem", "--trust", "second.pub.pem"];
  const out = desk.done("image", "verify", ...both, "--threshold", "2", "small.img");
  assert.match(out, /^small\.img is right: image of acme 1\.0, .*\n {2}signed by {2}.{64} {2}\S+\.pub\.pem\n {2}signed by/);
  assert.match(desk.done("image", "verify", "--trust", "unsigned", "small.img"), /was not asked for/);
  desk.changed("small.img", "bad.img", (bytes) => bytes.fill(0, 2 * BLOCK, 4 * BLOCK));
  const { code, error } = desk.slipway("image", "verify", ...both, "bad.img");
  assert.is(code, 1);
  assert.match(error, /^slipway: bad\.img: filesystem, byte 8192: .*\nslipway: bad\.img: filesystem, byte 12288: /);
  desk.changed("small.img", "worse.img", (bytes) => bytes.fill((bytes[treeOffset] ?? 0) ^ 1, treeOffset, treeOffset + 1));
  desk.refused(1, /worse\.img: hash tree, byte \d+: /, "image", "verify", ...both, "worse.img");
  desk.refused(2, /--trust is missing/, "image", "verify", "small.img");
  desk.refused(
    2,
    /--trust unsigned and --trust PUBLIC_KEY are given/,
    "image",
    "verify",
    ...both,
    "--trust",
    "unsigned",
    "small.img",
  );
  desk.refused(2, /--threshold counts keys/, "image", "verify", "--trust", "unsigned", "--threshold", "1", "small.img");
  desk.refused(
    2,
    /--threshold "3" is no whole number from 1 to .* which is 2/,
    "image",
    "verify",
    ...both,
    "--threshold",
    "3",
    "small.img",
  );
  desk.refused(2, /is the same key as/, "image", "verify", "--trust", "first.pub.pem", "--trust", "first.pub.pem", "small.img");
  desk.refused(2, /gone\.img cannot be read: no such file/, "image", "verify", ...both, "gone.img");
  desk.refused(2, /is a directory/, "image", "verify", ...both, ".");
  desk.refused(2, /is no sealed image/, "image", "verify", ...both, "first.pub.pem");
});

function pem(raw: Uint8Array): string {
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
  return `-----BEGIN PUBLIC KEY-----\n${der.toString("base64")}\n-----END PUBLIC KEY-----\n`;
}

verify.run();
