/** The network source against Debian's nginx: plain, TLS, pins, client certificates, without ranges, slow, few at a time. */
import { copyFileSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fetchSmall, NotThere } from "../../init/network/fetch-small.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN, type SourceOptions } from "../../init/network/options.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { type NginxOptions, startNginx } from "../../qemu/nginx.ts";
import { blocks, fetchChecked, quickLimits, sampleBytes } from "../samples/fetched.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-nginx-test-"));
const { image, index } = sampleBytes(2000);
writeFileSync(join(directory, "x.img"), image);
writeFileSync(join(directory, "x.img.idx"), index);
writeFileSync(join(directory, "alone.img"), image);
const ranges = blocks([0, 1], [3, 20], [21, 22], [30, 1960], [1970, 1972], [2000, 2004]);
const wanted = ranges.reduce((sum, { length }) => sum + length, 0);

const authority = await makeAuthority(directory, "authority");
const stranger = await makeAuthority(directory, "stranger");
const server = await makeCertificate(directory, "server", authority, ["DNS:localhost", "IP:127.0.0.1"]);
const misnamed = await makeCertificate(directory, "misnamed", authority, ["DNS:updates.example"]);
const client = await makeCertificate(directory, "client", authority, []);
const strange = await makeCertificate(directory, "strange", stranger, []);
const believed: SourceOptions = { ...PLAIN, ca: authority.certificate };
const tls = { certificate: server.certificate, key: server.key };

async function withNginx(
  options: Omit<NginxOptions, "root">,
  use: (nginx: Awaited<ReturnType<typeof startNginx>>) => Promise<void>,
) {
  const nginx = await startNginx({ root: directory, ...options });
  try {
    await use(nginx);
  } finally {
    await nginx.stop();
  }
}

/** Fetches all ranges of x.img; returns pauses and what was told. */
async function fetchAll(url: string, options = PLAIN) {
  const [pauses, told]: [number[], string[]] = [[], []];
  const context = { limits: { ...quickLimits(pauses), stallMs: 5000, headMs: 5000 }, told: (line: string) => told.push(line) };
  const source = openHttpSource(url, options, context);
  try {
    await fetchChecked(source, image, ranges);
    return { pauses, told, transferred: source.transferred, size: await source.size() };
  } finally {
    await source.close();
  }
}

const errorOf = (work: Promise<unknown>): Promise<string> => work.then(() => "none", String);

test("plain: ranges only, each byte once, four connections", () =>
  withNginx({}, async ({ url, requests }) => {
    const { told, transferred, size } = await fetchAll(`${url}/x.img`);
    assert.equal([told, transferred, size], [[], wanted + 1, image.length]);
    const seen = requests();
    assert.ok(seen.every(({ status }) => status === 206));
    assert.is(new Set(seen.map(({ connection }) => connection)).size, 4);
    assert.is(
      seen.reduce((sum, { bytes }) => sum + bytes, 0),
      wanted + 1,
    );
  }));

test("TLS: an authority of one's own; the system's and a stranger's do not vouch for it", () =>
  withNginx({ tls }, async ({ url, port }) => {
    assert.equal((await fetchAll(`${url}/x.img`, believed)).told, []);
    await fetchAll(`https://localhost:${port}/x.img`, believed);
    for (const options of [PLAIN, { ...PLAIN, ca: stranger.certificate }]) {
      assert.match(await errorOf(fetchAll(`${url}/x.img`, options)), /not proven to be that server: no authority .* --ca/);
    }
  }));

test("TLS: variables of the environment change nothing", () =>
  withNginx({ tls }, async ({ url }) => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    process.env.https_proxy = "http://127.0.0.1:1";
    try {
      assert.match(await errorOf(fetchAll(`${url}/x.img`)), /not proven/);
      await fetchAll(`${url}/x.img`, believed);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      delete process.env.https_proxy;
    }
  }));

test("TLS: a certificate for another name is refused, whatever is pinned", () =>
  withNginx({ tls: { certificate: misnamed.certificate, key: misnamed.key } }, async ({ url, port }) => {
    for (const at of [url, `https://localhost:${port}`]) {
      const error = await errorOf(fetchAll(`${at}/x.img`, { ...believed, pins: [misnamed.pin] }));
      assert.match(error, /not proven to be that server: its certificate is for another name/);
    }
  }));

test("TLS: a pin is asked for on top of the certificate, one of several is enough", () =>
  withNginx({ tls }, async ({ url }) => {
    await fetchAll(`${url}/x.img`, { ...believed, pins: [server.pin] });
    await fetchAll(`${url}/x.img`, { ...believed, pins: [client.pin, server.pin] });
    assert.match(
      await errorOf(fetchAll(`${url}/x.img`, { ...believed, pins: [client.pin] })),
      `its key is ${server.pin}, none of`,
    );
    assert.match(await errorOf(fetchAll(`${url}/x.img`, { ...PLAIN, pins: [server.pin] })), /no authority/);
  }));

test("TLS: a self-signed certificate is believed where it is named as the authority, and pinned too", async () => {
  const own = await makeAuthority(directory, "own", ["IP:127.0.0.1"]);
  await withNginx({ tls: own }, async ({ url }) => {
    assert.match(await errorOf(fetchAll(`${url}/x.img`)), /not proven/);
    await fetchAll(`${url}/x.img`, { ...PLAIN, ca: own.certificate });
    await fetchAll(`${url}/x.img`, { ...PLAIN, ca: own.certificate, pins: [own.pin] });
    assert.match(await errorOf(fetchAll(`${url}/x.img`, { ...PLAIN, ca: own.certificate, pins: [client.pin] })), /its key is/);
  });
});

test("TLS: a client certificate, where the server asks for one", () =>
  withNginx({ tls: { ...tls, clientAuthority: authority.certificate } }, async ({ url }) => {
    const show = ({ certificate, key }: { certificate: string; key: string }) => ({ ...believed, certificate, privateKey: key });
    await fetchAll(`${url}/x.img`, show(client));
    assert.match(await errorOf(fetchAll(`${url}/x.img`, believed)), /answers 400: .* give --certificate and --private-key/);
    assert.match(await errorOf(fetchAll(`${url}/x.img`, show(strange))), /answers 400/);
    const mixed = { ...show(client), privateKey: server.key };
    assert.match(await errorOf(fetchAll(`${url}/x.img`, mixed)), /--private-key is not the key of --certificate/);
  }));

test("a token goes to its own server, never along with a redirect, and is in no message", async () => {
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "hunter2\n", { mode: 0o600 });
  const guarded = `if ($http_authorization != "Bearer hunter2") { return 401; }`;
  await withNginx({ tls, lines: [`if ($http_authorization != "") { return 418; }`] }, async ({ url: other }) => {
    const lines = [`location = /away { ${guarded} return 302 ${other}/x.img; }`, `location / { ${guarded} }`];
    await withNginx({ tls, lines }, async ({ url, port }) => {
      await fetchAll(`${url}/x.img`, { ...believed, tokenFile });
      await fetchAll(`${url}/away`, { ...believed, tokenFile });
      const error = await errorOf(fetchAll(`${url}/x.img`, believed));
      assert.match(error, /answers 401: .* --token-file/);
      assert.not.match(error, /hunter2/);
      assert.match(await errorOf(fetchAll(`http://127.0.0.1:${port}/x.img`, { ...PLAIN, tokenFile })), /over https: only/);
    });
  });
});

test("a redirect from https: to http: is refused, the other way is followed", () =>
  withNginx({}, async ({ url: plain }) => {
    await withNginx({ tls, lines: [`location = /away { return 301 ${plain}/x.img; }`] }, async ({ url }) => {
      assert.match(await errorOf(fetchAll(`${url}/away`, believed)), /redirects from https: to http:.*, which is refused/);
      await withNginx({ lines: [`location = /away { return 301 ${url}/x.img; }`] }, async ({ url: first }) => {
        assert.match(await errorOf(fetchAll(`${first}/away`)), /is redirected to https:.*, which is not proven/);
      });
    });
  }));

test("https: where there is only http:, and the other way round", async () => {
  await withNginx({}, async ({ port }) => {
    assert.match(
      await errorOf(fetchAll(`https://127.0.0.1:${port}/x.img`, believed)),
      /is it an https: server\?; gave up after 4/,
    );
  });
  await withNginx({ tls }, async ({ port }) => {
    assert.match(await errorOf(fetchAll(`http://127.0.0.1:${port}/x.img`)), /answers 400: is it an http: server\?/);
  });
});

test("without ranges: the index, and one pass; without index: what to do", () =>
  withNginx({ noRanges: true }, async ({ url, requests }) => {
    const { told, size } = await fetchAll(`${url}/x.img`);
    assert.equal([told, size], [[], image.length]);
    assert.equal(
      requests().map(({ path }) => path),
      ["/x.img", "/x.img.idx", "/x.img"],
    );
    assert.match(
      await errorOf(fetchAll(`${url}/alone.img`)),
      /without range requests, and .*alone\.img\.idx answers 404.*slipway publish/,
    );
  }));

test("compressed on the fly: never, since nobody asks for it", () =>
  withNginx({ lines: ["gzip on; gzip_types *; gzip_min_length 1;"] }, async ({ url }) => {
    assert.equal((await fetchAll(`${url}/x.img`)).told, []);
  }));

test("few requests at a time: fetches on, after what nginx says with 503", () =>
  withNginx({ mostAtATime: 1, rate: "700k" }, async ({ url, requests }) => {
    const told: string[] = [];
    const limits = { ...quickLimits(), headMs: 5000, stallMs: 5000, sleep: (ms: number) => Bun.sleep(ms / 5) };
    const source = openHttpSource(`${url}/x.img`, PLAIN, { limits, told: (line) => told.push(line) });
    await fetchChecked(source, image, blocks([30, 400]));
    await source.close();
    assert.match(told.join("\n"), /answers 503; trying again/);
    assert.ok(requests().some(({ status }) => status === 503));
  }));

test("a file that is replaced between two fetches stops", () =>
  withNginx({}, async ({ url }) => {
    const path = join(directory, "replaced.img");
    copyFileSync(join(directory, "x.img"), path);
    const source = openHttpSource(`${url}/replaced.img`, PLAIN, { limits: quickLimits() });
    await fetchChecked(source, image, blocks([0, 10]));
    utimesSync(path, 1, 1);
    assert.match(
      await errorOf(fetchChecked(source, image, blocks([20, 30]))),
      /changed while it was read: it had ETag .* run it again/,
    );
    await source.close();
  }));

test("nginx stops on the way: given up after all attempts", async () => {
  const nginx = await startNginx({ root: directory, rate: "100k" });
  const fetching = fetchAll(`${nginx.url}/x.img`).catch((error: unknown) => error);
  await Bun.sleep(200);
  await nginx.stop();
  assert.match(String(await fetching), /SourceError: .*x\.img refuses connections; gave up after 9 attempts/);
});

test("fetchSmall: a file, one that is not there, one that is too long", () =>
  withNginx({ tls }, async ({ url }) => {
    const small = (path: string, limit: number) => fetchSmall(url + path, believed, limit, { limits: quickLimits() });
    assert.is(Buffer.compare(await small("/x.img.idx", index.length), index), 0);
    assert.match(await errorOf(small("/x.img.idx", index.length - 1)), /has more than/);
    assert.instance(await small("/none", 10).catch((error: unknown) => error), NotThere);
  }));

test.after(() => rmSync(directory, { recursive: true }));
test.run();
