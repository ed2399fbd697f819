/** Keys made by slipway and by openssl, each used by the other. */
import { statSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeEnvelope, PAYLOAD_TYPE } from "../../boot/image/envelope.ts";
import { readPublicKeyPem } from "../../boot/image/keys.ts";
import { judgeEnvelope } from "../../boot/image/trust.ts";
import type { Passphrases } from "../../init/builder/keys/passphrase.ts";
import { readSigningKeys, signEnvelope } from "../../init/builder/keys/signing-key.ts";
import { project } from "../../qemu/places.ts";
import { Desk } from "./builder-desk.ts";

const desk = new Desk();
const keys = suite("keys");
keys.after(() => desk.clear());

const silent: Passphrases = { given: [], ask: async () => null };

function typed(...passphrases: (string | null)[]): Passphrases {
  return { given: [], ask: async () => passphrases.shift() ?? null };
}

function given(...passphrases: string[]): Passphrases {
  return { given: passphrases, ask: () => Promise.reject(new Error("asked on the terminal")) };
}

keys("a pair that openssl reads; the private one is its owner's only", () => {
  const out = desk.done("keys", "new", "release");
  assert.is(statSync(desk.path("release.pem")).mode & 0o777, 0o600);
  assert.is(desk.host("openssl", "pkey", "-in", "release.pem", "-pubout"), desk.text("release.pub.pem"));
  assert.match(desk.host("openssl", "pkey", "-in", "release.pem", "-noout", "-text"), /^ED25519 Private-Key/);
  const { id } = readPublicKeyPem("release.pub.pem", desk.text("release.pub.pem"));
  desk.host("openssl", "pkey", "-pubin", "-in", "release.pub.pem", "-outform", "DER", "-out", "release.der");
  assert.match(desk.host("sha256sum", "release.der"), new RegExp(`^${id} `));
  assert.match(out, new RegExp(`wrote release\\.pem and release\\.pub\\.pem: key ${id}`));
});

keys("two pairs differ", () => {
  desk.done("keys", "new", "one");
  desk.done("keys", "new", "two");
  assert.is.not(desk.text("one.pub.pem"), desk.text("two.pub.pem"));
});

keys("nothing is overwritten, and half a pair is not left behind", () => {
  desk.done("keys", "new", "kept");
  const [secret, open] = [desk.text("kept.pem"), desk.text("kept.pub.pem")];
  desk.refused(2, /kept\.pem cannot be made: file already exists; a key is never overwritten/, "keys", "new", "kept");
  assert.equal([desk.text("kept.pem"), desk.text("kept.pub.pem")], [secret, open]);
  desk.write("half.pub.pem", "somebody's");
  desk.refused(2, /half\.pub\.pem cannot be made/, "keys", "new", "half");
  assert.is(statSync(desk.path("half.pem"), { throwIfNoEntry: false }), undefined);
  assert.is(desk.text("half.pub.pem"), "somebody's");
});

keys("names that are none", () => {
  desk.refused(2, /leave \.pem away/, "keys", "new", "x.pem");
  desk.refused(2, /is no name for a key/, "keys", "new", "");
  desk.refused(2, /no-such-directory\/x\.pem cannot be made/, "keys", "new", "no-such-directory/x");
  desk.refused(2, /takes NAME/, "keys", "new");
});

keys("an encrypted pair, which openssl opens with the passphrase's first line", async () => {
  desk.write("secret", "correct horse\nsecond line\n");
  desk.done("keys", "new", "locked", "--passphrase-file", "secret");
  assert.match(desk.text("locked.pem"), /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
  const open = desk.host("openssl", "pkey", "-in", "locked.pem", "-passin", "file:secret", "-pubout");
  assert.is(open, desk.text("locked.pub.pem"));
  desk.write("empty", "\n");
  desk.refused(2, /--passphrase-file empty: its first line is empty/, "keys", "new", "other", "--passphrase-file", "empty");
  desk.refused(2, /--passphrase-file gone cannot be read/, "keys", "new", "other", "--passphrase-file", "gone");
});

const openssl: [string, string[], Passphrases][] = [
  ["plain", [], silent],
  ["aes256", ["-aes256", "-pass", "pass:hello"], given("hello")],
  ["aes128", ["-aes128", "-pass", "pass:hello"], given("wrong", "hello")],
  ["des3", ["-des3", "-pass", "pass:hello"], typed("hello")],
];

for (const [name, words, passphrases] of openssl) {
  keys(`a key of openssl genpkey signs: ${name}`, async () => {
    desk.host("openssl", "genpkey", "-algorithm", "ed25519", ...words, "-out", `${name}.pem`);
    const [key] = await readSigningKeys([desk.path(`${name}.pem`)], passphrases);
    if (key === undefined) throw new Error("a key");
    const payload = Buffer.from('{"a":1}\n');
    const bytes = signEnvelope(PAYLOAD_TYPE.seal, payload, [key]);
    const envelope = decodeEnvelope("the seal", PAYLOAD_TYPE.seal, bytes);
    const pass = words.length === 0 ? [] : ["-passin", "pass:hello"];
    const pem = desk.host("openssl", "pkey", "-in", `${name}.pem`, ...pass, "-pubout");
    const trusted = readPublicKeyPem(name, pem);
    assert.equal(await judgeEnvelope("the seal", envelope, { mode: "signed", keys: [trusted], threshold: 1 }), {
      trusted: true,
      signers: [trusted.id],
    });
    desk.write("message", `DSSEv1 ${PAYLOAD_TYPE.seal.length} ${PAYLOAD_TYPE.seal} ${payload.length} ${payload}`);
    desk.write("signature", envelope.signatures[0]?.signature ?? "");
    desk.write("pub.pem", pem);
    const check = ["-verify", "-pubin", "-rawin", "-inkey", "pub.pem", "-in", "message", "-sigfile", "signature"];
    assert.match(desk.host("openssl", "pkeyutl", ...check), /Signature Verified Successfully/);
  });
}

interface Refused {
  name: string;
  make(file: string): void;
  passphrases?: Passphrases;
  message: RegExp;
}

const refused: Refused[] = [
  { name: "nothing", make: () => {}, message: /--key .*nothing\.pem cannot be read/ },
  { name: "text", make: (file) => desk.write(file, "hello\n"), message: /is no PEM file/ },
  { name: "public", make: (file) => desk.write(file, desk.text("release.pub.pem")), message: /is a public key/ },
  { name: "two", make: (file) => desk.write(file, desk.text("one.pem") + desk.text("two.pem")), message: /holds 2 keys/ },
  {
    name: "cut",
    make: (file) => desk.write(file, desk.text("one.pem").replace(/.{10}\n-----END/, "\n-----END")),
    message: /cannot be read as an Ed25519 private key/,
  },
  {
    name: "rsa",
    make: (file) => genpkey(file, "rsa"),
    message: /is of the kind rsa, not Ed25519; make one with slipway keys new/,
  },
  { name: "x25519", make: (file) => genpkey(file, "x25519"), message: /is of the kind x25519, not Ed25519/ },
  { name: "ed448", make: (file) => genpkey(file, "ed448"), message: /cannot be read as an Ed25519 private key/ },
  {
    name: "unasked",
    make: (file) => desk.write(file, desk.text("locked.pem")),
    message: /is encrypted; give its passphrase with --passphrase-file/,
  },
  {
    name: "wrong",
    make: (file) => desk.write(file, desk.text("locked.pem")),
    passphrases: given("wrong", "wrong too"),
    message: /is encrypted, and no passphrase of --passphrase-file opens it/,
  },
  {
    name: "mistyped",
    make: (file) => desk.write(file, desk.text("locked.pem")),
    passphrases: typed("wrong"),
    message: /the passphrase does not open it/,
  },
  {
    name: "scrypt",
    make: (file) => desk.host("openssl", "pkcs8", "-topk8", "-scrypt", "-in", "one.pem", "-passout", "pass:x", "-out", file),
    passphrases: given("x"),
    message: /is encrypted in a way that is not read here .*openssl pkcs8 -topk8 -v2 aes-256-cbc/,
  },
];

function genpkey(file: string, algorithm: string): void {
  desk.host("openssl", "genpkey", "-algorithm", algorithm, "-out", file);
}

for (const { name, make, passphrases = silent, message } of refused) {
  keys(`no key to sign with: ${name}`, async () => {
    make(`${name}.pem`);
    let seen = "it was read";
    await readSigningKeys([desk.path(`${name}.pem`)], passphrases).catch((error: Error) => {
      seen = `${error.name}: ${error.message}`;
    });
    assert.match(seen, /^BadInput: /);
    assert.match(seen, message);
  });
}

keys("on a terminal the passphrase is asked for and not shown; backspace and Ctrl-C do what they do", () => {
  desk.host("mkfs.erofs", "--quiet", "-T0", "image", project.concat("/boot"));
  const seal = `${process.execPath} ${project}/init/main.ts image seal image --system a --version 1 --key locked.pem -o sealed`;
  const typed = (text: string) =>
    desk.host("sh", "-c", `rm -f sealed; (sleep 2; printf '${text}') | script -qec '${seal}' /dev/null; true`);
  const shown = typed("correct horsex\\177\\r");
  assert.match(shown, /passphrase of --key locked\.pem: \r\n[\s\S]*wrote sealed: a 1/);
  assert.not.match(shown, /horse/);
  assert.match(typed("correct\\r"), /--key locked\.pem: the passphrase does not open it/);
  assert.match(typed("correct horse\\003"), /no passphrase was given/);
  assert.is(statSync(desk.path("sealed"), { throwIfNoEntry: false }), undefined);
});

keys("one key under two names, and more keys than an envelope holds", async () => {
  desk.write("copy.pem", desk.text("one.pem"));
  const messageOf = async (names: string[]): Promise<string> => {
    const files = names.map((name) => desk.path(name));
    return readSigningKeys(files, silent).then(
      () => "they were read",
      (error: Error) => error.message,
    );
  };
  assert.match(await messageOf(["one.pem", "copy.pem"]), /copy\.pem is the same key as .*one\.pem/);
  const many = Array.from({ length: 17 }, (_, index) => `many-${index}.pem`);
  for (const name of many) genpkey(name, "ed25519");
  assert.is(await messageOf(many.slice(1)), "they were read");
  assert.match(await messageOf(many), /--key is given 17 times, the most are 16/);
});

keys.run();
