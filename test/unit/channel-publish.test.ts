/** slipway publish: a directory to serve, whose list never says what is not there. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Channel, decodeSignedChannel } from "../../boot/channel/channel.ts";
import { nextChannel, type Publication } from "../../boot/channel/publication.ts";
import { type PublicKey, publicKey, publicKeyPem } from "../../boot/image/keys.ts";
import { decodeSeal, type Needs, needsOf } from "../../boot/image/seal.ts";
import { judgeEnvelope } from "../../boot/image/trust.ts";
import { publish } from "../../init/builder/channel/publish.ts";
import { withImage } from "../../init/builder/image/open-image.ts";
import { rawPublicKey } from "../../init/builder/keys/signing-key.ts";
import { commandLine } from "../../init/command-line.ts";
import type { OptionValues } from "../../init/commands/verb.ts";
import { O } from "../../init/kernel/constants.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { channel, release, signedChannel } from "../samples/channel.ts";
import { sealedImage, type TestKey } from "../samples/sealed-image.ts";

const scratch = mkdtempSync(join(tmpdir(), "slipway-publish-"));
test.after(() => rmSync(scratch, { recursive: true, force: true }));
const directory = join(scratch, "stable");
test.before.each(() => rmSync(directory, { recursive: true, force: true }));

interface KeyFiles extends TestKey {
  file: string;
  publicFile: string;
}

function keyFiles(name: string): KeyFiles {
  const { privateKey } = generateKeyPairSync("ed25519");
  const file = join(scratch, `${name}.pem`);
  writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const key: PublicKey = publicKey(rawPublicKey(privateKey));
  const publicFile = join(scratch, `${name}.pub.pem`);
  writeFileSync(publicFile, publicKeyPem(key));
  return { file, publicFile, key, sign: async (message) => new Uint8Array(sign(null, message, privateKey)) };
}

const [own, other, third] = [keyFiles("own"), keyFiles("other"), keyFiles("third")];

/** An image file whose content follows from its version. */
async function imageFile(
  version: string,
  change: { system?: string; rollbackIndex?: number; content?: number; needs?: Needs } = {},
  keys = [own],
) {
  const { content, ...manifest } = change;
  const filesystem = new Uint8Array(20 * 4096).fill(content ?? version.charCodeAt(0) + version.length);
  filesystem.set(new TextEncoder().encode(`${version} ${manifest.system}`), 4096);
  const { bytes } = await sealedImage(filesystem, keys, { ...manifest, version });
  const file = join(scratch, `image-${version}-${Math.random().toString(36).slice(2)}`);
  writeFileSync(file, bytes);
  return file;
}

const [v1, v2, v21] = [await imageFile("1.0"), await imageFile("2.0"), await imageFile("2.1")];

const run = (files: string[], values: OptionValues = {}) =>
  publish(linuxKernel(), directory, files, { channel: "stable", key: [own.file], ...values });

async function refuses(words: RegExp, files: string[], values: OptionValues = {}): Promise<void> {
  const before = existsSync(directory) ? contents() : null;
  let said = "nothing";
  try {
    await run(files, values);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    said = error.message;
  }
  assert.match(said, words);
  if (before !== null && before["channel.json"] !== undefined) {
    for (const [name, bytes] of Object.entries(before)) assert.is(contents()[name], bytes, `${name} is as it was`);
  }
  assert.not.ok(
    Object.keys(contents()).some((name) => name.startsWith(".")),
    "no scratch is left",
  );
}

function contents(): Record<string, string> {
  if (!existsSync(directory)) return {};
  return Object.fromEntries(
    readdirSync(directory).map((name) => {
      const path = join(directory, name);
      return [name, statSync(path).isFile() ? readFileSync(path, "latin1") : ""];
    }),
  );
}

const served = () => decodeSignedChannel(new Uint8Array(readFileSync(join(directory, "channel.json"))));

test("a new channel: signed list, images as they are, their indexes, and nothing else", async () => {
  const published = await run([v1, v2], { rollout: ["2.0=10"], "minimum-version": ["2.0=1.0"] });
  assert.equal(readdirSync(directory).sort(), [
    "acme-1.0.img",
    "acme-1.0.img.idx",
    "acme-2.0.img",
    "acme-2.0.img.idx",
    "channel.json",
  ]);
  const { envelope, channel: list } = served();
  const trust = { mode: "signed" as const, keys: [own.key], threshold: 1 };
  assert.equal(await judgeEnvelope("the channel", envelope, trust), { trusted: true, signers: [own.key.id] });
  assert.is(list.serial, 1);
  assert.equal(
    list.releases.map(({ version, rollout, minimumVersion }) => [version, rollout, minimumVersion]),
    [
      ["2.0", 10, "1.0"],
      ["1.0", 100, null],
    ],
  );
  for (const [file, { image, imageSize, rootHash }] of [
    [v2, list.releases[0] ?? release("0")],
    [v1, list.releases[1] ?? release("0")],
  ] as const) {
    const bytes = readFileSync(join(directory, image));
    assert.is(Buffer.compare(bytes, readFileSync(file)), 0);
    assert.is(bytes.length, imageSize);
    const index = readFileSync(join(directory, `${image}.idx`));
    assert.is(Buffer.compare(index, bytes.subarray(bytes.length - index.length)), 0, "the image's end");
    const sealAt = index.indexOf('{"payload"');
    const seal = decodeSeal(new Uint8Array(index.subarray(sealAt, index.indexOf(0, sealAt))));
    assert.is(seal.manifest.rootHash, rootHash);
    assert.is(statSync(join(directory, image)).mode & 0o777, 0o644);
  }
  assert.equal([published.published, published.withdrawn, published.warnings], [["1.0", "2.0"], [], []]);
});

test("one channel is for one architecture: a machine takes the newest release, whatever that is for", async () => {
  const x86 = await imageFile("3.0", { needs: needsOf("x86-64") });
  const arm64 = await imageFile("3.1", { needs: needsOf("arm64") });
  const words = /^3\.1 is for arm64, 3\.0 for x86-64; give each architecture a channel of its own$/;
  await refuses(words, [x86, arm64]);
  await run([v1, x86]);
  await refuses(words, [arm64]);
  const moved = await run([arm64], { withdraw: ["3.0"] });
  assert.equal(
    moved.releases.map(({ version }) => version),
    ["3.1", "1.0"],
  );
});

test("renewed: the serial counts up, releases stay until they are withdrawn, their files go with them", async () => {
  await run([v1]);
  const { ino } = statSync(join(directory, "acme-1.0.img"));
  await run([v1, v2], { rollout: ["2.0=5"] });
  assert.is(statSync(join(directory, "acme-1.0.img")).ino, ino, "what is there is not copied again");
  const wider = await run([], { rollout: ["2.0=50"] });
  assert.equal([wider.serial, wider.published], [3, []]);
  assert.equal(
    served().channel.releases.map(({ version, rollout }) => [version, rollout]),
    [
      ["2.0", 50],
      ["1.0", 100],
    ],
  );
  const last = await run([v21], { withdraw: ["1.0"] });
  assert.equal([last.serial, last.withdrawn], [4, ["1.0"]]);
  assert.not.ok(existsSync(join(directory, "acme-1.0.img")) || existsSync(join(directory, "acme-1.0.img.idx")));
  const kept = await run([], { keep: "1", serial: "100" });
  assert.equal([kept.serial, kept.withdrawn], [100, ["2.0"]]);
  assert.equal(readdirSync(directory).sort(), ["acme-2.1.img", "acme-2.1.img.idx", "channel.json"]);
});

test("several keys sign; another key's channel and images are taken only where it is named", async () => {
  await run([v1], { key: [own.file, other.file] });
  const { envelope } = served();
  const both = { mode: "signed" as const, keys: [own.key, other.key], threshold: 2 };
  assert.is((await judgeEnvelope("the channel", envelope, both)).trusted, true);
  await refuses(/is signed by 0 trusted keys.*--trust/, [], { key: [third.file] });
  const foreign = await imageFile("3.0", {}, [third]);
  await refuses(/the seal of .*image-3\.0.* is signed by 0 trusted keys.*--trust/, [foreign]);
  const taken = await run([foreign], { key: [third.file], trust: [own.publicFile] });
  assert.equal(taken.signers, [third.key.id]);
});

test("signed elsewhere, by openssl", async () => {
  const payload = join(scratch, "payload");
  const elsewhere = { key: [], trust: [own.publicFile] };
  const asked = await run([v1], { ...elsewhere, payload });
  assert.equal([asked.renewed, asked.signers, asked.warnings], [false, [], []]);
  assert.not.ok(existsSync(join(directory, "channel.json")), "nothing is offered yet");
  const signed = (key: KeyFiles, name: string): string => {
    const signature = join(scratch, name);
    const words = ["pkeyutl", "-sign", "-rawin", "-inkey", key.file, "-in", payload, "-out", signature];
    assert.is(spawnSync("openssl", words).status, 0);
    return signature;
  };
  const both = [signed(own, "own.sig"), signed(other, "other.sig")];
  const attached = { ...elsewhere, "public-key": [own.publicFile, other.publicFile], signature: both };
  await refuses(/--signature .*own\.sig is not one of key .* over this publication/, [v1], { ...attached, rollout: ["1.0=5"] });
  await refuses(/--public-key is given 2 times, --signature 1 times/, [v1], { ...attached, signature: both.slice(1) });
  await refuses(/do one of them/, [v1], { ...attached, key: [own.file] });
  await refuses(/has \d+ bytes; an Ed25519 signature has 64/, [v1], { ...attached, signature: [payload, payload] });
  await run([v1], attached);
  const trust = { mode: "signed" as const, keys: [own.key, other.key], threshold: 2 };
  assert.is((await judgeEnvelope("the channel", served().envelope, trust)).trusted, true);
  await refuses(/--trust is missing; it names the public keys/, [], { key: [], payload });
  await refuses(/is not one of key/, [], attached);
});

test("refused, and the channel stays as it is", async () => {
  const damaged = readFileSync(v2);
  damaged[9000] = (damaged[9000] ?? 0) ^ 1;
  const damagedFile = join(scratch, "damaged.img");
  writeFileSync(damagedFile, damaged);
  const cut = join(scratch, "cut.img");
  writeFileSync(cut, damaged.subarray(0, damaged.length - 4096));
  const plain = join(scratch, "plain.img");
  writeFileSync(plain, new Uint8Array(64 * 4096).fill(1));

  await refuses(/there is no channel yet; give the images/, []);
  await refuses(/--channel is missing/, [v1], { channel: undefined });
  await run([v1]);
  await refuses(/damaged\.img is damaged: filesystem, byte 8192: the block has not the digest/, [damagedFile]);
  await refuses(/plain\.img is no sealed image/, [plain]);
  await refuses(/cut\.img/, [cut]);
  await refuses(/nothing-there cannot be read/, [join(scratch, "nothing-there")]);
  await refuses(/1\.0 is another image than 1\.0, which is offered already/, [await imageFile("1.0", { content: 99 })]);
  await refuses(/1\.00 is another image than 1\.0/, [await imageFile("1.00")]);
  await refuses(/the images are for the system other, the channel in that directory is acme/, [
    await imageFile("9", { system: "other" }),
  ]);
  await refuses(/a channel has one/, [v2, await imageFile("9", { system: "other" })]);
  await refuses(/--channel is beta, the channel in that directory is stable/, [v2], { channel: "beta" });
  await refuses(/--channel a\/b may have letters/, [v2], { channel: "a/b" });
  await refuses(/--key is missing/, [v2], { key: [] });
  await refuses(/do one of them/, [v2], { unsigned: true });
  await refuses(/no release "7" is offered; there are 1\.0/, [], { rollout: ["7=1"] });
  await refuses(/no release "7" is offered/, [], { withdraw: ["7"] });
  for (const share of ["101", "-1", "1.5", "", "1e1", " 1"])
    await refuses(/whole number of percent/, [], { rollout: [`1.0=${share}`] });
  await refuses(/is not VERSION=VALUE/, [], { rollout: ["1.0"] });
  await refuses(/given twice for 1\.0/, [], { rollout: ["1.0=1", "1.0=2"] });
  await refuses(/the version may have letters/, [], { "minimum-version": ["1.0=a b"] });
  await refuses(/no machine could ever take 1\.0/, [], { "minimum-version": ["1.0=1.0"] });
  await refuses(/--serial 1 is not above 1/, [], { serial: "1" });
  await refuses(/--serial 1\.5 is no whole number/, [], { serial: "1.5" });
  await refuses(/--serial 9007199254740992 is no whole number/, [], { serial: String(2 ** 53) });
  await refuses(/--keep 0 is no whole number from 1/, [], { keep: "0" });
  await refuses(/2\.0 is to be offered and withdrawn/, [v2], { withdraw: ["2.0"] });
  await run([v21]);
  await refuses(/2\.0 is not among the 1 newest/, [v2], { keep: "1" });
});

test("with --quick an image is copied as it is", async () => {
  const damaged = readFileSync(v2);
  damaged[9000] = (damaged[9000] ?? 0) ^ 1;
  const file = join(scratch, "quick.img");
  writeFileSync(file, damaged);
  assert.equal((await run([file], { quick: true })).published, ["2.0"]);
});

test("a private key that would be served is refused", async () => {
  mkdirSync(directory);
  const inside = join(directory, "own.pem");
  writeFileSync(inside, readFileSync(own.file));
  await refuses(/lies in .*stable, which is served to everybody/, [v1], { key: [inside] });
});

test("a channel that somebody changed is not renewed", async () => {
  await run([v1]);
  const path = join(directory, "channel.json");
  const bytes = new Uint8Array(readFileSync(path));
  writeFileSync(path, await signedChannel(channel({ serial: 900 }), [third]));
  await refuses(/is signed by 0 trusted keys/, [v2]);
  writeFileSync(path, bytes.subarray(0, bytes.length - 1));
  await refuses(/canonical form/, [v2]);
  writeFileSync(path, new Uint8Array(300_000));
  await refuses(/has 300000 bytes/, [v2]);
});

test("an interrupted publication is made up for by the next; files of others are told of", async () => {
  await run([v1]);
  mkdirSync(join(directory, ".slipway-abc123"));
  writeFileSync(join(directory, ".slipway-abc123", "output"), "half");
  writeFileSync(join(directory, "acme-2.0.img"), "half an image, not in the list yet");
  writeFileSync(join(directory, "notes.txt"), "");
  const { warnings, published } = await run([v2]);
  assert.equal(published, ["2.0"]);
  assert.equal(warnings, [`${directory}/notes.txt is no part of the channel, and served`]);
  assert.is(Buffer.compare(readFileSync(join(directory, "acme-2.0.img")), readFileSync(v2)), 0);
  rmSync(join(directory, "acme-1.0.img.idx"));
  await refuses(/lacks acme-1\.0\.img or its index; give the image again/, []);
  assert.equal((await run([v1])).published, ["1.0"]);
});

test("an image that is given once more is mended where it lies, and gets the signatures that it has now", async () => {
  await run([v1, v2]);
  const path = join(directory, "acme-1.0.img");
  const sound = readFileSync(v1);
  assert.equal((await run([v1, v2])).published, [], "it is as it should be");
  const hit = Buffer.from(sound);
  hit[9000] = (hit[9000] ?? 0) ^ 1;
  writeFileSync(path, hit);
  assert.equal((await run([v1], { quick: true })).published, [], "nobody looked");
  assert.equal((await run([v1])).published, ["1.0"]);
  assert.is(Buffer.compare(readFileSync(path), sound), 0);
  writeFileSync(`${path}.idx`, "cut off");
  assert.equal((await run([v1], { quick: true })).published, ["1.0"]);

  const signedAnew = await imageFile("1.0", {}, [own, other]);
  const { publicFile } = other;
  assert.equal((await run([signedAnew], { trust: [publicFile] })).published, ["1.0"]);
  for (const name of ["acme-1.0.img", "acme-1.0.img.idx"]) {
    const { keyIds } = await withImage(linuxKernel(), join(directory, name), ({ seal }) => ({
      keyIds: seal.envelope.signatures.map(({ keyId }) => keyId).sort(),
    }));
    assert.equal(keyIds, [own.key.id, other.key.id].sort(), name);
  }
});

test("one publisher at a time", async () => {
  await run([v1]);
  const kernel = linuxKernel();
  const fd = kernel.open(directory, O.RDONLY | O.DIRECTORY);
  assert.is(kernel.lock(fd), true);
  let said: unknown;
  try {
    await run([v2]);
  } catch (error) {
    said = error;
  }
  kernel.close(fd);
  assert.ok(said instanceof Refusal && /somebody else publishes to/.test(said.message));
  assert.is((await run([v2])).serial, 2);
});

test("the verb takes a directory and any number of images", async () => {
  const said: string[] = [];
  const log = console.log;
  console.log = (line: string) => said.push(line);
  try {
    const fixed = ["publish", directory, v1, v2, "--key", own.file, "--channel", "stable"];
    assert.is(await commandLine([...fixed, "--json"]), 0);
    assert.is(await commandLine([...fixed, "--rollout", "2.0=7"]), 0);
  } finally {
    console.log = log;
  }
  assert.equal(Object.keys(JSON.parse(said[0] ?? "")), [
    "schema",
    "directory",
    "channel",
    "system",
    "serial",
    "releases",
    "signers",
    "renewed",
    "published",
    "withdrawn",
    "warnings",
  ]);
  assert.match(said.slice(1).join("\n"), /serial 2, signed by [0-9a-f]{12}\n {2}2\.0 {2}acme-2\.0\.img .* 7 % of the machines\n/);
  assert.is(await commandLine(["publish"]), 2);
});

const asked: Publication = {
  channel: null,
  images: [],
  system: null,
  withdraw: [],
  keep: null,
  rollout: new Map(),
  minimumVersion: new Map(),
  serial: null,
};

test("what a channel says next", () => {
  const current: Channel = channel({ releases: [release("2.0", { rollout: 20, minimumVersion: "1.0" }), release("1.0")] });
  const next = (change: Partial<Publication>) => nextChannel(current, { ...asked, ...change });
  assert.equal(next({}), { channel: { ...current, serial: 6 }, withdrawn: [] });
  assert.is(next({ minimumVersion: new Map([["2.0", null]]) }).channel.releases[0]?.minimumVersion, null);
  assert.equal(next({ withdraw: ["2.0", "1.0"] }).channel.releases, []);
  const { rollout: _, minimumVersion: __, ...image } = release("2.0~rc1");
  assert.equal(
    next({ images: [image], system: "acme", keep: 2 }).channel.releases.map(({ version }) => version),
    ["2.0", "2.0~rc1"],
  );
  const twin = { ...image, rootHash: release("1.0").rootHash };
  assert.throws(() => next({ images: [twin], system: "acme" }), /2\.0~rc1 has the content of 1\.0/);
  assert.throws(() => nextChannel(channel({ serial: Number.MAX_SAFE_INTEGER }), asked), /serial/);
});

test.run();
