/** publish, served by Debian's nginx with and without TLS, checked and opened by a machine. */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { publicKey } from "../../boot/image/keys.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { publish } from "../../init/builder/channel/publish.ts";
import { readSigningKeys } from "../../init/builder/keys/signing-key.ts";
import { offeredRelease } from "../../init/channel/ask-channel.ts";
import { type Checked, checkChannel } from "../../init/commands/check.ts";
import type { OptionValues } from "../../init/commands/verb.ts";
import { openSource } from "../../init/converge/open-source.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import { SourceError } from "../../init/converge/source.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { PLAIN, type SourceOptions } from "../../init/network/options.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { type Nginx, type NginxOptions, startNginx } from "../../qemu/nginx.ts";
import { type SealedImage, sealedImage, type TestKey } from "../samples/sealed-image.ts";
import { failure, MACHINE_ID, sealedMachine, trusting } from "./channel-machine.ts";
import type { TestMachine } from "./commands-machine.ts";

const scratch = mkdtempSync(join(tmpdir(), "slipway-channel-"));
test.after(() => rmSync(scratch, { recursive: true, force: true }));
const root = join(scratch, "www");
const directory = join(root, "gateway/stable");
mkdirSync(join(root, "gateway"), { recursive: true });

const keyFile = join(scratch, "release.pem");
writeFileSync(keyFile, generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }));
const [signing] = await readSigningKeys([keyFile], { given: [], ask: async () => null });
if (signing === undefined) throw new Error("a key");
const key: TestKey = { key: publicKey(signing.key.raw), sign: async (message) => signing.sign(message) };

const images = new Map<string, SealedImage>();
for (const [index, version] of ["1.0", "2.0", "3.0"].entries()) {
  const image = await sealedImage(new Uint8Array(300 * BLOCK).fill(index + 1), [key], { version });
  images.set(version, image);
  writeFileSync(join(scratch, `${version}.img`), image.bytes);
}

function imageOf(version: string): SealedImage {
  const image = images.get(version);
  if (image === undefined) throw new Error(`an image ${version}`);
  return image;
}

const offer = (versions: string[], values: OptionValues = {}) => {
  const files = versions.map((version) => join(scratch, `${version}.img`));
  return publish(linuxKernel(), directory, files, { channel: "stable", key: [keyFile], ...values });
};

/** A machine that runs `version`; `files` are there for its options. */
const machineAt = (version: string, files: Record<string, string> = {}): TestMachine =>
  sealedMachine(imageOf(version), { control: trusting([key]), root: files });

const check = ({ kernel, places }: TestMachine, url: string, options: SourceOptions = PLAIN): Promise<Checked> =>
  checkChannel(kernel, places, { source: `${url}/gateway/stable`, channel: "stable", window: null, options });

async function withNginx(options: Partial<NginxOptions>, work: (nginx: Nginx) => Promise<void>): Promise<void> {
  const nginx = await startNginx({ root, ...options });
  try {
    await work(nginx);
  } finally {
    await nginx.stop();
  }
}

test("a product's life: published, rolled out, stepped through, withdrawn", async () => {
  await offer(["1.0"]);
  await withNginx({}, async (nginx) => {
    const machine = machineAt("1.0");
    assert.equal([(await check(machine, nginx.url)).offered], [null]);
    await offer(["2.0"], { rollout: ["2.0=0"] });
    assert.is((await check(machine, nginx.url)).passedOver[0]?.because.is, "rollout");
    await offer(["3.0"], { rollout: ["2.0=100"], "minimum-version": ["3.0=2.0"] });
    const found = await check(machine, nginx.url);
    assert.equal([found.offered?.version, found.serial, machine.record().channelSerials], ["2.0", 3, { stable: 3 }]);
    assert.is((await check(machineAt("2.0"), nginx.url)).offered?.version, "3.0");

    const { kernel, places } = machine;
    const question = { who: "a test", channel: "stable", retry: false, dryRun: false };
    const source = await openSource(`${nginx.url}/gateway/stable`, {
      kernel,
      network: PLAIN,
      choose: (name, file) => offeredRelease(kernel, places, name, file, question),
    });
    assert.is(source.name, `${nginx.url}/gateway/stable/acme-2.0.img`);
    assert.is((await readSourceSeal(source)).seal.manifest.rootHash, imageOf("2.0").manifest.rootHash);
    await source.close();

    const old = readFileSync(join(directory, "channel.json"));
    await offer([], { withdraw: ["2.0"] });
    assert.is((await check(machine, nginx.url)).offered, null);
    writeFileSync(join(directory, "channel.json"), old);
    assert.match((await failure(check(machine, nginx.url))).message, /channel stable has serial 3, and 4 was seen before/);
    assert.not.match(JSON.stringify(nginx.requests()), new RegExp(MACHINE_ID), "who asks is not told");
    rmSync(directory, { recursive: true });
  });
});

test("over TLS: own authority, pinned key, and neither", async () => {
  await offer(["2.0"]);
  const authority = await makeAuthority(scratch, "authority");
  const { certificate, key: privateKey, pin } = await makeCertificate(scratch, "server", authority, ["IP:127.0.0.1"]);
  await withNginx({ tls: { certificate, key: privateKey } }, async ({ url }) => {
    const machine = machineAt("1.0", { "etc/ca.pem": readFileSync(authority.certificate, "utf8") });
    const ca = { ...PLAIN, ca: "/etc/ca.pem" };
    assert.is((await check(machine, url, ca)).offered?.version, "2.0");
    assert.is((await check(machine, url, { ...ca, pins: [pin] })).offered?.version, "2.0");
    const other = { ...ca, pins: [`sha256//${btoa("x".repeat(32))}`] };
    assert.instance(await failure(check(machine, url, other)), SourceError);
    assert.instance(await failure(check(machine, url)), SourceError);
  });
  rmSync(directory, { recursive: true });
});

test("a server that denies its channel cannot hand out an image in its place", async () => {
  writeFileSync(join(root, "gateway", "old"), imageOf("1.0").bytes);
  await withNginx({}, async ({ url, requests }) => {
    const { kernel, places } = machineAt("2.0");
    const question = { who: "a test", channel: null, retry: false, dryRun: false };
    const choose = (name: string, file: Uint8Array) => offeredRelease(kernel, places, name, file, question);
    const said = await failure(openSource(`${url}/gateway/old`, { kernel, network: PLAIN, choose }));
    assert.match(said.message, /\/gateway\/old has no channel\.json; .*The URL of an image has a dot in its last part/);
    assert.equal(
      requests().map(({ path }) => path),
      ["/gateway/old/channel.json"],
    );
  });
});

test("what the server does not have", async () => {
  await withNginx({}, async ({ url, requests }) => {
    const machine = machineAt("1.0");
    assert.match((await failure(check(machine, url))).message, /\/gateway\/stable has no channel\.json/);
    assert.equal(
      requests().map(({ path, status }) => [path, status]),
      [["/gateway/stable/channel.json", 404]],
    );
    mkdirSync(directory);
    writeFileSync(join(directory, "channel.json"), new Uint8Array(300_000).fill(32));
    assert.match((await failure(check(machine, url))).message, /has more than 262144 bytes/);
    assert.is(machine.record().channelSerials, undefined);
  });
});

test.run();
