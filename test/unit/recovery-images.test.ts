/** Where a recovery finds images, in which order, what it does not take, and that nothing of it stays behind. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Release } from "../../boot/channel/channel.ts";
import { layoutOf } from "../../boot/image/seal.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import { ModuleLoader } from "../../init/devices/modules.ts";
import type { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import { findImages } from "../../init/recovery/find-images.ts";
import type { FoundImage } from "../../init/recovery/found-image.ts";
import type { WantedImages } from "../../init/recovery/image-search.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { channel, signedChannel } from "../samples/channel.ts";
import type { Image } from "./golden-machine.ts";
import { World } from "./golden-world.ts";
import { recoveryDesk, type TestDesk } from "./recovery-desk.ts";
import { device, link, medium, rawMedium } from "./recovery-media.ts";
import { release as releaseKey, sealed, signedControl, stranger, v1 } from "./sealed-world.ts";

const recovery = { ...DEFAULT_RECOVERY, media: true };
const any: WantedImages = { imageIds: null, except: [] };

const v2 = await sealed(2, { manifest: { rollbackIndex: 6 } });
const v3 = await sealed(3, { manifest: { rollbackIndex: 7 } });

/** A machine whose slot a had {@link v1} committed. */
async function machine(control: Partial<ControlFile> = {}, b: Image | null = null): Promise<World> {
  const world = new World({ a: v1, b, control: { ...signedControl(), recovery, ...control } });
  await world.boot();
  world.commitAndShutDown("a", v1.id, { rollbackIndex: 5, revokesBelow: null });
  return world;
}

interface Found {
  names: string[];
  refused: string[];
}

/** Asks for all images, one after the other. Nothing stays mounted or open. */
async function all(desk: TestDesk, wanted = any): Promise<Found> {
  const refused: string[] = [];
  const names: string[] = [];
  for await (const image of findImages(desk, wanted, (reason) => refused.push(reason))) {
    names.push(`${image.place} ${image.name} ${image.seal.manifest.version}`);
    if (image.place !== "slots") await readSourceSeal(image.source).catch(() => {});
    assert.equal(layoutOf(image.seal.manifest), image.layout);
  }
  assert.equal(desk.held(), { mounts: [], open: [] });
  return { names, refused };
}

async function onMedia(
  media: BlockDevice[],
  control: Partial<ControlFile> = {},
  wanted = any,
): Promise<Found & { desk: TestDesk }> {
  const desk = await recoveryDesk(await machine(control), { media });
  const found = await all(desk, wanted);
  return { names: found.names.filter((name) => !name.startsWith("slots")), refused: found.refused, desk };
}

function releaseOf({ head, id }: Image, version: string, change: Partial<Release> = {}): Release {
  return {
    version,
    image: `acme-${version}.img`,
    imageSize: head.length,
    rootHash: id,
    rollbackIndex: 5,
    minimumVersion: null,
    rollout: 100,
    ...change,
  };
}

/** A directory with a channel of these images, the oldest first. */
async function channelDirectory(
  images: [Image, string, Partial<Release>?][],
  { serial = 5, keys = [releaseKey], system = "acme-gateway" } = {},
) {
  const releases = images.map(([image, version, change]) => releaseOf(image, version, change)).reverse();
  const tree: Tree = { "channel.json": await signedChannel(channel({ system, serial, releases }), keys) };
  for (const [image, version] of images) tree[`acme-${version}.img`] = image.head;
  return tree;
}

test("slots first, then the factory partition, then media; each is looked at only when what came before was of no use", async () => {
  const world = await machine({ recovery: { ...recovery, factory: "/dev/sdf" } }, v2);
  const media = [medium("sda", "vfat", { "acme.img": v3.head }), medium("sdf", "ext4", { "factory.img": v1.head })];
  const desk = await recoveryDesk(world, { media });
  const { names } = await all(desk);
  assert.equal(names, [
    "slots slot a 1.0",
    "slots slot b 2.0",
    "factory /dev/sdf: factory.img 1.0",
    "media /dev/sda: acme.img 3.0",
  ]);

  const again = await recoveryDesk(world, { media });
  for await (const image of findImages(again, any)) {
    assert.is(image.place, "slots");
    await image.close();
    break;
  }
  assert.not.match(again.kernel.trace, /mount\(/);
  assert.equal(again.held(), { mounts: [], open: [] });
});

test("the image that was committed last comes before newer ones, a quarantined one last, whatever medium they are on", async () => {
  const world = await machine();
  world.change((record) => ({ ...record, quarantined: [{ imageId: v3.id, reason: "it crashed", attempt: 3 }] }));
  const media = [
    medium("sda", "ext4", { "slipway/three.img": v3.head, "acme-gateway/two.img": v2.head }),
    medium("sdb", "iso9660", { "one.img": v1.head }),
  ];
  const { names } = await all(await recoveryDesk(world, { media }));
  assert.equal(names.slice(1), [
    "media /dev/sdb: one.img 1.0",
    "media /dev/sda: acme-gateway/two.img 2.0",
    "media /dev/sda: slipway/three.img 3.0",
  ]);
});

test("only images that are asked for by their ids, in that order, and none of those that are excepted", async () => {
  const media = [medium("sda", "ext4", { "1.img": v1.head, "2.img": v2.head, "3.img": v3.head })];
  const { names } = await onMedia(media, {}, { imageIds: [v3.id, v2.id], except: [] });
  assert.equal(names, ["media /dev/sda: 3.img 3.0", "media /dev/sda: 2.img 2.0"]);
  const others = await onMedia(media, {}, { imageIds: null, except: [v3.id, v1.id] });
  assert.equal(others.names, ["media /dev/sda: 2.img 2.0"]);
});

test("a disk that an image was copied to, with its footer behind it or at the disk's end", async () => {
  const { names } = await onMedia([rawMedium("sda", v2.head), rawMedium("sdb", v3.head, { atEnd: true })]);
  assert.equal(names, ["media /dev/sdb 3.0", "media /dev/sda 2.0"]);
});

test("media are mounted for reading, with nothing on them that acts, on devices that cannot be written to meanwhile", async () => {
  const { desk } = await onMedia([medium("sda", "ext4", { "acme.img": v2.head })]);
  const lines = desk.kernel.trace.split("\n").filter((line) => /\/dev\/sda|media/.test(line) && /mount|ioctl/.test(line));
  assert.match(
    lines.join("\n"),
    /^ioctl\("\/dev\/sda", BLKROSET, \[1\]\)\nmount\("\/dev\/sda", "\/run\/slipway\/media\/sda", "ext4", .*noload,errors=continue.*\numount.*\nioctl\("\/dev\/sda", BLKROSET, \[0\]\)$/,
  );
  for (const flag of ["NOSUID", "NODEV", "NOEXEC", "NOSYMFOLLOW", "RDONLY"]) assert.match(lines[1] ?? "", flag);
});

test("the machine's own disk is no medium, and nothing is one where the control file does not say so", async () => {
  const { desk } = await onMedia([medium("sda", "ext4", { "acme.img": v2.head })]);
  assert.not.match(desk.kernel.trace, /mount\("\/dev\/vda/);
  const none = await onMedia([medium("sda", "ext4", { "acme.img": v2.head })], { recovery: DEFAULT_RECOVERY });
  assert.equal(none.names, []);
  assert.not.match(none.desk.kernel.trace, /\/dev\/sda/);
});

test("what is no image that the machine may have is refused, with a reason each", async () => {
  const tree: Tree = {
    "unsigned.img": (await sealed(4, { keys: [] })).head,
    "stranger.img": (await sealed(4, { keys: [stranger] })).head,
    "other.img": (await sealed(4, { manifest: { system: "lamp", rollbackIndex: 9 } })).head,
    "old.img": (await sealed(4, { manifest: { rollbackIndex: 4 } })).head,
    "needs.img": (await sealed(4, { manifest: { rollbackIndex: 9, needs: { controlFormat: 1, features: ["teleport"] } } })).head,
    "torn.img": v2.head.subarray(0, v2.head.length - 4096),
    "text.img": "hello",
    "good.img": v2.head,
  };
  const { names, refused } = await onMedia([medium("sda", "ext4", tree)]);
  assert.equal(
    names,
    ["media /dev/sda: good.img 2.0", "media /dev/sda: torn.img 2.0"].filter((name) => names.includes(name)),
  );
  assert.ok(names.includes("media /dev/sda: good.img 2.0"));
  const said = (file: string) => refused.find((line) => line.startsWith(`/dev/sda: ${file}: `)) ?? "";
  assert.match(said("unsigned.img"), "not signed");
  assert.match(said("stranger.img"), "not trusted");
  assert.match(said("other.img"), "for the system lamp");
  assert.match(said("old.img"), "rollback index 4 is below 5");
  assert.match(said("needs.img"), "feature teleport");
  assert.match(said("text.img"), "no image that could be used");
});

test("an image that the machine has already may be as old as what boots", async () => {
  const world = await machine();
  world.change((record) => ({ ...record, floors: { install: 9, boot: 0 } }));
  const old = await all(await recoveryDesk(world, { media: [medium("sda", "ext4", { "1.img": v1.head, "3.img": v3.head })] }));
  assert.equal(old.names, ["slots slot a 1.0", "media /dev/sda: 1.img 1.0"]);
  assert.match(old.refused.join(), /3\.img.*below 9/);
  world.change((record) => ({ ...record, floors: { install: 9, boot: 9 } }));
  assert.equal((await all(await recoveryDesk(world))).names, []);
});

test("nothing leads out of a medium, and nothing on it holds the machine", async () => {
  const tree: Tree = {
    "link.img": link("good.img"),
    "out.img": link("/dev/vda2"),
    "up.img": link("../../../../dev/vda2"),
    "device.img": device("block", 254, 2),
    "directory.img": { "x.img": v2.head },
    "good.img": v2.head,
    "channel.json": link("/etc/slipway/control.json"),
    slipway: link("/"),
  };
  const { names, refused } = await onMedia([medium("sda", "ext4", tree)]);
  assert.equal(names, ["media /dev/sda: good.img 2.0"]);
  const reasons = refused.join("\n");

  for (const file of ["link.img", "out.img", "up.img", "channel.json", "slipway"]) {
    assert.match(reasons, new RegExp(`^/dev/sda: ${file}: it is a link`, "m"));
  }
  assert.match(reasons, /^\/dev\/sda: device\.img: it is a device, and devices on a medium are not opened$/m);
  assert.match(reasons, /^\/dev\/sda: directory\.img: .*it is a directory, no file$/m);
});

test("of a directory with very many images the first are looked at", async () => {
  const many: Tree = {};
  for (let number = 0; number < 6000; number++) many[`image-${String(number).padStart(5, "0")}.img`] = "";
  const { refused, desk } = await onMedia([medium("sda", "ext4", many)]);
  assert.match(refused.join("\n"), /4096 files are named \*\.img, of which the first 64 are looked at/);
  assert.ok(refused.length < 80);
  assert.equal(desk.held(), { mounts: [], open: [] });
});

test("a channel's directory: its releases best first, rollout shares ignored; what else lies there counts too", async () => {
  const tree = await channelDirectory([
    [v1, "1.0"],
    [v2, "2.0", { rollout: 0, rollbackIndex: 6 }],
  ]);
  const { names, desk } = await onMedia([medium("sda", "vfat", { slipway: { ...tree, "three.img": v3.head } })]);
  assert.equal(names, [
    "media /dev/sda: slipway/acme-1.0.img 1.0",
    "media /dev/sda: slipway/three.img 3.0",
    "media /dev/sda: slipway/acme-2.0.img 2.0",
  ]);
  assert.equal(desk.counters.record.channelSerials, { stable: 5 });
});

test("a release whose file is another image, or is not there, is passed over", async () => {
  const tree = await channelDirectory([
    [v1, "1.0"],
    [v2, "2.0", { rollbackIndex: 6 }],
    [v3, "3.0", { rollbackIndex: 7 }],
  ]);
  tree["acme-2.0.img"] = v3.head;
  delete tree["acme-3.0.img"];
  const { names, refused } = await onMedia([medium("sda", "ext4", tree)]);
  assert.equal(names, ["media /dev/sda: acme-1.0.img 1.0"]);
  assert.match(
    refused.join("\n"),
    /acme-2\.0\.img: no image that could be used: acme-2\.0\.img is not the image that channel stable names as 2\.0/,
  );
});

test("a channel that went back, is unsigned, or is another system's is not believed; its images count by their own seals", async () => {
  const world = await machine();
  world.change((record) => ({ ...record, channelSerials: { stable: 9 } }));
  const old = await all(await recoveryDesk(world, { media: [medium("sda", "ext4", await channelDirectory([[v2, "2.0"]]))] }));
  assert.equal(old.names, ["slots slot a 1.0", "media /dev/sda: acme-2.0.img 2.0"]);
  assert.match(old.refused.join("\n"), /channel\.json: channel stable has serial 5, and 9 was seen before/);
  // Where it is known which image it is, serials do not matter.
  const tree = await channelDirectory([[v2, "2.0", { rollbackIndex: 6 }]]);
  const named = await all(await recoveryDesk(world, { media: [medium("sda", "ext4", tree)] }), { imageIds: [v2.id], except: [] });
  assert.equal(named, { names: ["media /dev/sda: acme-2.0.img 2.0"], refused: [] });

  const unsigned = await onMedia([medium("sda", "ext4", await channelDirectory([[v2, "2.0"]], { keys: [] }))]);
  assert.equal(unsigned.names, ["media /dev/sda: acme-2.0.img 2.0"]);
  assert.match(unsigned.refused.join("\n"), /channel\.json: .*nothing that it says is believed/);
  assert.is(unsigned.desk.counters.record.channelSerials, undefined);
  const lamp = await onMedia([medium("sda", "ext4", await channelDirectory([[v2, "2.0"]], { system: "lamp" }))]);
  assert.match(lamp.refused.join("\n"), /channel stable is for the system lamp/);
});

test("a file that is no channel is told as such, however long it is", async () => {
  const long = await onMedia([medium("sda", "ext4", { "channel.json": new Uint8Array(300 * 1024), "acme.img": v2.head })]);
  assert.equal(long.names, ["media /dev/sda: acme.img 2.0"]);
  assert.match(long.refused.join("\n"), /channel\.json: .*the most are/);
});

test("a medium that fails is told, given up, and let go of; the next one is looked at", async () => {
  const good = () => medium("sdb", "ext4", { "acme.img": v2.head });
  for (const rule of [
    { call: "mount", match: /\/dev\/sda/, code: "EUCLEAN" },
    { call: "mount", match: /\/dev\/sda/, code: "ENODEV" },
    { call: "read", match: /\/dev\/sda"/, code: "EIO" },
    { call: "read", match: /media\/sda\/acme/, code: "EIO" },
    { call: "readDirectory", match: /media\/sda/, code: "EBADMSG" },
    { call: "open", match: /media\/sda"/, code: "EIO" },
    { call: "unmount", match: /media\/sdx/, code: "EBUSY" },
  ] as const) {
    const desk = await recoveryDesk(await machine(), { media: [medium("sda", "ext4", { "acme.img": v3.head }), good()] });
    desk.kernel.failOn(rule);
    const { names, refused } = await all(desk);
    assert.ok(names.includes("media /dev/sdb: acme.img 2.0"), rule.call);
    if (rule.call !== "unmount") assert.match(refused.join("\n"), /\/dev\/sda/, rule.call);
    assert.not.match(desk.kernel.list("/run").join(), /slipway\/media/, rule.call);
  }
});

test("an image that was taken can be read after the search, and lets its medium go when it is closed", async () => {
  const desk = await recoveryDesk(await machine(), { media: [medium("sda", "ext4", { "1.img": v1.head, "2.img": v2.head })] });
  let taken: FoundImage | null = null;
  for await (const image of findImages(desk, { imageIds: [v2.id], except: [] })) {
    taken = image;
    break;
  }
  assert.ok(taken);
  assert.is((await readSourceSeal(taken.source)).seal.manifest.version, "2.0");
  assert.is(desk.held().mounts.length, 1);
  await taken.close();
  await taken.close();
  assert.equal(desk.held(), { mounts: [], open: [] });
});

test("a search that is given up ends with the reason, and lets everything go", async () => {
  const desk = await recoveryDesk(await machine(), { media: [medium("sda", "ext4", { "2.img": v2.head, "3.img": v3.head })] });
  const run = async () => {
    for await (const image of findImages(desk, { imageIds: [v2.id, v3.id], except: [] }))
      if (image.place === "media") desk.abort();
  };
  assert.is(
    await run().then(
      () => "",
      (error: Error) => error.message,
    ),
    "nothing moved",
  );
  assert.equal(desk.held(), { mounts: [], open: [] });
});

test("a factory partition that is not there, or holds nothing, is told", async () => {
  const control = (factory: string): Partial<ControlFile> => ({ deviceTimeout: 1, recovery: { ...DEFAULT_RECOVERY, factory } });
  const gone = await onMedia([], control("PARTLABEL=factory"));
  assert.match(gone.refused.join("\n"), /the factory partition: no partition labelled factory/);
  const empty = await onMedia([medium("sdf", "ext4", {})], control("/dev/sdf"));
  assert.match(empty.refused.join("\n"), /\/dev\/sdf: no image that is looked for is on it/);
  const raw = await onMedia([rawMedium("sdf", v3.head)], control("/dev/sdf"));
  assert.equal(raw.names, ["factory /dev/sdf 3.0"]);
});

test("the modules of a medium's filesystem, and the tables of letters that it asks for, are loaded before it is mounted", async () => {
  const desk = await recoveryDesk(await machine(), { media: [medium("sda", "vfat", { "acme.img": v2.head })] });
  const files = ["vfat", "fat", "nls_cp437", "nls_ascii", "usb_storage"].map((name) => `${name}.ko`);
  desk.kernel.plant("/runtime", { modules: Object.fromEntries(files.map((file) => [file, file])) });
  const depends = Object.fromEntries(files.map((file) => [file, file === "vfat.ko" ? ["fat.ko"] : []]));
  const index = {
    schema: 1 as const,
    kernel: "6.1",
    load: [],
    depends,
    aliases: [["fs_vfat", "vfat.ko"] as [string, string]],
    recovery: [],
  };
  const loader = new ModuleLoader(desk.kernel, index);
  desk.boot.modules = loader;
  assert.ok((await all(desk)).names.includes("media /dev/sda: acme.img 2.0"));
  assert.equal(loader.loaded, ["fat.ko", "vfat.ko", "nls_cp437.ko", "nls_ascii.ko"]);
  assert.match(desk.kernel.trace, /load-module[\s\S]*nls_ascii[\s\S]*mount\("\/dev\/sda"/);
});

test("sticks are waited for where there is a bus that they come by, once in a boot", async () => {
  const world = await machine();
  const late = medium("sda", "vfat", { "acme.img": v2.head });
  const desk = await recoveryDesk(world);
  desk.kernel.plant("/sys", { "bus/usb/devices": { usb1: {} } });
  const beganMs = desk.kernel.now().bootMs;
  desk.kernel.addDevice(late, beganMs + 2000);
  assert.equal((await all(desk)).names, ["slots slot a 1.0", "media /dev/sda: acme.img 2.0"]);
  const tookMs = desk.kernel.now().bootMs - beganMs;
  assert.ok(tookMs >= 4900 && tookMs < 10_500, `${tookMs}`);
  const againMs = desk.kernel.now().bootMs;
  await all(desk);
  assert.is(desk.kernel.now().bootMs - againMs < 1000, true);
});

test.run();
