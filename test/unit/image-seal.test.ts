/** slipway image seal, payload, attach-signature, inspect and index, on images of the field's tools and with the field's tools. */
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK, saltOf } from "../../boot/image/verity.ts";
import type { Inspection } from "../../init/builder/image/inspect.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { Desk } from "./builder-desk.ts";

const desk = new Desk();
const image = suite("image seal");
image.after(() => desk.clear());

const labels = ["--system", "acme", "--version", "2026.11"];

image.before(() => {
  mkdirSync(desk.path("tree/usr/lib/slipway"), { recursive: true });
  for (let index = 0; index < 40; index++) writeFileSync(desk.path(`tree/file-${index}`), `${index}\n`.repeat(index * 997));
  writeFileSync(desk.path("tree/usr/lib/slipway/control.json"), sampleControlText({ system: "acme" }));
  desk.host("mkfs.erofs", "--quiet", "-T0", "erofs", "tree");
  desk.host("mksquashfs", "tree", "squashfs", "-quiet", "-no-progress");
  for (const [type, size] of [
    ["ext4", 8],
    ["btrfs", 128],
    ["xfs", 300],
  ] as const) {
    writeFileSync(desk.path(type), "");
    truncateSync(desk.path(type), size * 1024 * 1024);
    desk.host(`mkfs.${type}`, "-q", ...(type === "xfs" ? [] : [type === "ext4" ? "-d" : "--rootdir", "tree"]), type);
  }
  desk.done("keys", "new", "one");
  desk.done("keys", "new", "two");
});

function inspect(file: string, ...words: string[]): Inspection {
  return JSON.parse(desk.done("image", "inspect", "--json", ...words, file));
}

for (const type of ["erofs", "squashfs", "ext4", "btrfs", "xfs"]) {
  image(`${type}: veritysetup verifies what was sealed, and makes the same root hash`, () => {
    const out = desk.done("image", "seal", type, ...labels, "--key", "one.pem", "-o", `${type}.img`);
    assert.match(out, new RegExp(`^wrote ${type}\\.img: acme 2026\\.11, ${type}, `));
    const { rootHash, hashOffset, salt, filesystem, filesystemSize, dataBlocks, size, sealOffset, treeSize } = inspect(
      `${type}.img`,
    );
    assert.is(filesystem, type);
    assert.is(salt, saltOf("acme").toHex());
    assert.equal([hashOffset, dataBlocks * BLOCK], [filesystemSize, filesystemSize]);
    assert.is(sealOffset, hashOffset + BLOCK + treeSize);
    assert.is(size, statSync(desk.path(`${type}.img`)).size);
    desk.host("veritysetup", "verify", `${type}.img`, `${type}.img`, rootHash, `--hash-offset=${hashOffset}`);
    const words = [`--salt=${salt}`, `--data-blocks=${dataBlocks}`];
    const said = desk.host("veritysetup", "format", `${type}.img`, `${type}.tree`, ...words);
    assert.is(/Root hash:\s+([0-9a-f]+)/.exec(said)?.[1], rootHash);
    desk.done("image", "verify", "--trust", "one.pub.pem", `${type}.img`);
    assert.is(Buffer.compare(desk.bytes(`${type}.img`).subarray(0, desk.bytes(type).length), desk.bytes(type)), 0);
  });
}

image("the same image and keys give the same bytes, and images of one system share their salt", () => {
  desk.done("image", "seal", "erofs", ...labels, "--key", "one.pem", "--key", "two.pem", "-o", "x.img");
  desk.done("image", "seal", "erofs", ...labels, "--key", "two.pem", "--key", "one.pem", "-o", "y.img");
  assert.is(Buffer.compare(desk.bytes("x.img"), desk.bytes("y.img")), 0);
  desk.done("image", "seal", "erofs", "--system", "acme", "--version", "2", "-o", "z.img");
  assert.is(inspect("z.img").rootHash, inspect("x.img").rootHash);
});

image("in place: the file's name and permissions stay, nothing else is left", () => {
  desk.write("own.img", desk.bytes("erofs"));
  chmodSync(desk.path("own.img"), 0o640);
  const before = readdirSync(desk.place);
  desk.done("image", "seal", "own.img", ...labels);
  assert.is(statSync(desk.path("own.img")).mode & 0o777, 0o640);
  assert.equal(readdirSync(desk.place), before);
  assert.is(inspect("own.img").keys.length, 0);
});

image("sealed already is refused, and sealed anew where that is said; the longer seal of before leaves nothing", () => {
  desk.done("image", "seal", "erofs", ...labels, "--key", "one.pem", "--key", "two.pem", "-o", "again.img");
  const sealed = desk.bytes("again.img");
  desk.refused(2, /again\.img is sealed already, as acme 2026\.11; say --reseal/, "image", "seal", "again.img", ...labels);
  assert.is(Buffer.compare(desk.bytes("again.img"), sealed), 0);
  desk.done("image", "seal", "again.img", "--system", "acme", "--version", "3", "--reseal");
  desk.done("image", "seal", "erofs", "--system", "acme", "--version", "3", "-o", "fresh.img");
  assert.is(Buffer.compare(desk.bytes("again.img"), desk.bytes("fresh.img")), 0);
  desk.changed("fresh.img", "hurt.img", (bytes) => bytes.fill(0xff, bytes.length - 4000, bytes.length));
  desk.refused(2, /sealed already, and the seal is damaged/, "image", "seal", "hurt.img", ...labels);
  desk.done("image", "seal", "hurt.img", "--system", "acme", "--version", "3", "--reseal");
  assert.is(Buffer.compare(desk.bytes("hurt.img"), desk.bytes("fresh.img")), 0);
});

image("zeros behind the filesystem are cut off; a filesystem that ends within a block is padded", () => {
  desk.write("long.img", Buffer.concat([desk.bytes("erofs"), new Uint8Array(70_000)]));
  desk.done("image", "seal", "long.img", ...labels);
  desk.done("image", "seal", "erofs", ...labels, "-o", "short.img");
  assert.is(Buffer.compare(desk.bytes("long.img"), desk.bytes("short.img")), 0);
  desk.host("mksquashfs", "tree", "nopad", "-quiet", "-no-progress", "-nopad");
  assert.is.not(desk.bytes("nopad").length % BLOCK, 0);
  desk.done("image", "seal", "nopad", ...labels, "-o", "nopad.img");
  desk.done("image", "verify", "--trust", "unsigned", "nopad.img");
});

const refused: [string, (erofs: Buffer) => Uint8Array, RegExp][] = [
  ["something else", () => Buffer.alloc(100_000, "x"), /begins with no filesystem that is known \(erofs, squashfs/],
  ["nothing", () => Buffer.alloc(0), /begins with no filesystem/],
  ["a disk", (erofs) => Buffer.concat([Buffer.alloc(1024 * 1024), erofs]), /not a disk with a partition table/],
  ["cut off", (erofs) => erofs.subarray(0, erofs.length - BLOCK), /is cut off: its erofs has \d+ bytes, the file \d+/],
  [
    "data behind",
    (erofs) => Buffer.concat([erofs, Buffer.alloc(9000), Buffer.from("x")]),
    /has data at byte \d+, behind its erofs of/,
  ],
];

for (const [name, make, message] of refused) {
  image(`no filesystem image to seal: ${name}`, () => {
    const bytes = make(desk.bytes("erofs"));
    desk.write("odd.img", bytes);
    desk.refused(2, message, "image", "seal", "odd.img", ...labels);
    assert.is(Buffer.compare(desk.bytes("odd.img"), bytes), 0);
  });
}

image("vfat is no filesystem of a system image", () => {
  writeFileSync(desk.path("vfat"), "");
  truncateSync(desk.path("vfat"), 1024 * 1024);
  desk.host("mkfs.vfat", "vfat");
  desk.refused(2, /vfat has the filesystem vfat; a system image has one of erofs/, "image", "seal", "vfat", ...labels);
});

const options: [string, string[], RegExp][] = [
  ["no system", ["--version", "1"], /--system is missing; it names the product's name/],
  ["no version", ["--system", "acme"], /--version is missing/],
  ["a version with a space", ["--system", "acme", "--version", "1 2"], /--version "1 2" may have letters/],
  ["a system that is too long", ["--system", "a".repeat(65), "--version", "1"], /has 65 characters, the most are 64/],
  ["an index that is none", [...labels, "--rollback-index", "1.5"], /--rollback-index "1\.5" is no whole number from 0 on/],
  ["an index that is too large", [...labels, "--rollback-index", "9".repeat(16)], /is no whole number/],
  [
    "it would revoke itself",
    [...labels, "--rollback-index", "1", "--revokes-below", "2"],
    /--revokes-below 2 is more than --rollback-index 1/,
  ],
  ["a key twice", [...labels, "--key", "one.pem", "--key", "one.pem"], /is the same key as one\.pem/],
  ["a public key", [...labels, "--key", "one.pub.pem"], /is a public key/],
  ["a kernel key alone", [...labels, "--kernel-key", "one.pem"], /--kernel-key is given without --kernel-certificate/],
  ["a signature that is no DER", [...labels, "--kernel-signature", "one.pem"], /is no DER/],
  [
    "another system than the control file's",
    ["--system", "other", "--version", "1"],
    /is for the system "acme", --system says "other"/,
  ],
];

for (const [name, words, message] of options) {
  image(`refused: ${name}`, () => {
    desk.refused(2, message, "image", "seal", "erofs", ...words, "-o", "never.img");
    assert.not.ok(existsSync(desk.path("never.img")));
  });
}

image("the control file in erofs, squashfs and ext4 is read; what is wrong with it is an error, none a warning", () => {
  for (const type of ["erofs", "squashfs", "ext4"]) {
    desk.refused(2, /is for the system "acme"/, "image", "seal", type, "--system", "b", "--version", "1", "-o", "never.img");
  }
  mkdirSync(desk.path("bare/etc"), { recursive: true });
  writeFileSync(desk.path("bare/etc/file"), desk.bytes("erofs").toString("base64"));
  desk.host("mkfs.erofs", "--quiet", "-T0", "bare.erofs", "bare");
  const { code, error } = desk.slipway("image", "seal", "bare.erofs", ...labels, "-o", "bare.img");
  assert.is(code, 0);
  assert.match(error, /^slipway: warning: no usr\/lib\/slipway\/control\.json/);
  mkdirSync(desk.path("bare/usr/lib/slipway"), { recursive: true });
  writeFileSync(desk.path("bare/usr/lib/slipway/control.json"), "{}\n");
  desk.host("mksquashfs", "bare", "bad.squashfs", "-quiet", "-no-progress");
  desk.refused(2, /control\.json of the image: control file: schema/, "image", "seal", "bad.squashfs", ...labels);
});

image("inspect tells what was said; .idx and image say the same", () => {
  const words = ["--rollback-index", "7", "--revokes-below", "5", "--key", "one.pem", "--key", "two.pem"];
  desk.done("image", "seal", "erofs", ...labels, ...words, "-o", "told.img");
  const told = inspect("told.img", "--trust", "two.pub.pem");
  assert.equal([told.rollbackIndex, told.revokesBelow, told.version, told.kind], [7, 5, "2026.11", "file"]);
  assert.equal(told.needs, { controlFormat: 1, features: [] });
  assert.equal(
    told.signatures.map(({ file, right }) => [file, right]).sort(),
    [
      ["two.pub.pem", true],
      [null, null],
    ].sort(),
  );
  assert.match(desk.done("image", "index", "told.img"), /^wrote told\.img\.idx: /);
  assert.is(Buffer.compare(desk.bytes("told.img.idx"), desk.bytes("told.img").subarray(told.hashOffset)), 0);
  assert.equal(inspect("told.img.idx", "--trust", "two.pub.pem"), { ...told, kind: "index" });
  const text = desk.done("image", "inspect", "--trust", "one.pub.pem", "told.img");
  assert.match(text, /^told\.img: acme 2026\.11\n {2}filesystem {6}erofs, .*rollback index {2}7, revokes those below 5\n/s);
  desk.refused(2, /erofs is no sealed image: no footer/, "image", "index", "erofs");
  desk.refused(2, /told\.img\.idx is no sealed image/, "image", "index", "told.img.idx");
});

image("a key that lives elsewhere signs what payload prints; a second signature of it takes the first one's place", () => {
  desk.done("image", "seal", "erofs", ...labels, "--key", "one.pem", "-o", "away.img");
  desk.done("image", "index", "away.img", "-o", "away.idx");
  desk.done("image", "payload", "away.img", "-o", "payload");
  assert.equal(desk.slipway("image", "payload", "away.idx").out, desk.text("payload"));
  assert.match(desk.text("payload"), /^DSSEv1 33 application\/vnd\.slipway\.seal\+json \d+ \{"filesystem":"erofs",/);
  desk.host("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", "two.pem", "-in", "payload", "-out", "signature");
  const attach = ["image", "attach-signature", "away.img", "--signature", "signature", "--public-key", "two.pub.pem"];
  assert.match(desk.done(...attach, "--index", "away.idx"), /^away\.img and away\.idx: signed by [0-9a-f]{64}, [0-9a-f]{64}\n/);
  const both = ["--trust", "one.pub.pem", "--trust", "two.pub.pem", "--threshold", "2"];
  desk.done("image", "verify", ...both, "away.img");
  desk.done("image", "verify", ...both, "away.idx");
  const once = desk.bytes("away.img");
  desk.done(...attach);
  assert.is(Buffer.compare(desk.bytes("away.img"), once), 0, "signing again changes nothing: Ed25519 has no randomness");
  desk.done("image", "seal", "erofs", ...labels, "--key", "one.pem", "--key", "two.pem", "-o", "here.img");
  assert.is(Buffer.compare(once, desk.bytes("here.img")), 0, "as if both had signed here");
});

image("a signature that grows the seal into another block moves the footer", () => {
  desk.write("long.der", Buffer.alloc(700, 0x30));
  desk.done("image", "seal", "erofs", ...labels, "--kernel-signature", "long.der", "-o", "grows.img");
  const before = statSync(desk.path("grows.img")).size;
  desk.done("image", "payload", "grows.img", "-o", "payload");
  for (let count = 0; count < 16; count++) {
    const name = `many-${count}`;
    desk.done("keys", "new", name);
    desk.host("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", `${name}.pem`, "-in", "payload", "-out", "signature");
    desk.done("image", "attach-signature", "grows.img", "--signature", "signature", "--public-key", `${name}.pub.pem`);
  }
  assert.is(statSync(desk.path("grows.img")).size, before + BLOCK);
  assert.is(inspect("grows.img").keys.length, 16);
  desk.done("image", "verify", "--trust", "many-3.pub.pem", "grows.img");
  desk.host("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", "one.pem", "-in", "payload", "-out", "signature");
  const one = ["--signature", "signature", "--public-key", "one.pub.pem"];
  desk.refused(2, /has 16 signatures, and can have no more/, "image", "attach-signature", "grows.img", ...one);
});

image("signatures that are not attached", () => {
  desk.done("image", "seal", "erofs", ...labels, "-o", "plain.img");
  desk.done("image", "seal", "erofs", "--system", "acme", "--version", "other", "-o", "other.img");
  desk.done("image", "index", "other.img", "-o", "other.idx");
  desk.done("image", "payload", "plain.img", "-o", "payload");
  desk.host("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", "one.pem", "-in", "payload", "-out", "signature");
  const before = desk.bytes("plain.img");
  const attach = (file: string, ...words: string[]) => ["image", "attach-signature", file, ...words];
  const right = ["--signature", "signature", "--public-key", "one.pub.pem"];
  const wrong = ["--signature", "signature", "--public-key", "two.pub.pem"];
  desk.refused(2, /the signature is not one of key [0-9a-f]{64} over plain\.img/, ...attach("plain.img", ...wrong));
  desk.refused(2, /the signature is not one of key .* over other\.img/, ...attach("other.img", ...right));
  desk.refused(2, /over other\.idx/, ...attach("plain.img", ...right, "--index", "other.idx"));
  desk.refused(2, /--index plain\.img is not the \.idx of plain\.img/, ...attach("plain.img", ...right, "--index", "plain.img"));
  desk.write("base64", desk.bytes("signature").toString("base64"));
  desk.refused(
    2,
    /has 88 bytes; an Ed25519 signature has 64/,
    ...attach("plain.img", "--signature", "base64", "--public-key", "one.pub.pem"),
  );
  desk.refused(2, /is a private key/, ...attach("plain.img", "--signature", "signature", "--public-key", "one.pem"));
  desk.refused(2, /--signature is missing/, ...attach("plain.img", "--public-key", "one.pub.pem"));
  desk.refused(2, /--public-key is missing/, ...attach("plain.img", "--signature", "signature"));
  desk.refused(2, /erofs is no sealed image/, ...attach("erofs", ...right));
  assert.is(Buffer.compare(desk.bytes("plain.img"), before), 0);
});

image("a signature of the root hash for the kernel, made here or elsewhere", () => {
  const certificate = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=verity", "-keyout", "kernel.pem", "-out", "kernel.crt"];
  desk.host("openssl", "req", "-x509", ...certificate);
  const words = ["--kernel-key", "kernel.pem", "--kernel-certificate", "kernel.crt"];
  desk.done("image", "seal", "erofs", ...labels, ...words, "--key", "one.pem", "-o", "kernel.img");
  const { rootHash, kernelSignature } = inspect("kernel.img");
  desk.write("kernel.p7s", Buffer.from(kernelSignature ?? "", "base64"));
  desk.write("root-hash", rootHash);
  const check = ["-verify", "-inform", "der", "-in", "kernel.p7s", "-content", "root-hash", "-binary", "-noverify"];
  assert.is(desk.host("openssl", "smime", ...check, "-nointern", "-certfile", "kernel.crt"), rootHash);
  desk.done("image", "seal", "erofs", ...labels, "--kernel-signature", "kernel.p7s", "--key", "one.pem", "-o", "given.img");
  assert.is(Buffer.compare(desk.bytes("given.img"), desk.bytes("kernel.img")), 0);
});

image.run();
