/** `slipway install` from servers as they are: nginx with and without ranges, TLS with all its options, slipway serve. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { writeIndex } from "../../init/builder/image/index-file.ts";
import { serveDirectory } from "../../init/builder/serve.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { type Nginx, type NginxOptions, startNginx } from "../../qemu/nginx.ts";
import { imageOf, keyPair, sampleFilesystem } from "../samples/image-parts.ts";
import { smallMachine } from "./install-machine.ts";

const MiB = 1024 * 1024;
const keys = [keyPair("release")];
const image = imageOf(sampleFilesystem(16_384, "new"), keys, { version: "2", rollbackIndex: 2 });
const running = imageOf(sampleFilesystem(300, "running"), keys);
const machine = smallMachine(keys, running, image);
const root = mkdtempSync(join(tmpdir(), "slipway-servers-"));
writeFileSync(join(root, "new.img"), image.bytes);
writeFileSync(join(root, "alone.img"), image.bytes);
await writeIndex(join(root, "new.img"), join(root, "new.img.idx"));

/** Runs `slipway install WORDS…` into slot b of the machine as it was in the beginning. */
async function install(...words: string[]) {
  machine.reset();
  const child = Bun.spawn(machine.command("install", "--slot", "b", ...words), { stdout: "pipe", stderr: "pipe" });
  // its resource usage would count what this process had when it forked
  let residentBytes = 0;
  const watch = setInterval(() => {
    residentBytes = mostResident(child.pid) ?? residentBytes;
  }, 10);
  const said = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  clearInterval(watch);
  return { code, output: said.join(""), residentBytes };
}

/** Bytes that a process had resident at most up to now; null when it has ended. */
function mostResident(pid: number): number | null {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    return null;
  }
}

async function withNginx(options: Omit<NginxOptions, "root">, use: (nginx: Nginx) => Promise<void>): Promise<void> {
  const nginx = await startNginx({ root, ...options });
  try {
    await use(nginx);
  } finally {
    await nginx.stop();
  }
}

test("with ranges: installed, in less than 128 MiB of memory", () =>
  withNginx({}, async ({ url }) => {
    const { code, output, residentBytes } = await install(`${url}/new.img`);
    assert.is(code, 0, output);
    assert.ok(machine.holds("b", image.bytes));
    console.log(`with ranges: ${(residentBytes / MiB).toFixed(0)} MiB resident at most`);
    assert.ok(residentBytes > 32 * MiB && residentBytes < 128 * MiB, `${residentBytes} bytes`);
  }));

test("without ranges: seal and tree from the index, one pass over the image, in less than 128 MiB", () =>
  withNginx({ noRanges: true }, async ({ url, requests }) => {
    const { code, output, residentBytes } = await install(`${url}/new.img`);
    assert.is(code, 0, output);
    assert.ok(machine.holds("b", image.bytes));
    // nginx writes the last line when it sees that nobody reads on
    for (let waits = 0; waits < 100 && requests().length < 3; waits++) await Bun.sleep(20);
    const asked = requests().map(({ path }) => path);
    assert.equal(asked, ["/new.img", "/new.img.idx", "/new.img"]);
    console.log(`without ranges: ${(residentBytes / MiB).toFixed(0)} MiB resident at most`);
    assert.ok(residentBytes > 32 * MiB && residentBytes < 128 * MiB, `${residentBytes} bytes`);
  }));

test("without ranges and index: refused, and nothing is written", () =>
  withNginx({ noRanges: true }, async ({ url }) => {
    const { code, output } = await install(`${url}/alone.img`);
    assert.is(code, 1, output);
    assert.match(output, /alone\.img is on a server without range requests, and .*answers 404.*slipway publish/);
    assert.ok(machine.bytes("b").every((byte) => byte === 0));
    assert.is(machine.record().slots.b?.state, "empty");
  }));

test("TLS: with authority, pin, client certificate and token; without one of them nothing is written", async () => {
  const authority = await makeAuthority(root, "authority");
  const server = await makeCertificate(root, "server", authority, ["IP:127.0.0.1"]);
  const client = await makeCertificate(root, "client", authority, []);
  const tokenFile = join(root, "token");
  writeFileSync(tokenFile, "hunter2\n", { mode: 0o600 });
  const tls = { certificate: server.certificate, key: server.key, clientAuthority: authority.certificate };
  const lines = [`if ($http_authorization != "Bearer hunter2") { return 401; }`];
  await withNginx({ tls, lines }, async ({ url }) => {
    const options: Record<string, string> = {
      "--ca": authority.certificate,
      "--pin": server.pin,
      "--certificate": client.certificate,
      "--private-key": client.key,
      "--token-file": tokenFile,
    };
    const words = (change: Record<string, string | null> = {}): string[] =>
      Object.entries({ ...options, ...change }).flatMap(([name, value]) => (value === null ? [] : [name, value]));
    const whole = await install(`${url}/new.img`, ...words());
    assert.is(whole.code, 0, whole.output);
    assert.ok(machine.holds("b", image.bytes));
    for (const [change, code, message] of [
      [{ "--ca": null }, 1, /not proven to be that server: no authority/],
      [{ "--pin": client.pin }, 1, /not proven to be that server: its key is/],
      [{ "--pin": "sha256//none" }, 2, /the pin "sha256\/\/none" must be/],
      [{ "--certificate": null, "--private-key": null }, 1, /answers 400: .*--certificate/],
      [{ "--private-key": null }, 2, /needs its private key/],
      [{ "--token-file": null }, 1, /answers 401: .*--token-file/],
    ] as const) {
      const end = await install(`${url}/new.img`, ...words(change));
      assert.is(end.code, code, end.output);
      assert.match(end.output, message);
      assert.not.match(end.output, /hunter2/);
      assert.is(machine.record().slots.b?.state, "empty");
    }
  });
});

test("slipway serve is a server as good as any", async () => {
  const server = serveDirectory(root, "127.0.0.1", 0, () => {});
  const { code, output } = await install(`${server.url}/new.img`);
  assert.is(code, 0, output);
  assert.ok(machine.holds("b", image.bytes));
  await server.stop();
});

test.after(() => {
  machine.close();
  rmSync(root, { recursive: true });
});
test.run();
