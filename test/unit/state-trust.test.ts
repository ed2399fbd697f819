/** `trust:` of system.yaml: what it becomes in the control file, and what is refused, with its place. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MOST_SIGNATURES } from "../../boot/image/envelope.ts";
import { publicKey, publicKeyPem } from "../../boot/image/keys.ts";
import { keysBeside } from "../../init/builder/state/public-keys.ts";
import { MOST_KEYS } from "../../state-ops/control.ts";
import { CompileError } from "../../state-ops/problems.ts";
import { compileTexts, sampleSystem } from "../samples/compile.ts";

const keys = Object.fromEntries(
  Array.from({ length: 20 }, (_, index) => [`k${index}.pem`, index.toString(16).padStart(2, "0").repeat(32)]),
);
const [k0, k1] = [keys["k0.pem"] ?? "", keys["k1.pem"] ?? ""];

function withTrust(trust: string, more = ""): string {
  return sampleSystem.replace("trust: unsigned\n", `trust: ${trust}\n${more}`);
}

function build(trust: string, more = "") {
  return compileTexts({ system: withTrust(trust, more), keys: { ...keys, "twin.pem": k0 } }).control;
}

test("keys become what they are, in their order, with every default; the command line is locked", () => {
  const control = build("{ keys: [k1.pem, k0.pem] }");
  assert.equal(control.trust, {
    mode: "signed",
    keys: [k1, k0],
    threshold: 1,
    rollbackFloor: 0,
    kernelSignature: "ignored",
  });
  assert.is(control.commandLine, "locked");
});

test("everything that trust can say is taken over, and the command line stays open where that is said", () => {
  const trust = "{ keys: [k0.pem, k1.pem], threshold: 2, rollback-floor: 7, kernel-signature: required }";
  const control = build(trust, "command-line: open\n");
  assert.equal(control.trust, { mode: "signed", keys: [k0, k1], threshold: 2, rollbackFloor: 7, kernelSignature: "required" });
  assert.is(control.commandLine, "open");
});

test("unsigned and absent trust leave the command line open", () => {
  assert.is(build("unsigned").commandLine, "open");
  assert.is(compileTexts({ system: withTrust("unsigned").replace(/trust.*\n/, "") }).control.commandLine, "open");
});

const certificate = { fingerprint: "ab".repeat(32), key: "AAAA" };
const slots = `system: acme
slots:
  a: { device: PARTLABEL=root-a, verity: PARTLABEL=tree-a, signature: PARTLABEL=sig-a }
  b: { device: PARTLABEL=root-b }
boot-record: { store: record, device: PARTLABEL=boot-record }
`;
const withSlots = (trust: string) =>
  compileTexts({ system: `${slots}trust: ${trust}\n`, keys, certificates: { "c.pem": certificate } });

test("one certificate is enough for a root hash, whatever the threshold of keys: that is said", () => {
  assert.equal(withSlots("{ keys: [k0.pem], certificates: [c.pem] }").warnings, []);
  const { control, warnings } = withSlots("{ keys: [k0.pem, k1.pem], threshold: 2, certificates: [c.pem] }");
  assert.equal(control.trust.mode === "signed" ? control.trust.certificates : null, [certificate]);
  assert.is(warnings.length, 1);
  assert.match(warnings[0] ?? "", /^system\.yaml:6:\d+: "threshold" is 2, and holds for seals alone/);
});

test("a floor that no slot with a tree of its own could reach is refused", () => {
  assert.throws(
    () => withSlots("{ certificates: [c.pem], rollback-floor: 1 }"),
    (error: unknown) =>
      error instanceof CompileError &&
      /^system\.yaml:3:\d+: slot a has a hash tree of its own, whose image has no rollback index/.test(error.lines[0] ?? ""),
  );
});

test("as many keys are trusted as an envelope holds signatures", () => {
  assert.is(MOST_KEYS, MOST_SIGNATURES);
});

const names = (count: number) => Object.keys(keys).slice(0, count).join(", ");

const faults: [string, string, RegExp[]][] = [
  ["another word", "signed", [/^system\.yaml:7:8: "trust" must be "unsigned", or a map with the keys .*, is "signed"/]],
  ["a list", "[k0.pem]", [/^system\.yaml:7:8: "trust" must be "unsigned", or a map/]],
  ["neither keys nor certificates", "{ threshold: 1 }", [/^system\.yaml:7:8: "trust" names neither keys nor certificates/]],
  ["an empty list", "{ keys: [] }", [/^system\.yaml:7:16: "keys" must name at least one key/]],
  ["one key that is no list", "{ keys: k0.pem }", [/^system\.yaml:7:16: "keys" must be a list/]],
  ["a key that is no text", "{ keys: [1] }", [/^system\.yaml:7:17: "keys" must be the name of a public key's PEM file, is 1/]],
  ["more than an envelope holds", `{ keys: [${names(17)}] }`, [/^system\.yaml:7:16: "keys" must name at most 16 keys/]],
  [
    "an unknown key",
    "{ keys: [k0.pem], treshold: 1 }",
    [
      /^system\.yaml:7:26: "treshold" is no key that is known here; known are: keys, certificates, threshold, rollback-floor, kernel-signature/,
    ],
  ],
  ["a file that is not there", "{ keys: [k0.pem, gone.pem] }", [/^system\.yaml:7:25: gone\.pem cannot be read/]],
  ["a key twice", "{ keys: [k0.pem, k0.pem] }", [/^system\.yaml:7:25: k0\.pem is the same key as k0\.pem/]],
  ["a key under two names", "{ keys: [k0.pem, twin.pem] }", [/^system\.yaml:7:25: twin\.pem is the same key as k0\.pem/]],
  [
    "a threshold of none",
    "{ keys: [k0.pem], threshold: 0 }",
    [/^system\.yaml:7:37: "threshold" must be a whole number from 1 to 16/],
  ],
  [
    "a threshold that nobody reaches",
    "{ keys: [k0.pem], threshold: 2 }",
    [/^system\.yaml:7:37: "threshold" is 2, more than the keys there are \(1\)/],
  ],
  [
    "a floor below zero",
    "{ keys: [k0.pem], rollback-floor: -1 }",
    [/^system\.yaml:7:42: "rollback-floor" must be a whole number/],
  ],
  [
    "another word for the kernel's signature",
    "{ keys: [k0.pem], kernel-signature: yes }",
    [/^system\.yaml:7:44: "kernel-signature" must be ignored or required/],
  ],
  [
    "several mistakes, each told",
    "{ keys: [gone.pem, k0.pem], threshold: 3 }",
    [/^system\.yaml:7:17: gone\.pem cannot be read/, /^system\.yaml:7:47: "threshold" is 3/],
  ],
];

for (const [name, trust, messages] of faults) {
  test(`refused: ${name}`, () => {
    let lines: string[] = [];
    try {
      build(trust);
    } catch (error) {
      if (!(error instanceof CompileError)) throw error;
      lines = error.lines;
    }
    assert.is(lines.length, messages.length, lines.join("\n"));
    for (const [index, message] of messages.entries()) assert.match(lines[index] ?? "", message);
  });
}

const privateBody = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
const files: [string, string, string | null, RegExp | null][] = [
  ["a public key", "a.pub.pem", publicKeyPem(publicKey(new Uint8Array(32).fill(5))), null],
  ["nothing there", "gone.pem", null, /gone\.pem cannot be read: no such file/],
  ["a private key", "p.pem", privateBody, /p\.pem is a private key; give its public half/],
  [
    "an RSA key",
    "r.pem",
    `-----BEGIN PUBLIC KEY-----\n${"MFww".repeat(8)}\n-----END PUBLIC KEY-----\n`,
    /r\.pem is no Ed25519 key/,
  ],
  ["two keys", "two.pem", publicKeyPem(publicKey(new Uint8Array(32).fill(5))).repeat(2), /two\.pem holds 2 keys/],
  ["a certificate", "c.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", /c\.pem is a CERTIFICATE/],
  ["something else", "x.pem", "hello\n", /x\.pem is no PEM file/],
];

test("keys are read beside system.yaml; what is wrong names their file", () => {
  const place = mkdtempSync(join(tmpdir(), "slipway-trust-"));
  try {
    const read = keysBeside(join(place, "system.yaml"));
    for (const [name, file, text, fault] of files) {
      if (text !== null) writeFileSync(join(place, file), text);
      const seen = read(file);
      if (fault === null) assert.equal(seen, { key: "05".repeat(32) }, name);
      else assert.match("fault" in seen ? seen.fault : "", fault, name);
      assert.equal(read(join(place, file)), seen, `${name}, by its absolute path`);
    }
  } finally {
    rmSync(place, { recursive: true });
  }
});

test.run();
