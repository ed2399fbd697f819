/** Certificates whose dates are wrong, or seem so: refused in the running system, believed in recovery, and nothing else is. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { certificateLimits } from "../../boot/network/certificate.ts";
import type { InRecovery } from "../../init/network/context.ts";
import { fetchSmall } from "../../init/network/fetch-small.ts";
import { PLAIN, type SourceOptions } from "../../init/network/options.ts";
import { judgeUndated } from "../../init/network/undated-chain.ts";
import { AUTHORITY, type Certificate, makeDatedCertificate, VALIDITY } from "../../qemu/certificates.ts";
import { startNginx } from "../../qemu/nginx.ts";
import { runProgram } from "../../qemu/program.ts";
import { quickLimits } from "../samples/fetched.ts";
import { randomNumbers } from "../samples/random.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-dates-"));
writeFileSync(join(directory, "x"), "what was asked for");
const NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost";
const { past, now, future } = VALIDITY;
const make = (
  name: string,
  ...rest: Parameters<typeof makeDatedCertificate> extends [string, string, ...infer Rest] ? Rest : never
) => makeDatedCertificate(directory, name, ...rest);

const root = await make("root", null, now, AUTHORITY);
const oldRoot = await make("old-root", null, past, AUTHORITY);
const stranger = await make("stranger", null, now, AUTHORITY);
mkdirSync(join(directory, "forged"));
/** Calls itself as the root does. */
const forger = await makeDatedCertificate(join(directory, "forged"), "root", null, now, AUTHORITY);
const between = await make("between", root, now, AUTHORITY);
const oldBetween = await make("old-between", root, past, AUTHORITY);
const noAuthority = await make("no-authority", root, now, [NAMES]);
const noSigner = await make("no-signer", root, now, ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,cRLSign"]);
const lastOne = await make("last-one", root, now, [
  "basicConstraints=critical,CA:TRUE,pathlen:0",
  "keyUsage=critical,keyCertSign",
]);
const behindLast = await make("behind-last", lastOne, now, AUTHORITY);
const narrow = await make("narrow", root, now, [...AUTHORITY, "nameConstraints=permitted;DNS:localhost,permitted;email:example"]);
const narrower = await make("narrower", root, now, [...AUTHORITY, "nameConstraints=critical,excluded;DNS:localhost"]);
const titled = await make("titled", root, now, [
  ...AUTHORITY,
  "nameConstraints=permitted;dirName:title\n[title]\nCN=titled-leaf",
]);
const forClients = await make("for-clients", root, now, [...AUTHORITY, "extendedKeyUsage=clientAuth"]);
const selfSigned = await make("self-signed", null, past, [NAMES]);
const strangeBetween = await make("strange-between", stranger, past, AUTHORITY);

/** The first certificate of a PEM file. */
function derOf(path: string): Uint8Array<ArrayBuffer> {
  const [block = ""] = /-----BEGIN CERTIFICATE-----[^-]+/.exec(readFileSync(path, "utf8")) ?? [];
  return Uint8Array.fromBase64(block.replace(/-----.*-----/, "").replace(/\s/g, ""));
}

const UNKNOWN = /no authority that is believed vouches/;
const OTHER_NAME = /certificate is for another name/;

/** What a server shows, whom the client believes, and why it is refused in recovery; null where it is believed. */
const cases: [string, Certificate, Certificate, RegExp | null][] = [
  ["right", await make("right", root, now, [NAMES]), root, null],
  ["expired", await make("expired", root, past, [NAMES]), root, null],
  ["not valid yet", await make("future", root, future, [NAMES]), root, null],
  [
    "expired, for servers",
    await make("usage", root, past, [NAMES, "extendedKeyUsage=serverAuth", "keyUsage=critical,digitalSignature"]),
    root,
    null,
  ],
  ["of an expired authority", await make("of-old", oldRoot, now, [NAMES]), oldRoot, null],
  ["behind one that is right, expired", await make("behind", between, past, [NAMES], [between]), root, null],
  ["behind an expired one", await make("behind-old", oldBetween, now, [NAMES], [oldBetween]), root, null],
  ["behind an expired one, expired", await make("behind-old-too", oldBetween, past, [NAMES], [oldBetween]), root, null],
  ["with more than its chain", await make("more", between, past, [NAMES], [stranger, oldBetween, between, root]), root, null],
  ["self-signed, expired, and named as authority", selfSigned, selfSigned, null],
  ["self-signed, expired", selfSigned, root, UNKNOWN],
  ["of a stranger, expired", await make("strange", stranger, past, [NAMES]), root, UNKNOWN],
  ["of a stranger, expired, with his own", await make("strange-root", stranger, past, [NAMES], [stranger]), root, UNKNOWN],
  ["of a stranger, not valid yet", await make("strange-future", stranger, future, [NAMES]), root, UNKNOWN],
  ["behind a stranger's, expired", await make("strange-behind", strangeBetween, past, [NAMES], [strangeBetween]), root, UNKNOWN],
  ["of one that calls itself as the authority, expired", await make("forged-leaf", forger, past, [NAMES]), root, UNKNOWN],
  ["the same, with that one shown", await make("forged-shown", forger, past, [NAMES], [forger]), root, UNKNOWN],
  ["without what is between, expired", await make("gap", between, past, [NAMES]), root, UNKNOWN],
  ["for another name, expired", await make("misnamed", root, past, ["subjectAltName=DNS:updates.example"]), root, OTHER_NAME],
  [
    "for another address, not valid yet",
    await make("misplaced", root, future, ["subjectAltName=IP:127.0.0.2"]),
    root,
    OTHER_NAME,
  ],
  ["for another name, right", await make("misnamed-now", root, now, ["subjectAltName=DNS:updates.example"]), root, OTHER_NAME],
  ["for no name, expired", await make("localhost", root, past, []), root, OTHER_NAME],
  [
    "behind what is no authority, expired",
    await make("behind-none", noAuthority, past, [NAMES], [noAuthority]),
    root,
    /no authority's/,
  ],
  ["behind what signs nothing, expired", await make("behind-mute", noSigner, past, [NAMES], [noSigner]), root, /no authorit/],
  [
    "behind one too many, expired",
    await make("too-far", behindLast, past, [NAMES], [behindLast, lastOne]),
    root,
    /through more others/,
  ],
  ["behind constrained names, expired", await make("narrow-leaf", narrow, past, [NAMES], [narrow]), root, null],
  [
    "behind names that are excluded, expired",
    await make("narrower-leaf", narrower, past, [NAMES], [narrower]),
    root,
    /not proven/,
  ],
  [
    "behind constraints of titles, expired",
    await make("titled-leaf", titled, past, [NAMES], [titled]),
    root,
    /limits its use by 2\.5\.29\.30/,
  ],
  [
    "for clients, expired",
    await make("client", root, past, [NAMES, "extendedKeyUsage=clientAuth"]),
    root,
    /not meant for servers/,
  ],
  [
    "behind one for clients, expired",
    await make("c-leaf", forClients, past, [NAMES], [forClients]),
    root,
    /not meant for servers/,
  ],
  [
    "with an unknown critical extension, expired",
    await make("odd", root, past, [NAMES, "1.2.3.4=critical,DER:0500"]),
    root,
    /limits its use by 1\.2\.3\.4/,
  ],
  ["of a stranger, right", await make("strange-now", stranger, now, [NAMES]), root, UNKNOWN],
];

/** "none", or the error; and what was told. */
async function ask(url: string, options: SourceOptions, recovery?: InRecovery): Promise<{ error: string; told: string[] }> {
  const told: string[] = [];
  const context = { limits: quickLimits(), told: (line: string) => told.push(line), ...(recovery ? { recovery } : {}) };
  const error = await fetchSmall(url, options, 100, context).then((bytes) => {
    assert.is(new TextDecoder().decode(bytes), "what was asked for");
    return "none";
  }, String);
  return { error, told };
}

for (const [name, shown, believed, refusal] of cases) {
  test(`a server's certificate ${name}: ${refusal === null ? "believed" : "refused"} in recovery`, async () => {
    const nginx = await startNginx({ root: directory, tls: shown });
    try {
      const recovery = { proxy: null, authorities: readFileSync(believed.certificate, "utf8") };
      for (const host of ["127.0.0.1", ...(name.startsWith("for no name") ? ["localhost"] : [])]) {
        const url = `https://${host}:${nginx.port}/x`;
        const { error, told } = await ask(url, PLAIN, recovery);
        if (refusal === null) assert.is(error, "none");
        else assert.match(error, refusal, error);
        const dated = refusal === null && name !== "right";
        assert.is(told.length, dated ? 1 : 0, told.join());
        if (dated) assert.match(told.join(), /has expired|not valid yet/);
        const ordinary = await ask(url, { ...PLAIN, ca: believed.certificate });
        if (name === "right") assert.is(ordinary.error, "none");
        else assert.match(ordinary.error, /is not proven to be that server: /);
        assert.equal(ordinary.told, []);
      }
      if (refusal === null)
        assert.match((await ask(`${nginx.url}/x`, PLAIN, { proxy: null })).error, /not proven/, "built-in authorities");
    } finally {
      await nginx.stop();
    }
  });
}

test("a pin holds in recovery too, whatever the dates say", async () => {
  const expired = await make("pinned", root, past, [NAMES]);
  const nginx = await startNginx({ root: directory, tls: expired });
  const recovery = { proxy: null, authorities: readFileSync(root.certificate, "utf8") };
  assert.is((await ask(`${nginx.url}/x`, { ...PLAIN, pins: [expired.pin] }, recovery)).error, "none");
  assert.match((await ask(`${nginx.url}/x`, { ...PLAIN, pins: [root.pin] }, recovery)).error, /none of those that are pinned/);
  await nginx.stop();
});

test("no credential is sent in recovery, and no file of one is read", async () => {
  const server = await make("asks", root, now, [NAMES]);
  const client = await make("client-own", root, now, []);
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "hunter2\n", { mode: 0o600 });
  const lines = [
    "ssl_verify_client optional;",
    `ssl_client_certificate ${root.certificate};`,
    `if ($http_authorization != "") { return 418; }`,
    `if ($ssl_client_verify != "NONE") { return 418; }`,
  ];
  const nginx = await startNginx({ root: directory, tls: server, lines });
  const recovery = { proxy: null, authorities: readFileSync(root.certificate, "utf8") };
  const own = { certificate: client.certificate, privateKey: client.key };
  for (const options of [
    { ...PLAIN, tokenFile },
    { ...PLAIN, ...own },
  ]) {
    assert.match((await ask(`${nginx.url}/x`, { ...options, ca: root.certificate })).error, /answers 418/);
    assert.is((await ask(`${nginx.url}/x`, options, recovery)).error, "none");
  }
  const none = { ...PLAIN, tokenFile: "/none", certificate: "/none", privateKey: "/none", ca: "/none" };
  assert.is((await ask(`${nginx.url}/x`, none, recovery)).error, "none");
  await nginx.stop();
});

test("constraints of names are judged by us too: a runtime that took another way would not have", async () => {
  const pem = readFileSync(root.certificate, "utf8");
  const leafOf = (name: string, authority: Certificate, names: string) =>
    make(name, authority, past, [`subjectAltName=${names}`]);
  const judge = async (name: string, authority: Certificate, names: string, host: string) =>
    judgeUndated(
      [await leafOf(name, authority, names), authority].map(({ certificate }) => derOf(certificate)),
      pem,
      host,
    );
  assert.is(await judge("n1", narrow, "DNS:localhost", "localhost"), null);
  assert.is(await judge("n2", narrow, "DNS:a.localhost,IP:127.0.0.1", "a.localhost"), null);
  assert.is(await judge("n3", narrow, "DNS:*.a.localhost", "b.a.localhost"), null);
  const refused = /may not do so for its names/;
  assert.match((await judge("n4", narrow, "DNS:updates.example", "updates.example")) ?? "", refused);
  assert.match((await judge("n5", narrow, "DNS:localhost,DNS:updates.example", "localhost")) ?? "", refused);
  assert.match((await judge("n6", narrow, "DNS:notlocalhost", "notlocalhost")) ?? "", refused);
  assert.match((await judge("n7", narrow, "DNS:localhost,email:me@example", "localhost")) ?? "", refused);
  assert.match((await judge("n8", narrower, "DNS:LOCALHOST", "localhost")) ?? "", refused);
  assert.is(await judge("n9", narrower, "DNS:updates.example", "updates.example"), null);
});

test("what certificates limit: bytes of any kind are read, or not, and nothing is thrown", () => {
  const sound = derOf(narrow.certificate);
  assert.equal(certificateLimits(sound)?.vouchesFor, { permitted: ["localhost"], excluded: [], others: true });
  assert.equal(certificateLimits(sound)?.authority, { pathLength: null });
  const random = randomNumbers(9);
  let unsound = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = sound.slice(0, random() < 0.2 ? Math.floor(random() * sound.length) : sound.length);
    for (let flips = Math.floor(random() * 4); flips >= 0 && bytes.length > 0; flips--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    if (certificateLimits(bytes) === null) unsound++;
  }
  assert.ok(unsound > 500 && unsound < 3000, `${unsound} of 3000 are none`);
});

test("what is no certificate leads nowhere", () => {
  assert.type(judgeUndated([], null, "localhost"), "string");
  assert.type(judgeUndated([new Uint8Array(100).fill(0x30)], null, "localhost"), "string");
});

test("many that all vouch for each other are not gone through in every order, which would never end", async () => {
  const leaf = await make("in-circle", stranger, past, [NAMES]);
  const circle = await Promise.all(
    Array.from({ length: 9 }, async (_, at) => {
      const twin = join(directory, `twin-${at}.pem`);
      const extensions = AUTHORITY.flatMap((line) => ["-addext", line]);
      const words = ["-key", stranger.key, "-subj", "/CN=stranger", "-days", "2", ...extensions, "-out", twin];
      await runProgram("openssl", ["req", "-x509", "-config", "/dev/null", ...words]);
      return twin;
    }),
  );
  const shown = [leaf.certificate, ...circle].map(derOf);
  assert.match(judgeUndated(shown, readFileSync(root.certificate, "utf8"), "localhost") ?? "", UNKNOWN);
});

test.after(() => rmSync(directory, { recursive: true }));
test.run();
