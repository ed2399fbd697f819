/** What an install of a bootloader refuses, what its formats refuse, and what a firmware that takes nothing leaves behind. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  decodeManifest,
  type EditionManifest,
  editionDirectory,
  editionNumber,
  encodeManifest,
  fatPathFault,
  loaderInfoIn,
  samePathsOnFat,
} from "../../boot/bootloader/edition.ts";
import { bootloaderRecord, NO_BOOTLOADER } from "../../boot/bootloader/record.ts";
import { settleAfterCommit } from "../../init/bootloader/after-commit.ts";
import { installBootloader } from "../../init/bootloader/install.ts";
import { activateSlot } from "../../init/commands/activate.ts";
import { install } from "../../init/commands/install.ts";
import { PLACES } from "../../init/commands/machine.ts";
import { O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { file, link, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { readSlotImage } from "../../init/store/image-id.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { BootloaderWorld, loader, PROGRAM, source } from "./bootloader-world.ts";
import { slot } from "./commands-machine.ts";
import { MemorySource } from "./converge-world.ts";

function ready(): BootloaderWorld {
  const world = new BootloaderWorld();
  world.start();
  world.settle(true);
  world.start();
  return world;
}

async function refused(work: () => Promise<unknown>, kind: typeof BadInput | typeof Refusal, why: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.instance(error, kind, String(error));
    if (error instanceof Error) assert.match(error.message, why);
    return;
  }
  assert.unreachable(`not refused: ${why}`);
}

/** Refused, and nothing is different: neither variable, nor edition, nor trial. */
async function refusedUnchanged(
  world: BootloaderWorld,
  files: Tree,
  kind: typeof BadInput | typeof Refusal,
  why: RegExp,
): Promise<void> {
  const before = [world.order, world.entries, world.next, world.known.trial];
  await refused(() => world.install(files), kind, why);
  assert.equal([world.order, world.entries, world.next, world.known.trial], before);
  const numbered = world.status().directories.flatMap(({ editions }) => editions.filter(({ path }) => /\d{6}$/.test(path)));
  assert.equal(numbered, []);
  assert.equal(world.start(), { by: "factory a" });
}

const wrongSources: [what: string, files: Tree, why: RegExp][] = [
  ["without the program", { "grub.cfg": "x" }, /\/srv\/new holds no grubx64\.efi/],
  ["the program elsewhere", { EFI: { [PROGRAM]: "x" } }, /holds no grubx64\.efi/],
  ["with a link", { ...source("x"), link: link("grub.cfg") }, /\/srv\/new\/link is a symlink, which FAT has not/],
  ["with a name that FAT has not", { ...source("x"), "a:b": "x" }, /"a:b" cannot be a file on FAT/],
  ["with a dot at the end", { ...source("x"), "dir./a": "x" }, /"dir\." cannot be a file on FAT/],
  ["two names that are one", { ...source("x"), "GRUB.CFG": "x" }, /grub\.cfg and GRUB\.CFG|GRUB\.CFG and grub\.cfg/],
  ["with the manifest's name", { ...source("x"), "Slipway.json": "x" }, /"slipway\.json" is a name that slipway uses/],
];

for (const [what, files, why] of wrongSources) {
  test(`a source ${what} is refused before anything is written`, () => refusedUnchanged(ready(), files, BadInput, why));
}

test("a source that is not there, or is a file, is refused", async () => {
  const world = ready();
  world.kernel.plant("/", { srv: { file: "x" } });
  for (const directory of ["/srv/missing", "/srv/file"]) {
    await refused(
      () => installBootloader(world.kernel, PLACES, { directory, version: null }),
      BadInput,
      /cannot be opened as a directory \(E/,
    );
  }
});

test("no install while a trial of a bootloader waits or runs", async () => {
  const world = ready();
  await world.install();
  await refused(() => world.install(), Refusal, /EFI\/slipway-b\/000001 on PARTLABEL=esp-b is on trial; reboot/);
  world.start();
  await refused(() => world.install(), Refusal, /is on trial/);
});

test("no install of an image while a bootloader is on trial: one trial shows nothing of two things", async () => {
  const world = ready();
  await world.install();
  const order = {
    source: new MemorySource(new Uint8Array(0)),
    slot: null,
    dryRun: false,
    retry: false,
    telling: "lines" as const,
  };
  await refused(() => install(world.kernel, PLACES, order), Refusal, /the bootloader EFI\/slipway-b\/000001 .* is on trial/);
});

test("no slot goes on trial while a bootloader is; a committed one may be gone back to", async () => {
  const world = ready();
  const bytes = new Uint8Array(4096).fill(1);
  withOpen(world.kernel, "/dev/vda3", O.WRONLY, (fd) => world.kernel.write(fd, bytes, 0n));
  const held = readSlotImage(world.kernel, "/dev/vda3").imageId;
  const holding = (imageId: string | null) => {
    const store = openBootRecord(world.kernel, "/dev/vda1");
    const { record } = store.read().record;
    if (record === null) throw new Error("no record");
    store.write({ ...record, slots: { a: slot({ priority: 2 }), b: slot({ priority: 1, imageId }) } });
    store.close();
  };
  await world.install();
  holding("ab".repeat(32));
  await refused(
    async () => activateSlot(world.kernel, PLACES, "b"),
    Refusal,
    /the bootloader EFI\/slipway-b\/000001 .* is on trial/,
  );
  holding(held);
  assert.match(activateSlot(world.kernel, PLACES, "b").did.join(), /The next boot is slot b .* as a committed slot/);
});

test("no install while a slot is on trial, or waits for its trial", async () => {
  const world = ready();
  const store = openBootRecord(world.kernel, "/dev/vda1");
  const { record } = store.read().record;
  if (record === null) throw new Error("no record");
  store.write({ ...record, slots: { a: slot({ state: "trial", priority: 2, tries: 2 }), b: slot() } });
  await refused(() => world.install(), Refusal, /the running slot a is on trial/);
  store.write({ ...record, slots: { a: slot(), b: slot({ state: "trial", priority: 2, tries: 3 }) } });
  await refused(() => world.install(), Refusal, /slot b waits for its trial/);
  store.close();
  assert.is(world.known.trial, null);
});

test("a machine whose control file names no boot directories, or that UEFI did not start, is refused", async () => {
  const world = ready();
  world.renew({ plain: true });
  await refused(() => world.install(), Refusal, /its control file has no "bootloader"/);
  world.renew();
  world.kernel.plant("/sys", { firmware: file("") });
  await refused(() => world.install(), Refusal, /was not started by UEFI/);
});

test("without room nothing is written", async () => {
  const world = ready();
  const { filesystem } = world.device("esp-b");
  if (filesystem === null) throw new Error("no filesystem");
  filesystem.capacity = { bytes: 8192, inodes: 100 };
  await refusedUnchanged(world, source("new"), Refusal, /PARTLABEL=esp-b has \d+ bytes free, and \d+ are needed/);
});

test("a filesystem that fails while it is written leaves nothing behind", async () => {
  for (const call of ["write", "syncFilesystem", "makeDirectory"] as const) {
    const world = ready();
    world.kernel.failOn({ call, match: /slipway-b/, code: "EIO", times: 1, after: 1 });
    await refusedUnchanged(world, source("new"), Refusal, /EFI\/slipway-b on PARTLABEL=esp-b cannot be written \(EIO\)/);
  }
});

test("a partition that is missing does not keep the other one from being looked after, and is no target", async () => {
  const world = ready();
  const at = world.devices.findIndex(({ partition }) => partition?.label === "esp-b");
  world.devices.splice(at, 1);
  world.renew();
  const { warnings } = world.settle(true);
  assert.match(warnings.join("\n"), /EFI system partition PARTLABEL=esp-b: no partition labelled esp-b/);
  await refused(() => world.install(), Refusal, /EFI system partition PARTLABEL=esp-b/);
});

test("a firmware whose memory is full, or that refuses, leaves no trial", async () => {
  for (const [variable, code, why] of [
    ["Boot0003", "ENOSPC", /cannot be set \(ENOSPC\); the firmware's memory is full/],
    ["BootNext", "EINVAL", /cannot be set \(EINVAL\); the firmware refuses it/],
    ["BootNext", "EROFS", /cannot be set \(EROFS\); efivarfs is mounted read-only/],
  ] as const) {
    const world = ready();
    world.efivars.refused.set(`${variable}-8be4df61-93ca-11d2-aa0d-00e098032b8c`, code);
    await refusedUnchanged(world, source("new"), Refusal, why);
  }
});

test("a firmware that refuses keeps no slot from being committed", () => {
  const world = ready();
  world.order = [];
  world.efivars.refused.set("BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c", "EIO");
  const { did, warnings } = settleAfterCommit(world.kernel, PLACES, 0);
  assert.equal(did, []);
  assert.match(warnings.join(), /^bootloader: the variable BootOrder-\S+ cannot be set \(EIO\)/);
});

test("rollback is refused where the other directory has nothing whole", () => {
  const world = new BootloaderWorld({ "esp-b": {} });
  world.start();
  world.settle(true);
  assert.throws(
    () => world.rollBack(),
    (error: unknown) => error instanceof Refusal && /no other bootloader to go back to/.test(error.message),
  );
});

test("a machine whose boot directories are empty says so, and its first install goes into the first one", async () => {
  const world = new BootloaderWorld({ "esp-a": { EFI: { BOOT: { "BOOTX64.EFI": loader("last resort") } } }, "esp-b": {} });
  world.start();
  assert.match(
    world.settle(true).warnings.join(),
    /no boot directory holds a grubx64\.efi; run "slipway bootloader install DIR"/,
  );
  const { trial } = await world.install();
  assert.equal(trial.edition, { device: "PARTLABEL=esp-a", path: "EFI/slipway-a/000001" });
  assert.equal(world.start(), { by: "new" });
  world.settle(true);
  assert.equal(world.programs, [`esp-a EFI/slipway-a/000001/${PROGRAM}`, "?"]);
});

const manifest: EditionManifest = {
  schema: 1,
  version: "2",
  files: [{ path: "a/b.efi", size: 3, sha256: "00" }],
};

test("a manifest is read as it was written; any other text is none", () => {
  const text = encodeManifest(manifest);
  assert.equal(decodeManifest(text), manifest);
  for (let length = 0; length < text.length - 1; length++) assert.type(decodeManifest(text.slice(0, length)), "string");
  for (const wrong of [
    text.replace('"size":3', '"size":4'),
    text.replace('"schema":1', '"schema":2'),
    text.replace("a/b.efi", "../b.efi"),
    encodeManifest({ ...manifest, files: [] }),
    "null",
    "[]",
  ])
    assert.type(decodeManifest(wrong), "string", wrong);
});

test("editions have six digits", () => {
  assert.is(editionDirectory(3), "000003");
  assert.is(editionNumber("000003"), 3);
  for (const name of ["000000", "3", "0000003", "00000a", "", "000003 "]) assert.is(editionNumber(name), null, name);
  for (const number of [0, -1, 0.5, 1_000_000]) assert.throws(() => editionDirectory(number), /from 1 to 999999/);
});

test("names that FAT has, and names that it has not", () => {
  for (const path of ["grubx64.efi", "x86_64-efi/normal.mod", "a b/c (1).txt", "A"]) assert.is(fatPathFault(path), null, path);
  for (const path of [
    "",
    ".",
    "..",
    "a/../b",
    "/a",
    "a/",
    "a//b",
    "a:b",
    "a*",
    'a"',
    "a|b",
    "a\\b",
    "a.",
    "a ",
    " a",
    "ä",
    "a\nb",
    "x".repeat(101),
  ])
    assert.type(fatPathFault(path), "string", path);
  assert.is(samePathsOnFat(["a/b", "a/c", "B"]), null);
  assert.equal(samePathsOnFat(["a/b", "A/c"]), ["a", "A"]);
  assert.equal(samePathsOnFat(["a", "A"]), ["a", "A"]);
  assert.equal(samePathsOnFat(["a/b", "a"]), ["a", "a"]);
});

test("a loader's own name is found in its program", () => {
  assert.is(
    loaderInfoIn(Buffer.from("MZ\0#### LoaderInfo: systemd-boot 252.39-1~deb12u2 ####\0")),
    "systemd-boot 252.39-1~deb12u2",
  );
  assert.is(loaderInfoIn(Buffer.from("MZ\0#### LoaderInfo: \0 ####")), null);
  assert.is(loaderInfoIn(new Uint8Array(0)), null);
});

test("what the boot record has of bootloaders is read as it is, and refused where it is anything else", () => {
  const edition = { device: "PARTLABEL=esp-b", path: "EFI/slipway-b/000001" };
  const full = {
    committed: edition,
    trial: { edition, version: "2", entry: 3, attempt: 7, armed: true },
    failed: { edition, version: null, reason: "x" },
    lastNumber: 1,
  };
  assert.equal(bootloaderRecord(full), full);
  assert.equal(bootloaderRecord(undefined), NO_BOOTLOADER);
  const wrong: unknown[] = [
    null,
    [],
    {},
    { ...full, more: 1 },
    { ...full, lastNumber: -1 },
    { ...full, committed: { device: "x" } },
    { ...full, committed: { device: "", path: "x" } },
    { ...full, committed: { device: "x", path: "y".repeat(401) } },
    { ...full, trial: { ...full.trial, entry: 0x10000 } },
    { ...full, trial: { ...full.trial, armed: "yes" } },
    { ...full, trial: { ...full.trial, attempt: 0 } },
    { ...full, failed: { edition, version: null } },
  ];
  for (const value of wrong)
    assert.throws(
      () => bootloaderRecord(value),
      (error: unknown) => error instanceof BadInput,
      JSON.stringify(value),
    );
});

test.run();
