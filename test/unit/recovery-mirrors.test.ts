/** A recovery's mirrors: real servers on loopback, as good and as bad as servers are. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Release } from "../../boot/channel/channel.ts";
import type { Manifest } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { pauseBeforeRetry } from "../../boot/network/retry.ts";
import { LIMITS } from "../../init/network/limits.ts";
import type { DeskNetwork } from "../../init/recovery/desk.ts";
import { findImages } from "../../init/recovery/find-images.ts";
import type { WantedImages } from "../../init/recovery/image-search.ts";
import { makeSlotHold } from "../../init/recovery/make-slot-hold.ts";
import { mirrorLimits } from "../../init/recovery/mirror-limits.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { type Nginx, type NginxOptions, startNginx } from "../../qemu/nginx.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { channel, signedChannel } from "../samples/channel.ts";
import { serveRightly, startRawServer } from "../samples/raw-server.ts";
import { type SealedImage, sealedImage, type TestKey } from "../samples/sealed-image.ts";
import { filesystemOf } from "./converge-world.ts";
import { World } from "./golden-world.ts";
import { firstRecord, recoveryDesk, type TestDesk } from "./recovery-desk.ts";
import { release as releaseKey, signedControl, stranger } from "./sealed-world.ts";

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

async function image(version: number, keys: TestKey[] = [releaseKey], change: Partial<Manifest> = {}): Promise<SealedImage> {
  const rollbackIndex = version;
  return sealedImage(filesystemOf(version, range(version * 50, version * 50 + 400)), keys, {
    system: "acme-gateway",
    version: `${version}.0`,
    rollbackIndex,
    ...change,
  });
}

const [v4, v5, v6, v7] = [await image(4), await image(5), await image(6), await image(7)];
const scratch = mkdtempSync(join(tmpdir(), "slipway-mirrors-"));
test.after(() => rmSync(scratch, { recursive: true, force: true }));

function releaseOf({ bytes, manifest }: SealedImage, change: Partial<Release> = {}): Release {
  const { version, rootHash, rollbackIndex } = manifest;
  return {
    version,
    image: `acme-${version}.img`,
    imageSize: bytes.length,
    rootHash,
    rollbackIndex,
    minimumVersion: null,
    rollout: 100,
    ...change,
  };
}

/** A channel's directory with these images, the newest first; `files` lie there instead of what is named. */
async function publish(
  name: string,
  images: SealedImage[],
  { keys = [releaseKey], system = "acme-gateway", serial = 5, rollout = 100 } = {},
) {
  const directory = join(scratch, name);
  mkdirSync(directory, { recursive: true });
  const releases = images.map((one) => releaseOf(one, { rollout }));
  writeFileSync(join(directory, "channel.json"), await signedChannel(channel({ system, serial, releases }), keys));
  for (const one of images) writeFileSync(join(directory, `acme-${one.manifest.version}.img`), one.bytes);
}

await publish("stable", [v7, v6, v5], { rollout: 0 });
await publish("second", [v7, v6]);
await publish("lamp", [v7], { system: "lamp" });
await publish("nobody", [v7], { keys: [] });
await publish("stranger", [v7], { keys: [stranger] });
await publish("back", [v7], { serial: 2 });
writeFileSync(join(scratch, "good.img"), v6.bytes);
writeFileSync(join(scratch, "old.img"), v4.bytes);
writeFileSync(join(scratch, "unsigned.img"), (await image(8, [])).bytes);
writeFileSync(join(scratch, "stranger.img"), (await image(8, [stranger])).bytes);
writeFileSync(join(scratch, "lamp.img"), (await image(8, [releaseKey], { system: "lamp" })).bytes);
writeFileSync(join(scratch, "text.img"), "hello ".repeat(4096));

/** One way that is there already. */
const loopback: DeskNetwork = {
  ways: async function* () {
    yield { link: "lo", by: "ip=", addresses: ["127.0.0.1/8"], nameservers: [], proxy: null };
  },
  addresses: () => ["127.0.0.1"],
};

const any: WantedImages = { imageIds: null, except: [] };

/** A machine without anything in its slots that had {@link v5} committed, and knows of a serial of the channel. */
async function deskFor(sources: string[], change: Partial<typeof DEFAULT_RECOVERY> = {}, network: DeskNetwork | null = loopback) {
  const recovery = { ...DEFAULT_RECOVERY, sources, network: { mode: "dhcp" as const }, ...change };
  const world = new World({ control: { ...signedControl(), recovery } });
  firstRecord(world, (record) => ({
    ...record,
    floors: { install: 5, boot: 0 },
    channelSerials: { stable: 4 },
    lastCommitted: { slot: "a", imageId: v5.manifest.rootHash },
  }));
  return { world, desk: await recoveryDesk(world, { network }) };
}

async function all(desk: TestDesk, wanted = any): Promise<{ names: string[]; refused: string }> {
  const refused: string[] = [];
  const names: string[] = [];
  for await (const found of findImages(desk, wanted, (reason) => refused.push(reason))) {
    assert.is(found.place, "mirror");
    names.push(`${found.name.replace(/^https?:\/\/[^/]*/, "")} ${found.seal.manifest.version}`);
  }
  assert.equal(desk.held(), { mounts: [], open: [] });
  return { names, refused: refused.join("\n") };
}

async function withNginx(options: Partial<NginxOptions>, work: (nginx: Nginx) => Promise<void>): Promise<void> {
  const nginx = await startNginx({ root: scratch, ...options });
  try {
    await work(nginx);
  } finally {
    await nginx.stop();
  }
}

const html = `default_type text/html; return 200 "<!DOCTYPE html><html><body>Please log in</body></html>";`;
const portal = { lines: [`location /portal { ${html} }`, `location = /login.img { ${html} }`] };

test("a channel: the image that was committed last, then the newest; shares are ignored, the serial is remembered first", () =>
  withNginx({}, async ({ url }) => {
    const { world, desk } = await deskFor([`${url}/stable/`]);
    const { names, refused } = await all(desk);
    assert.equal(names, ["/stable/acme-5.0.img 5.0", "/stable/acme-7.0.img 7.0", "/stable/acme-6.0.img 6.0"]);
    assert.is(refused, "");
    assert.equal(world.readRecord().record?.channelSerials, { stable: 5 });
  }));

test("a channel that offers what is asked for by its id: nothing else of it is asked for", () =>
  withNginx({}, async (nginx) => {
    const { desk } = await deskFor([`${nginx.url}/back`]);
    const { names } = await all(desk, { imageIds: [v7.manifest.rootHash], except: [] });
    assert.equal(names, ["/back/acme-7.0.img 7.0"]);
    assert.equal(desk.counters.record.channelSerials, { stable: 4 });
    const none = await deskFor([`${nginx.url}/back`]);
    const before = nginx.requests().length;
    assert.equal(await all(none.desk, { imageIds: [v6.manifest.rootHash], except: [] }), { names: [], refused: "" });
    assert.equal(
      nginx
        .requests()
        .slice(before)
        .map(({ path }) => path),
      ["/back/channel.json"],
    );
  }));

test("sources that are no use are passed over, each with a line of why, for the one that is", () =>
  withNginx(portal, async ({ url }) => {
    const files = [
      "portal/",
      "login.img",
      "missing/",
      "missing.img",
      "text.img",
      "unsigned.img",
      "stranger.img",
      "lamp.img",
      "old.img",
    ];
    const channels = ["lamp/", "nobody/", "stranger/", "back/"];
    const { desk } = await deskFor([...files, ...channels, "good.img"].map((file) => `${url}/${file}`));
    const { names, refused } = await all(desk);
    assert.equal(names, ["/good.img 6.0"]);
    const lines = refused.split("\n");
    const said = (file: string): string => {
      const found = lines.filter((line) => line.includes(`${url}/${file}`));
      assert.is(found.length, 1, `${file}: ${found.join(" | ") || refused}`);
      return found[0] ?? "";
    };
    assert.match(said("portal/"), /web page|login/);
    assert.match(said("login.img"), /web page|login/);
    assert.match(said("missing/"), /no channel\.json/);
    assert.match(said("missing.img"), /404/);
    assert.match(said("text.img"), /no sealed image/);
    assert.match(said("unsigned.img"), /not signed/);
    assert.match(said("stranger.img"), /not trusted/);
    assert.match(said("lamp.img"), /for the system lamp/);
    assert.match(said("old.img"), /rollback index 4 is below 5/);
    assert.match(said("lamp/"), /for the system lamp/);
    assert.match(said("nobody/"), /not signed.*nothing that it says is believed/);
    assert.match(said("stranger/"), /nothing that it says is believed/);
    assert.match(said("back/"), /serial 2, and 4 was seen before/);
  }));

test("nobody listens at the first mirror: the second gives the image, and a slot is made to hold it", () =>
  withNginx({}, async ({ url }) => {
    const { world, desk } = await deskFor(["http://127.0.0.1:9/stable/", `${url}/stable/`]);
    const reasons: string[] = [];
    for await (const found of findImages(desk, any, (reason) => reasons.push(reason))) {
      const done = await makeSlotHold(desk, "b", found, () => {});
      assert.ok(done.changed && done.source > 390);
      await found.close();
      break;
    }
    assert.is(reasons.length, 1);
    assert.match(reasons[0] ?? "", /127\.0\.0\.1:9/);
    const { storage } = world.b;
    assert.is(Buffer.compare(storage.read(0, v5.manifest.filesystemSize), v5.bytes.subarray(0, v5.manifest.filesystemSize)), 0);
    assert.equal(desk.held(), { mounts: [], open: [] });
  }));

test("a mirror that has the image damaged: what was right is kept, and the other mirror's same image comes before another one", async () => {
  const damaged = new Uint8Array(v7.bytes);
  for (let block = 300; block < 330; block++) damaged[block * BLOCK] = 255 - (damaged[block * BLOCK] ?? 0);
  await publish("torn", [v7, v6]);
  writeFileSync(join(scratch, "torn/acme-7.0.img"), damaged);
  await withNginx({}, async (nginx) => {
    const { world, desk } = await deskFor([`${nginx.url}/torn/`, `${nginx.url}/second/`]);
    world.change((record) => ({ ...record, lastCommitted: null }));
    const asked: string[] = [];
    let fetched = 0;
    for await (const found of findImages(desk, any)) {
      asked.push(found.name.slice(nginx.url.length));
      try {
        const done = await makeSlotHold(desk, "b", found, () => {});
        fetched = done.source;
        await found.close();
        break;
      } catch (error) {
        assert.match(String(error), /is not what the image's seal says/);
      }
    }
    assert.equal(asked, ["/torn/acme-7.0.img", "/second/acme-7.0.img"]);
    assert.ok(fetched < 200, `${fetched} blocks of 401 came from the second`);
    assert.is(
      Buffer.compare(world.b.storage.read(0, v7.manifest.filesystemSize), v7.bytes.subarray(0, v7.manifest.filesystemSize)),
      0,
    );
  });
});

test("resets in the middle of a body, 20 times: the image comes all the same", async () => {
  let resets = 0;
  const file = { bytes: v6.bytes, etag: '"6"', modified: "Sat, 28 Nov 2026 11:00:30 GMT" };
  const server = await startRawServer((request, reply) => {
    if (resets >= 20 || request.number < 4) return serveRightly(file, request, reply);
    resets++;
    let left = 40_000;
    return serveRightly(file, request, {
      ...reply,
      send: (bytes) => {
        const cut = Buffer.from(bytes).subarray(0, left);
        left -= cut.length;
        if (cut.length > 0) reply.send(new Uint8Array(cut));
        if (left === 0) reply.reset();
      },
    });
  });
  try {
    const { world, desk } = await deskFor([`${server.url}/x.img`]);
    for await (const found of findImages(desk, any)) {
      await makeSlotHold(desk, "b", found, () => {});
      await found.close();
      break;
    }
    assert.is(resets, 20);
    assert.is(
      Buffer.compare(world.b.storage.read(0, v6.manifest.filesystemSize), v6.bytes.subarray(0, v6.manifest.filesystemSize)),
      0,
    );
  } finally {
    await server.stop();
  }
});

test("TLS for somebody else, or by an authority that is not believed, is passed over; the control file's authorities are believed", async () => {
  const authority = await makeAuthority(scratch, "authority");
  const own = await makeCertificate(scratch, "own", authority, ["IP:127.0.0.1"]);
  const other = await makeCertificate(scratch, "other", authority, ["DNS:bank.example"]);
  const authorities = readFileSync(authority.certificate, "utf8");
  await withNginx({ tls: { certificate: own.certificate, key: own.key } }, ({ url: right }) =>
    withNginx({ tls: { certificate: other.certificate, key: other.key } }, async ({ url: wrong }) => {
      const { desk } = await deskFor([`${wrong}/good.img`, `${right}/good.img`], { authorities });
      const { names, refused } = await all(desk);
      assert.equal(names, ["/good.img 6.0"]);
      assert.match(refused, /not proven to be that server/);
      const unknown = await deskFor([`${right}/good.img`]);
      const none = await all(unknown.desk);
      assert.equal(none.names, []);
      assert.match(none.refused, /no authority/);
    }),
  );
});

test("each way to the network is tried with every source; without one it is said", async () => {
  const ways: string[] = [];
  const two: DeskNetwork = {
    ways: async function* () {
      for (const link of ["eth0", "eth1"]) {
        ways.push(link);
        yield { link, by: "DHCP", addresses: [], nameservers: [], proxy: null };
      }
    },
    addresses: () => [],
  };
  await withNginx({}, async ({ url }) => {
    const { desk } = await deskFor([`${url}/missing.img`, `${url}/good.img`], {}, two);
    assert.equal((await all(desk)).names, ["/good.img 6.0", "/good.img 6.0"]);
    assert.equal(ways, ["eth0", "eth1"]);
  });
  const dead: DeskNetwork = { ways: async function* () {}, addresses: () => [] };
  const { desk } = await deskFor(["http://127.0.0.1:9/x.img"], {}, dead);
  assert.match((await all(desk)).refused, /^network: no link came up/);
  assert.equal(await all((await deskFor(["http://127.0.0.1:9/x.img"], {}, null)).desk), { names: [], refused: "" });
});

test("a proxy that is broken is left for none", () =>
  withNginx({}, async ({ url }) => {
    const { desk } = await deskFor([`${url}/good.img`], { proxy: "http://127.0.0.1:9" });
    const { names, refused } = await all(desk);
    assert.equal(names, ["/good.img 6.0"]);
    assert.match(refused, /127\.0\.0\.1:9/);
  }));

test("a mirror that takes every request and never answers does not keep the others from being asked", async () => {
  const silent = await startRawServer(() => {});
  try {
    await withNginx({}, async ({ url }) => {
      const { desk } = await deskFor([`${silent.url}/x.img`, `${url}/good.img`], { patience: 4 });
      const { names, refused } = await all(desk);
      assert.equal(names, ["/good.img 6.0"]);
      assert.match(refused, /\/x\.img .*gave up after 3 attempts/);
      assert.is(silent.requests.length, 3);
    });
  } finally {
    await silent.stop();
  }
});

test("whatever the patience, one mirror without progress takes less of it than half", () => {
  for (const patience of [1, 10, 60, 600, 86_400]) {
    const { connectMs, headMs, stallMs, retry } = mirrorLimits(patience);
    for (const attempts of [retry.attempts, retry.firstAttempts]) {
      let taken = attempts * Math.max(connectMs, headMs, stallMs);
      for (let failures = 1; failures < attempts; failures++) taken += pauseBeforeRetry(retry, failures, true, null, 1) ?? 0;
      assert.ok(taken <= (patience * 1000) / 2 || patience > 1000, `${patience} s: ${taken} ms`);
    }
    assert.is(pauseBeforeRetry(retry, retry.attempts, true, null, 1), null);
    assert.ok(connectMs > 0 && retry.longestAskedMs <= patience * 100);
  }
  assert.is(mirrorLimits(86_400).headMs, LIMITS.headMs);
});

test("a search that is given up in the middle of a request ends at once, with the reason", async () => {
  const server = await startRawServer(() => {});
  try {
    const { desk } = await deskFor([`${server.url}/x.img`]);
    setTimeout(() => desk.abort(), 100);
    const error = await all(desk).then(
      () => null,
      (thrown: Error) => thrown,
    );
    assert.is(error?.message, "nothing moved");
    assert.equal(desk.held(), { mounts: [], open: [] });
  } finally {
    await server.stop();
  }
});

test("a source is reached once it said something that can be believed, be it that it has nothing", () =>
  withNginx(portal, async ({ url }) => {
    for (const [sources, reached] of [
      [[`${url}/stable/`], true],
      [["http://127.0.0.1:1/none/", `${url}/stable/`], true],
      [[`${url}/old.img`], true],
      [["http://127.0.0.1:1/none/"], false],
      [[`${url}/nowhere/`], false],
      [[`${url}/portal/`, `${url}/login.img`], false],
      [[`${url}/stranger/`], false],
    ] as const) {
      const { desk } = await deskFor([...sources]);
      await all(desk);
      assert.equal(desk.reached, [reached], sources.join(" "));
    }
    const { desk } = await deskFor([`${url}/stable/`], {}, { ways: async function* () {}, addresses: () => [] });
    await all(desk);
    assert.equal(desk.reached, [false], "no link");
    const { desk: off } = await deskFor([`${url}/stable/`], {}, null);
    await all(off);
    assert.equal(off.reached, [], "there is to be no network");
  }));

test("an exception that nobody expected, of a place or of a source, keeps nobody from the next one", () =>
  withNginx({}, async ({ url }) => {
    const { desk } = await deskFor([`${url}/stable/`, `${url}/good.img`], { factory: "PARTLABEL=factory" });
    desk.devices.find = () => Promise.reject(new TypeError("no device"));
    desk.counters.change = () => {
      throw new TypeError("no serial");
    };
    const { names, refused } = await all(desk);
    assert.equal(names, ["/good.img 6.0"]);
    assert.match(refused, /the factory partition: no device\n.*no serial/);
  }));

test.run();
