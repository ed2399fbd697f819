/** slipway check: what a channel has for a machine, and which channels are refused. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Channel } from "../../boot/channel/channel.ts";
import { rolloutPlace } from "../../boot/channel/rollout.ts";
import { parseUpdateSettings } from "../../boot/channel/update-settings.ts";
import { isInside, parseWindow, windowText } from "../../boot/channel/window.ts";
import { layoutOf } from "../../boot/image/seal.ts";
import type { Asked } from "../../init/channel/asked.ts";
import { besideChannel, channelPlace, isChannelUrl } from "../../init/channel/place.ts";
import { readUpdateSettings, refuseOutside } from "../../init/channel/settings.ts";
import { type Checked, checkChannel, checkedText } from "../../init/commands/check.ts";
import { localPath } from "../../init/converge/local-path.ts";
import { SourceError } from "../../init/converge/source.ts";
import { file } from "../../init/kernel/recording/memory-tree.ts";
import { PLAIN } from "../../init/network/options.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { channel, release, signedChannel } from "../samples/channel.ts";
import { sealedImage, testKey } from "../samples/sealed-image.ts";
import { MACHINE_ID, putImage, sealedMachine, trusting } from "./channel-machine.ts";
import { IMAGE_A, NOW, slot, TestMachine } from "./commands-machine.ts";
import { image } from "./golden-machine.ts";

const [key, second, stranger] = [await testKey(), await testKey(), await testKey()];
const running = await sealedImage(new Uint8Array(64 * 4096).fill(3), [key], { version: "1.5", rollbackIndex: 2 });
const runs = (change = {}) => release("1.5", { rootHash: running.manifest.rootHash, rollbackIndex: 2, ...change });
const above = (version: string, change = {}) => release(version, { rollbackIndex: 2, ...change });

type Options = Parameters<typeof sealedMachine>[1];
type Change = Parameters<typeof sealedMachine>[2];

async function machineWith(bytes: Uint8Array, options: Options = {}, change: Change = {}): Promise<TestMachine> {
  return sealedMachine(
    running,
    { control: trusting([key]), ...options, root: { "srv/stable/channel.json": bytes, ...options.root } },
    change,
  );
}

const check = (machine: TestMachine, asked: Partial<Asked> = {}): Promise<Checked> =>
  checkChannel(machine.kernel, machine.places, { source: "/srv/stable", channel: null, window: null, options: PLAIN, ...asked });

async function checked(content: Partial<Channel>, options: Options = {}, change: Change = {}): Promise<Checked> {
  return check(await machineWith(await signedChannel(channel(content), [key]), options, change));
}

type Kind = typeof Refusal | typeof SourceError | typeof BadInput;

async function fails(kind: Kind, words: RegExp, machine: TestMachine, asked: Partial<Asked> = {}): Promise<void> {
  const before = machine.record().channelSerials;
  let said: unknown;
  try {
    await check(machine, asked);
  } catch (error) {
    said = error;
  }
  assert.instance(said, kind, `${said}`);
  assert.match(said instanceof Error ? said.message : "", words);
  assert.equal(machine.record().channelSerials, before, "nothing is remembered");
}

test("the newest that this machine may take, and why not the others", async () => {
  const releases = [
    above("3.0", { minimumVersion: "2.0" }),
    above("2.2", { rollout: 0 }),
    above("2.1"),
    above("2.0"),
    release("1.9"),
    runs(),
    above("1.0"),
  ];
  const found = await checked({ releases }, {}, { floors: { install: 2, boot: 0 } });
  assert.is(found.offered?.version, "2.1");
  assert.is(found.running.version, "1.5");
  assert.equal(
    found.passedOver.map(({ version, because }) => [version, because.is]),
    [
      ["3.0", "minimum-version"],
      ["2.2", "rollout"],
      ["2.0", "not-newest"],
      ["1.9", "below-floor"],
      ["1.5", "runs"],
      ["1.0", "not-newer"],
    ],
  );
  assert.equal(checkedText(found), [
    `Channel stable of acme, serial 5, signed by ${key.key.id.slice(0, 12)}.`,
    "Slot a runs 1.5.",
    "Offered: 2.1 (acme-2.1.img, 4.0 MiB).",
    "Not 3.0: it is for machines that run 2.0 at least, 1.5 runs here.",
    `Not 2.2: it is offered to 0 % of the machines, this one comes in above ${rolloutPlace(MACHINE_ID, above("2.2").rootHash).toFixed(1)} %.`,
    "Not 1.9: its rollback index 0 is below 2, which was committed here.",
  ]);
  assert.match(found.next, /run "slipway install".*install 2\.1/);
});

test("nothing newer", async () => {
  const found = await checked({ releases: [runs()] });
  assert.equal([found.offered, found.next], [null, "nothing to do."]);
  assert.ok(checkedText(found).includes("Nothing newer is offered to this machine."));
});

test("the machine id decides on a share, and is not told", async () => {
  const { rootHash } = above("2.0");
  const share = Math.floor(rolloutPlace(MACHINE_ID, rootHash));
  const releases = (rollout: number) => [above("2.0", { rollout })];
  assert.is((await checked({ releases: releases(share) })).offered, null);
  assert.is((await checked({ releases: releases(share + 1) })).offered?.version, "2.0");
  const other = { root: { "etc/machine-id": "uninitialized\n" } };
  assert.is((await checked({ releases: releases(99) }, other)).offered, null);
  assert.is((await checked({ releases: releases(100) }, other)).offered?.version, "2.0");
  assert.not.match(JSON.stringify(await checked({ releases: releases(1) })), new RegExp(MACHINE_ID));
});

test("an image that failed here before", async () => {
  const quarantined = [{ imageId: above("2.0").rootHash, reason: "trial used up without a commit", attempt: 5 }];
  const found = await checked({ releases: [above("2.0")] }, {}, { quarantined });
  assert.is(found.offered, null);
  assert.match(checkedText(found).join("\n"), /Not 2\.0: it failed here before \(trial used up without a commit\)/);
});

test("an image that waits for its trial already", async () => {
  const waiting = slot({ state: "trial", priority: 3, tries: 3, imageId: above("2.0").rootHash });
  const slots = { a: slot({ priority: 2, imageId: running.manifest.rootHash }), b: waiting };
  const found = await checked({ releases: [above("2.0")] }, {}, { slots });
  assert.equal([found.offered?.version, found.waitsIn], ["2.0", "b"]);
  assert.match(found.next, /reboot.* to try 2\.0, which slot b holds already/);
});

test("serials: remembered durably, an older one refused, also by another list of the same name", async () => {
  const machine = await machineWith(await signedChannel(channel({ serial: 7, releases: [above("2.0")] }), [key]));
  assert.is((await check(machine)).serial, 7);
  assert.equal(machine.record().channelSerials, { stable: 7 });
  const writes = machine.recordWrites;
  await check(machine);
  assert.is(machine.recordWrites, writes, "what is known is not written again");
  machine.kernel.plant("/", {
    "srv/old/channel.json": await signedChannel(channel({ serial: 6, releases: [above("9.0")] }), [key]),
    "srv/beta/channel.json": await signedChannel(channel({ serial: 1, channel: "beta" }), [key]),
  });
  await fails(Refusal, /channel stable has serial 6, and 7 was seen before/, machine, { source: "/srv/old" });
  await check(machine, { source: "/srv/beta" });
  assert.equal(machine.record().channelSerials, { beta: 1, stable: 7 });
});

test("a serial that cannot be remembered: the check fails", async () => {
  const machine = await machineWith(await signedChannel(channel(), [key]));
  machine.kernel.failOn({ call: "write", match: /vda1/, code: "EIO" });
  await rejects(check(machine), /boot record cannot be written/);
});

async function rejects(promise: Promise<unknown>, words: RegExp): Promise<void> {
  let said = "it was taken";
  try {
    await promise;
  } catch (error) {
    said = error instanceof Error ? error.message : String(error);
  }
  assert.match(said, words);
}

test("signatures: of a stranger, too few, none, and where anybody's word counts", async () => {
  const content = channel({ releases: [above("2.0")] });
  const two = { control: trusting([key, second], 2) };
  await fails(
    Refusal,
    /is signed by 0 trusted keys; not trusted: .*nothing that it says is believed/,
    await machineWith(await signedChannel(content, [stranger])),
  );
  await fails(Refusal, /is not signed/, await machineWith(await signedChannel(content)));
  await fails(
    Refusal,
    /is signed by 1 trusted keys, and must be by 2 of 2/,
    await machineWith(await signedChannel(content, [key]), two),
  );
  await fails(
    Refusal,
    /is signed by 1 trusted keys; not trusted/,
    await machineWith(await signedChannel(content, [key, stranger]), two),
  );
  assert.equal((await check(await machineWith(await signedChannel(content, [key, second]), two))).signers.length, 2);

  const open = await machineWith(await signedChannel({ ...content, serial: 9_000_000 }), { control: { system: "acme" } });
  const found = await check(open);
  assert.equal([found.offered?.version, found.signers], ["2.0", []]);
  assert.match(found.warnings.join(), /believes any channel/);
  assert.is(open.record().channelSerials, undefined, "anybody could say the highest serial");
});

test("a signature over another list, or over a changed one", async () => {
  const bytes = await signedChannel(channel({ releases: [above("2.0")] }), [key]);
  const text = new TextDecoder().decode(bytes);
  const payload = (serial: number) => text.replace(/"payload":"[^"]*"/, `"payload":"${payloadOf(serial)}"`);
  await fails(Refusal, /the signature of key .* is wrong/, await machineWith(new TextEncoder().encode(payload(6))));
});

function payloadOf(serial: number): string {
  return btoa(`{"channel":"stable","releases":[],"schema":1,"serial":${serial},"system":"acme"}\n`);
}

test("another system's channel, and another channel than is meant", async () => {
  const other = await machineWith(await signedChannel(channel({ system: "other", serial: 900 }), [key]));
  await fails(Refusal, /channel stable is for the system other, this machine is acme/, other);
  const beta = await machineWith(await signedChannel(channel({ channel: "beta" }), [key]));
  await fails(Refusal, /gives the channel beta, meant is stable; was it put in its place\?/, beta, { channel: "stable" });
  assert.is((await check(beta, { channel: "beta" })).channel, "beta");
});

test("what is no channel", async () => {
  await fails(SourceError, /\/srv\/stable: the channel is not JSON/, await machineWith(new TextEncoder().encode("<html>")));
  await fails(SourceError, /262145 bytes, the most are 262144/, await machineWith(new Uint8Array(1 << 20)));
  const seal = running.bytes.subarray(layoutOf(running.manifest).sealOffset);
  await fails(SourceError, /payloadType must be/, await machineWith(seal.slice(0, seal.indexOf(0))));
  const machine = await machineWith(new Uint8Array());
  await fails(SourceError, /the channel is not JSON/, machine);
  await fails(SourceError, /\/srv has no channel\.json/, machine, { source: "/srv" });
  await fails(SourceError, /\/srv\/stable\/channel\.json\/x has no channel\.json/, machine, {
    source: "/srv/stable/channel.json/x",
  });
  await fails(BadInput, /SOURCE is empty/, machine, { source: "" });
  machine.kernel.failOn({ call: "read", match: /channel\.json/, code: "EIO" });
  await fails(SourceError, /cannot be read \(EIO\); is the medium still there\?/, machine);
});

test("where it cannot be told what runs, nothing counts as newer", async () => {
  const bytes = await signedChannel(channel({ releases: [above("2.0")] }), [key]);
  const unsealed = new TestMachine({ control: trusting([key]), root: { "srv/stable/channel.json": bytes } });
  const found = await check(unsealed);
  assert.equal([found.offered?.version, found.running], ["2.0", { slot: "a", version: null, imageId: IMAGE_A }]);
  assert.match(checkedText(found).join("\n"), /Slot a runs image [0-9a-f]{12}, without a version/);

  const broken = await machineWith(bytes);
  putImage(broken, "/dev/vda2", (await sealedImage(image(1).head.slice(0, 64 * 1024), [key])).bytes);
  await rejects(check(broken), /which version runs in slot a is not known: \/dev\/vda2 has the seal of image/);
  const unreadable = await machineWith(bytes);
  unreadable.kernel.failOn({ call: "read", match: /vda2/, code: "EIO" });
  await rejects(check(unreadable), /which version runs in slot a is not known: \/dev\/vda2 cannot be read \(EIO\)/);
});

test("places: a directory, its file, URLs with and without a slash", () => {
  for (const [source, file] of [
    ["/srv/stable", "/srv/stable/x.img"],
    ["/srv/stable//", "/srv/stable/x.img"],
    ["/srv/stable/channel.json", "/srv/stable/x.img"],
    ["stable", "stable/x.img"],
    ["channel.json", "./x.img"],
    ["/", "/x.img"],
    ["/channel.json", "/x.img"],
    ["file:///media/usb%20stick/stable", "/media/usb stick/stable/x.img"],
    ["https://updates.example/gateway/stable", "https://updates.example/gateway/stable/x.img"],
    ["https://updates.example/gateway/stable/", "https://updates.example/gateway/stable/x.img"],
    ["https://updates.example/gateway/stable/channel.json", "https://updates.example/gateway/stable/x.img"],
    ["https://updates.example", "https://updates.example/x.img"],
    ["https://updates.example/channel.json", "https://updates.example/x.img"],
    ["HTTP://updates.example:8080/a?token=1", "http://updates.example:8080/a/x.img?token=1"],
  ] as const) {
    assert.is(besideChannel(channelPlace(source), "x.img"), file, source);
  }
  assert.is(channelPlace("https://updates.example/a?token=1").name, "https://updates.example/a?…");
  assert.throws(() => localPath("file://server/share"), /is no file: URL of this machine/);
  assert.throws(() => localPath("file://me:secret@server/share"), /^"\?@server\/share" is no file: URL of this machine/);
  assert.throws(() => localPath("file:///a%ff"), /has a percent sign that encodes nothing/);
  assert.throws(() => channelPlace("https://user:secret@updates.example/"), /may hold no user or password/);
});

test("places: which URLs are a channel's", () => {
  const url = (path: string) => `https://updates.example${path}`;
  for (const path of ["", "/", "/stable", "/v1.2/", "/channel.json", "/a.b/stable?x=y.z"])
    assert.is(isChannelUrl(url(path)), true, path);
  for (const path of ["/v2.img", "/v2.raw?token=1", "/stable/v1.2", "/.hidden"]) assert.is(isChannelUrl(url(path)), false, path);
});

test("settings: strictly read, and writable by nobody else", () => {
  const whole = { schema: 1, source: "https://updates.example/stable", channel: "stable", window: "02:00-04:00" };
  const parse = (change: object) => parseUpdateSettings("update.json", { ...whole, ...change });
  assert.equal(parse({}), { source: whole.source, channel: "stable", window: { from: 120, to: 240 } });
  const { window: _, ...always } = whole;
  assert.is(parseUpdateSettings("update.json", always).window, null);
  assert.throws(() => parse({ url: "x" }), /update\.json\.url is not known/);
  assert.throws(() => parse({ schema: 2 }), /update\.json\.schema must be 1/);
  assert.throws(() => parse({ source: 1 }), /update\.json\.source must be a text/);
  assert.throws(() => parse({ channel: "a b" }), /update\.json\.channel: may have letters/);
  assert.throws(() => parse({ window: null }), /update\.json\.window must be a text/);
  assert.throws(() => parseUpdateSettings("update.json", { schema: 1, source: "x" }), /update\.json\.channel is missing/);

  const text = JSON.stringify(whole);
  const { kernel } = new TestMachine({
    root: { "etc/slipway/update.json": text, "etc/slipway/open.json": file(text, { mode: 0o664 }) },
  });
  assert.is(readUpdateSettings(kernel).channel, "stable");
  assert.throws(() => readUpdateSettings(kernel, "/etc/slipway/open.json"), /has mode 0664; only its owner may write it/);
  assert.throws(
    () => readUpdateSettings(kernel, "/etc/nothing.json"),
    /no SOURCE is given, and \/etc\/nothing\.json cannot be read/,
  );
});

test("windows", () => {
  const inside = (text: string, clock: string) => {
    const [hour = 0, minute = 0] = clock.split(":").map(Number);
    return isInside(parseWindow("--window", text), hour * 60 + minute);
  };
  for (const [text, yes, no] of [
    ["02:00-04:00", ["02:00", "03:59"], ["01:59", "04:00", "14:00"]],
    ["22:30-01:15", ["22:30", "23:59", "00:00", "01:14"], ["22:29", "01:15", "12:00"]],
    ["00:00-24:00", ["00:00", "12:00", "23:59"], []],
    ["23:00-24:00", ["23:00", "23:59"], ["00:00", "22:59"]],
    ["23:00-00:00", ["23:59"], ["00:00"]],
  ] as const) {
    for (const clock of yes) assert.is(inside(text, clock), true, `${clock} in ${text}`);
    for (const clock of no) assert.is(inside(text, clock), false, `${clock} in ${text}`);
    assert.is(windowText(parseWindow("--window", text)), text);
  }
  for (const wrong of [
    "",
    "2:00-4:00",
    "02:00",
    "24:00-04:00",
    "02:60-04:00",
    "02:00-24:01",
    "02:00-02:00",
    "02:00 - 04:00",
    "02:00-04:00\n",
  ]) {
    assert.throws(() => parseWindow("--window", wrong), /^BadInput: --window|--window/, JSON.stringify(wrong));
  }
});

test("outside of the window an install is refused, by the machine's own clock", () => {
  const { kernel } = new TestMachine({});
  const local = new Date(NOW);
  const minute = local.getHours() * 60 + local.getMinutes();
  refuseOutside(kernel, null);
  refuseOutside(kernel, { from: minute, to: (minute + 1) % 1440 });
  assert.throws(
    () => refuseOutside(kernel, { from: (minute + 60) % 1440, to: (minute + 120) % 1440 }),
    (error: unknown) =>
      error instanceof Refusal && /it is \d\d:\d\d, and installs may begin from \d\d:\d\d to \d\d:\d\d only/.test(error.message),
  );
});

test.run();
