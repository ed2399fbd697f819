/** Slots of the Discoverable Partitions Specification: signatures and trees as openssl and veritysetup make them, and each way they are wrong. */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { signersOf } from "../../boot/dps/pkcs7.ts";
import { decodeSignaturePartition, type SignedRootHash } from "../../boot/dps/signature-partition.ts";
import { boundRootHash, decodeTreePartition, shapeOf } from "../../boot/dps/tree-partition.ts";
import { checkSignature, keyKind } from "../../boot/dps/verify.ts";
import { verityTarget } from "../../boot/image/verity-table.ts";
import { elementAt } from "../../boot/network/der.ts";
import { filesBeside } from "../../init/builder/state/public-keys.ts";
import { refuseDpsTarget } from "../../init/dps/read-partitions.ts";
import { MOST_KEYS, type TrustedCertificate } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { sampleControlText } from "../samples/control-file.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-dps-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));
const at = (name: string) => `${scratch}/${name}`;
const openssl = (...words: string[]) => execFileSync("openssl", words, { cwd: scratch, stdio: ["ignore", "pipe", "ignore"] });

const kinds: Record<string, string[]> = {
  rsa: ["rsa:2048"],
  p256: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  p384: ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
  p521: ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
};
function newCertificate(name: string, kind: string[], ...more: string[]): void {
  openssl(
    "req",
    "-x509",
    "-nodes",
    "-newkey",
    ...kind,
    "-keyout",
    `${name}.pem`,
    "-out",
    `${name}.crt`,
    "-subj",
    `/CN=${name}`,
    ...more,
  );
}
for (const [name, kind] of Object.entries(kinds)) newCertificate(name, kind);
newCertificate("stranger", ["rsa:2048"]);
openssl("req", "-new", "-nodes", "-newkey", "rsa:2048", "-keyout", "past.pem", "-out", "past.csr", "-subj", "/CN=past");
openssl("x509", "-req", "-in", "past.csr", "-signkey", "past.pem", "-days", "0", "-out", "past.crt");

function trusted(name: string): TrustedCertificate {
  const found = new X509Certificate(readFileSync(at(`${name}.crt`)));
  const key = found.publicKey.export({ type: "spki", format: "der" }).toString("base64");
  return { fingerprint: found.fingerprint256.replaceAll(":", "").toLowerCase(), key };
}

const rootHash = "0123456789abcdef".repeat(4);

/** As systemd-repart signs, unless other words are given. */
function sign(name: string, text = rootHash, words = ["-noattr", "-binary"]): Uint8Array {
  writeFileSync(at("text"), text);
  openssl(
    "smime",
    "-sign",
    ...words,
    "-in",
    "text",
    "-inkey",
    `${name}.pem`,
    "-signer",
    `${name}.crt`,
    "-outform",
    "DER",
    "-out",
    "sig",
  );
  return new Uint8Array(readFileSync(at("sig")));
}

const signedBy = (name: string, signature = sign(name)): SignedRootHash => ({
  rootHash,
  signature,
  fingerprint: trusted(name).fingerprint,
});

async function refusal(signed: SignedRootHash, certificates: TrustedCertificate[]): Promise<string> {
  const error: unknown = await checkSignature(signed, certificates).catch((thrown: unknown) => thrown);
  if (error === undefined) return "none";
  assert.instance(error, BadInput);
  return error instanceof Error ? error.message : "";
}

for (const name of Object.keys(kinds)) {
  test(`${name}: a signature by a trusted certificate is believed, each bit of it counts, and so does the hash`, async () => {
    const signed = signedBy(name);
    assert.is(await refusal(signed, [trusted("stranger"), trusted(name)]), "none");
    assert.match(
      await refusal({ ...signed, rootHash: rootHash.replace("0", "1") }, [trusted(name)]),
      /is not by the certificate/,
    );
    const flipped = signed.signature.slice();
    flipped[flipped.length - 3] = (flipped.at(-3) ?? 0) ^ 1;
    assert.is.not(await refusal({ ...signed, signature: flipped }, [trusted(name)]), "none");
    assert.match(await refusal(signedBy(name, sign(name, "f".repeat(64))), [trusted(name)]), /is not by the certificate/);
    assert.match(
      await refusal(signed, [trusted("stranger")]),
      /is signed by the certificate [0-9a-f]{12}; trusted are: [0-9a-f]{12}$/,
    );
    assert.match(await refusal(signed, []), /trusted are: none/);
    // Who says that he is another one has not that one's key.
    const claimed = { ...signedBy("stranger"), fingerprint: trusted(name).fingerprint };
    assert.match(await refusal(claimed, [trusted(name)]), /is not by the certificate/);
  });
}

test("SHA-384 and SHA-512, certificates in it or not, an expired one: no clock is asked", async () => {
  for (const digest of ["sha384", "sha512"]) {
    const signed = signedBy("rsa", sign("rsa", rootHash, ["-noattr", "-binary", "-nocerts", "-md", digest]));
    assert.is(await refusal(signed, [trusted("rsa")]), "none", digest);
  }
  assert.is(await refusal(signedBy("past"), [trusted("past")]), "none");
  const sha1 = signedBy("rsa", sign("rsa", rootHash, ["-noattr", "-binary", "-md", "sha1"]));
  assert.match(await refusal(sha1, [trusted("rsa")]), /the signature's digest is 1\.3\.14\.3\.2\.26; read are/);
});

test("a signature over attributes, or with its content inside, is refused by name", async () => {
  const attributes = signedBy("rsa", sign("rsa", rootHash, ["-binary"]));
  assert.match(await refusal(attributes, [trusted("rsa")]), /is over attributes, and not over the root hash/);
  const inside = signedBy("rsa", sign("rsa", rootHash, ["-noattr", "-binary", "-nodetach"]));
  assert.match(await refusal(inside, [trusted("rsa")]), /is not detached/);
});

test("nothing follows the signature, and nothing stands beside what is read", () => {
  const whole = sign("p256");
  const wrap = (tag: number, content: Uint8Array) => {
    const length = content.length;
    return new Uint8Array([tag, 0x82, length >> 8, length & 0xff, ...content]);
  };
  const outer = elementAt(whole, 0, whole.length);
  if (outer === null) throw new Error("no DER");
  const inside = whole.subarray(outer.content, outer.end);
  assert.is(signersOf(wrap(0x30, inside)).length, 1);
  const more = new Uint8Array([0x05, 0x00]);
  for (const bytes of [
    new Uint8Array([...whole, 0]),
    new Uint8Array([...whole, ...whole]),
    wrap(0x30, new Uint8Array([...inside, ...more])),
  ]) {
    assert.throws(
      () => signersOf(bytes),
      (error: unknown) => error instanceof BadInput && /the signature is damaged: ContentInfo/.test(error.message),
    );
  }
});

test("certificates whose keys are too weak are not taken into a control file", () => {
  const read = filesBeside(at("system.yaml")).certificate;
  for (const name of Object.keys(kinds)) assert.equal(read(`${name}.crt`), { certificate: trusted(name) });
  newCertificate("short", ["rsa:1024"]);
  newCertificate("three", ["rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"]);
  newCertificate("edwards", ["ed25519"]);
  const faultOf = (name: string) => {
    const found = read(`${name}.crt`);
    return "fault" in found ? found.fault : "none";
  };
  assert.match(faultOf("short"), /short\.crt: its RSA key has 1024 bits; take one of 2048 or more/);
  assert.match(faultOf("three"), /three\.crt: its RSA key has the exponent 3; take one with 65537/);
  assert.match(faultOf("edwards"), /its key is neither RSA nor ECDSA/);
});

test("no damage of a signature is anything but a refusal", async () => {
  const whole = sign("p256");
  for (let length = 0; length < whole.length; length += 7) {
    assert.throws(
      () => signersOf(whole.subarray(0, length)),
      (error: unknown) => error instanceof BadInput,
    );
  }
  for (let place = 0; place < whole.length; place++) {
    const bytes = whole.slice();
    bytes[place] = (bytes[place] ?? 0) ^ 0xff;
    await refusal(signedBy("p256", bytes), [trusted("p256")]);
  }
  assert.is(keyKind(new Uint8Array(0)), null);
  assert.is(keyKind(Uint8Array.fromBase64(trusted("rsa").key).subarray(0, 40)), null);
});

const partition = (value: unknown, size = 16384) => {
  const bytes = new Uint8Array(size);
  bytes.set(new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)));
  return bytes;
};
const good = { rootHash, certificateFingerprint: "ab".repeat(32), signature: "AAAA" };

test("the signature partition: JSON and zeros, whatever else it says", () => {
  const read = decodeSignaturePartition(partition({ ...good, more: 1 }));
  assert.equal([read.rootHash, read.fingerprint, read.signature.length], [rootHash, "ab".repeat(32), 3]);
  const refused = (bytes: Uint8Array, reason: RegExp) =>
    assert.throws(
      () => decodeSignaturePartition(bytes),
      (error: unknown) => error instanceof BadInput && reason.test(error.message),
    );
  refused(new Uint8Array(4096), /is empty/);
  refused(partition("{"), /holds no JSON/);
  refused(partition([good]), /"rootHash" is not 64 hex digits/);
  refused(partition({ ...good, rootHash: "AB".repeat(32) }), /"rootHash"/);
  refused(partition({ ...good, certificateFingerprint: 5 }), /"certificateFingerprint"/);
  refused(partition({ ...good, signature: "%" }), /"signature" is not base64/);
  refused(partition({ ...good, signature: undefined }), /"signature"/);
  const behind = partition(good);
  behind[16000] = 1;
  refused(behind, /something behind its zeros/);
});

/** A tree by veritysetup over `size` bytes, in blocks of so many. */
function formatted(size: number, block: number) {
  writeFileSync(at("data"), "");
  truncateSync(at("data"), size);
  rmSync(at("tree"), { force: true });
  const words = ["format", "--data-block-size", `${block}`, "--hash-block-size", `${block}`, at("data"), at("tree")];
  const said = execFileSync("veritysetup", words, { encoding: "utf8" });
  const rootHash = /Root hash:\s+([0-9a-f]{64})/.exec(said)?.[1] ?? "";
  return { rootHash, head: new Uint8Array(readFileSync(at("tree")).subarray(0, 512)), treeSize: statSync(at("tree")).size };
}

const device = { major: 254, minor: 3 };

for (const [size, block] of [
  [4096 * 300, 4096],
  [4096 * 129, 512],
  [4096, 1024],
] as const) {
  test(`${size} bytes in blocks of ${block}: the tree ends where veritysetup's does, and dm-verity is told the same`, () => {
    const { rootHash, head, treeSize } = formatted(size, block);
    const decoded = decodeTreePartition(head);
    if (!("parameters" in decoded)) throw new Error(decoded.fault);
    const shaped = shapeOf(rootHash, decoded.parameters, { size: BigInt(size) }, { size: BigInt(treeSize), device });
    if (!("shape" in shaped)) throw new Error(shaped.fault);
    const table = { device: { major: 254, minor: 2 }, mode: "look", restartOnError: false, signatureKey: null } as const;
    const { length, parameters } = verityTarget({ ...table, manifest: shaped.shape });
    assert.is(length, size / 512);
    const blocks = size / block;
    assert.is(parameters, `1 254:2 254:3 ${block} ${block} ${blocks} 1 sha256 ${rootHash} ${decoded.parameters.salt}`);
    const short = shapeOf(rootHash, decoded.parameters, { size: BigInt(size) }, { size: BigInt(treeSize - 1), device });
    assert.match("fault" in short ? short.fault : "", /^ends at byte/);
    const other = shapeOf(rootHash, decoded.parameters, { size: BigInt(size - 1) }, { size: BigInt(treeSize), device });
    assert.match("fault" in other ? other.fault : "", /bytes of data, and the partition has/);
  });
}

test("superblocks that are none", () => {
  const { head } = formatted(4096 * 8, 4096);
  const faultOf = (change: (bytes: DataView) => void) => {
    const bytes = head.slice();
    change(new DataView(bytes.buffer));
    const decoded = decodeTreePartition(bytes);
    return "fault" in decoded ? decoded.fault : "none";
  };
  assert.match(
    faultOf((bytes) => bytes.setUint8(0, 0)),
    /no verity signature/,
  );
  assert.match(
    faultOf((bytes) => bytes.setUint32(8, 2, true)),
    /version 2/,
  );
  assert.match(
    faultOf((bytes) => bytes.setUint32(12, 0, true)),
    /hash type 0/,
  );
  assert.match(
    faultOf((bytes) => bytes.setUint8(32, 0x78)),
    /algorithm "xha256"/,
  );
  assert.match(
    faultOf((bytes) => bytes.setUint32(64, 3, true)),
    /blocks of 3 bytes/,
  );
  assert.match(
    faultOf((bytes) => bytes.setUint32(68, 65536, true)),
    /blocks of 65536 bytes/,
  );
  assert.match(
    faultOf((bytes) => bytes.setUint16(80, 257, true)),
    /salt of 257/,
  );
  assert.ok("fault" in decodeTreePartition(head.subarray(0, 100)));
  const huge = { dataBlock: 4096, hashBlock: 4096, dataBlocks: 2n ** 60n, salt: "" };
  assert.ok("fault" in shapeOf("", huge, { size: 2n ** 40n }, { size: 2n ** 40n, device }));
  assert.ok("fault" in shapeOf("", { ...huge, dataBlocks: 0n }, { size: 4096n }, { size: 4096n, device }));
});

test("the UUIDs of both partitions are the root hash", () => {
  const uuid = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  assert.is(boundRootHash(uuid(rootHash.slice(0, 32)), uuid(rootHash.slice(32))), rootHash);
  assert.is(boundRootHash(null, uuid(rootHash.slice(32))), null);
  assert.is(boundRootHash(uuid(rootHash.slice(0, 32)), null), null);
  assert.is(boundRootHash("x", "y"), null);
});

test("a control file with such slots is read, and slipway writes no image into them", () => {
  const trust = { mode: "signed" as const, keys: [], threshold: 1, rollbackFloor: 0, kernelSignature: "ignored" as const };
  const slot = { name: "a", device: "PARTLABEL=root-a", verity: "PARTLABEL=root-a-verity", signature: "PARTLABEL=root-a-sig" };
  const text = (change: object) => sampleControlText({ slots: [slot], trust: { ...trust, ...change } });
  const control = readControl(text({ certificates: [trusted("rsa")] }));
  assert.equal(control.slots, [slot]);
  assert.equal(control.trust.mode === "signed" ? control.trust.certificates : null, [trusted("rsa")]);
  assert.throws(() => readControl(text({})), /keys.* must be a list of 1 to/);
  const one = trusted("rsa");
  const most = Array.from({ length: MOST_KEYS }, (_, index) => ({ ...one, fingerprint: `${index}`.padStart(64, "0") }));
  readControl(text({ certificates: most }));
  const lists = [[], [one, one], [...most, one]];
  for (const certificates of lists) {
    assert.throws(
      () => readControl(text({ certificates })),
      /trust\.certificates must be a list of 1 to 16 different certificates/,
    );
    assert.throws(
      () => readControl(text({ certificates, keys: ["ab".repeat(32)] })),
      /trust\.certificates must be a list of 1 to 16/,
    );
  }
  for (const fingerprint of [
    "ab",
    one.fingerprint.toUpperCase(),
    `${one.fingerprint}0`,
    `${one.fingerprint}\n`,
    "x".repeat(64),
  ]) {
    const refused = /trust\.certificates\[0\]\.fingerprint must be 64 hex digits/;
    assert.throws(() => readControl(text({ certificates: [{ ...one, fingerprint }] })), refused);
  }
  for (const key of ["AAA", "A===", "AAA*", "AA-_", "AAAA\n", "AAAA AAAA", "AA==AAAA", one.key.slice(1)]) {
    const refused = /trust\.certificates\[0\]\.key must be base64/;
    assert.throws(() => readControl(text({ certificates: [{ ...one, key }] })), refused);
  }
  for (const key of ["AA==", "AAA=", "AAAA", "+/+/"]) readControl(text({ certificates: [{ ...one, key }] }));
  assert.throws(
    () => refuseDpsTarget(slot),
    (error: unknown) => error instanceof Refusal,
  );
  refuseDpsTarget({ name: "b", device: "PARTLABEL=root-b" });
});

test.run();
