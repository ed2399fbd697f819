/**
 * The bootloader's own upgrade on a real firmware: OVMF with variables that outlive a start, GRUB and systemd-boot, efibootmgr. The
 * reset that gets a machine away from a loader that hangs is QEMU's: what a watchdog or a person does.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeManifest, MANIFEST } from "../../boot/bootloader/edition.ts";
import { describePoint, flushBoundaries, reorderings } from "../../qemu/crash-points.ts";
import { bytesOnEsp, textOnEsp } from "../../qemu/esp.ts";
import { freshVariables } from "../../qemu/firmware.ts";
import { readWriteLog } from "../../qemu/write-log.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";
import { randomNumbers } from "../samples/random.ts";
import { BootloaderMachine, DIRECTORIES, PROGRAM, type Ran, ranToEnd } from "./support/bootloader-ground.ts";
import { eachPoint } from "./support/rebuild-disk.ts";
import { part } from "./support/small-machine.ts";

const scratch = mkdtempSync(join(tmpdir(), "slipway-bootloader-"));
test.after(() => rmSync(scratch, { recursive: true, force: true }));
const directory = () => mkdtempSync(`${scratch}/machine-`);

const STATUS = "report status slipway bootloader status --json\nreport shown efibootmgr -v\n";
const COMMIT = "report commit slipway commit --quick --json\n";
const install = (name: string, version = name) =>
  `report install slipway bootloader install /mnt/${name} --version ${version} --json\n`;

interface Status {
  running: { edition: { device: string; path: string } | null; entry: string; loader: string | null };
  committed: { path: string } | null;
  fallback: { path: string } | null;
  trial: { fate: string } | null;
  failed: { edition: { path: string }; reason: string } | null;
  wrong: string[];
  warnings: string[];
}

const statusOf = (ran: Ran): Status => JSON.parse(part(ran, "status"));

/** What efibootmgr -v says of the entries in BootOrder: the files that they start. */
function orderShown(ran: Ran): string[] {
  const text = part(ran, "shown");
  const order = /^BootOrder: (.*)$/m.exec(text)?.[1]?.split(",") ?? [];
  return order.map((number) => {
    const line = new RegExp(`^Boot${number}\\*? (.*)$`, "m").exec(text)?.[1] ?? "missing";
    return /File\((.*)\)/.exec(line)?.[1]?.toLowerCase() ?? "other";
  });
}

const efi = (path: string) => `\\${path}/${PROGRAM}`.replaceAll("/", "\\").toLowerCase();
const [FACTORY_A, FACTORY_B] = DIRECTORIES;
/** The lines of efibootmgr for ours alone, in their order. */
const ours = (ran: Ran) => orderShown(ran).filter((file) => file.startsWith("\\efi\\slipway-"));

/** What an install never touches. */
const WHOLE = [
  ["esp-a", "EFI/BOOT/BOOTX64.EFI"],
  ["esp-a", `${FACTORY_A}/${PROGRAM}`],
  ["esp-b", `${FACTORY_B}/${PROGRAM}`],
  ["esp-b", `${FACTORY_B}/grub.cfg`],
] as const;

/** A machine whose firmware has both factory loaders, after two starts. */
async function ready(): Promise<BootloaderMachine> {
  const machine = await BootloaderMachine.make(directory());
  const first = await machine.run(`${COMMIT}${STATUS}`);
  assert.equal(first.loaders, ["last resort"], "a firmware that knows nothing starts EFI/BOOT/BOOTX64.EFI");
  assert.equal(ours(first), [efi(FACTORY_A), efi(FACTORY_B)]);
  assert.equal(statusOf(first).wrong, []);
  return machine;
}

test("GRUB gives way to another GRUB, that one to systemd-boot; each is tried once and committed by the slot's own commit", async () => {
  const machine = await ready();
  const before = await machine.run(`${STATUS}${install("one")}report after efibootmgr -v\n`);
  assert.equal(before.loaders, ["factory a"]);
  assert.is(statusOf(before).running.edition?.path, FACTORY_A);
  assert.match(
    part(before, "install"),
    /EFI\/slipway-b\/000001 on PARTLABEL=esp-b holds 2 files of \d+ bytes, one; all was read back/,
  );
  assert.match(part(before, "after"), /^BootNext: /m);
  const trial = await machine.run(`${STATUS}${COMMIT}report after efibootmgr -v\n`);
  assert.equal(trial.loaders, ["one"]);
  assert.is(statusOf(trial).trial?.fate, "running");
  assert.equal(ours(trial), [efi(FACTORY_A), efi(FACTORY_B)], "a trial changes no order");
  assert.match(part(trial, "commit"), /The bootloader EFI\/slipway-b\/000001 on PARTLABEL=esp-b is committed/);
  const next = await machine.run(`${STATUS}${install("systemd-boot", "'systemd-boot, from Debian'")}`);
  assert.equal(next.loaders, ["one"]);
  assert.equal(ours(next), [efi(`${FACTORY_B}/000001`), efi(FACTORY_A)]);
  assert.is(statusOf(next).committed?.path, `${FACTORY_B}/000001`);
  const systemd = await machine.run(`${STATUS}${COMMIT}`);
  assert.equal(systemd.loaders, [], "systemd-boot says nothing");
  assert.match(statusOf(systemd).running.loader ?? "", /^systemd-boot 252/);
  assert.is(statusOf(systemd).running.edition?.path, `${FACTORY_A}/000002`);
  const last = await machine.run(`${STATUS}report check slipway bootloader check --json\n`);
  assert.match(statusOf(last).running.loader ?? "", /^systemd-boot 252/);
  assert.equal(ours(last), [efi(`${FACTORY_A}/000002`), efi(`${FACTORY_B}/000001`)]);
  assert.equal([statusOf(last).wrong, statusOf(last).warnings], [[], []]);
  assert.match(part(last, "check"), /"changed":false/);
});

test("a loader that hangs: after the reset the firmware is back on the committed one, which says what happened", async () => {
  const machine = await ready();
  await machine.run(install("bad"));
  const started = await machine.start(
    `${STATUS}${COMMIT}report after slipway bootloader status --json\nreport journal slipway journal\n`,
  );
  await started.expect("loader bad at (");
  await started.reset();
  const ran = await ranToEnd(started);
  assert.equal(ran.loaders, ["bad", "factory a"]);
  assert.is(statusOf(ran).trial?.fate, "failed");
  assert.match(
    part(ran, "commit"),
    /the trial of the bootloader EFI\/slipway-b\/000001 on PARTLABEL=esp-b failed: no system came up by it/,
  );
  const after: Status = JSON.parse(part(ran, "after"));
  assert.is(after.trial, null);
  assert.match(
    after.failed?.reason ?? "",
    /no system came up by it, and the firmware started EFI\/slipway-a on PARTLABEL=esp-a again/,
  );
  assert.match(part(ran, "journal"), /bootloader trial failed/);
  const next = await machine.run(STATUS);
  assert.equal(next.loaders, ["factory a"], "it is not tried again");
  assert.equal(ours(next), [efi(FACTORY_A), efi(FACTORY_B)]);
});

test("firmware that forgot all its variables, and firmware that reorders, doubles and drops them", async () => {
  const machine = await ready();
  await machine.run(install("one"));
  assert.equal((await machine.run(COMMIT)).loaders, ["one"]);
  freshVariables(machine.variables);
  const forgot = await machine.run(`report before slipway bootloader status\n${COMMIT}${STATUS}`);
  assert.equal(forgot.loaders, ["last resort"]);
  assert.match(part(forgot, "before"), /The firmware's entries are not as they should be/);
  assert.equal(ours(forgot), [efi(`${FACTORY_B}/000001`), efi(FACTORY_A)]);
  const changes = `E=$(efibootmgr -v)
first=$(echo "$E" | sed -n 's/^Boot\\([0-9A-F]*\\).*slipway-b.000001.*/\\1/p')
second=$(echo "$E" | sed -n 's/^Boot\\([0-9A-F]*\\).*slipway-a.${PROGRAM}.*/\\1/p')
rest=$(echo "$E" | sed -n 's/^BootOrder: //p' | tr , '\\n' | grep -vx -e "$first" -e "$second" | head -1)
report reorder efibootmgr -o $rest,$second,$first
report double efibootmgr -c -d /dev/vda -p 2 -L twice -l '\\EFI\\slipway-b\\000001\\${PROGRAM}'
report foreign efibootmgr -C -d /dev/vda -p 1 -L "another system" -l '\\EFI\\other\\grubx64.efi'
report inactive efibootmgr -b $second -A
report wrong slipway bootloader status
report check slipway bootloader check
${STATUS}`;
  const reordered = await machine.run(changes);
  assert.equal(reordered.loaders, ["one"]);
  assert.equal(ours(reordered), [efi(`${FACTORY_B}/000001`), efi(FACTORY_A)], part(reordered, "shown"));
  assert.match(part(reordered, "check"), /it is there twice/);
  assert.match(part(reordered, "check"), /its entry is switched off/);
  assert.match(part(reordered, "shown"), /another system/);
  const dropped = `for f in $(ls /sys/firmware/efi/efivars | grep '^Boot0'); do grep -q s.l.i.p.w.a.y /sys/firmware/efi/efivars/$f && rm /sys/firmware/efi/efivars/$f; done
report gone efibootmgr -v
`;
  const gone = await machine.run(`mount -t efivarfs efivarfs /sys/firmware/efi/efivars\n${dropped}${STATUS}`);
  assert.equal(gone.loaders, ["one"]);
  assert.not.match(part(gone, "gone"), /slipway/);
  const back = await machine.run(`${COMMIT}${STATUS}`);
  assert.equal(back.loaders, ["last resort"]);
  assert.equal(ours(back), [efi(`${FACTORY_B}/000001`), efi(FACTORY_A)]);
  assert.equal((await machine.run(STATUS)).loaders, ["one"]);
});

test("the power goes at any instant of an install: the machine starts, and the next install works", async () => {
  const machine = await ready();
  const whole = await machine.copy(directory()).start(`say installing\n${install("one")}say installed\n`);
  await whole.expectResult("installing");
  const from = whole.ms;
  await whole.expectResult("installed");
  const length = whole.ms - from;
  await whole.exited;
  const cuts = 6;
  for (let cut = 1; cut <= cuts; cut++) {
    const copy = machine.copy(directory());
    const started = await copy.start(`say installing\n${install("one")}say installed\n`);
    await started.expectResult("installing");
    await new Promise((resolve) => setTimeout(resolve, (length * cut) / cuts));
    await started.cutPower();
    const next = await copy.run(`${STATUS}${COMMIT}report after slipway bootloader status --json\n${install("two")}`);
    const text = `cut ${cut} of ${cuts}: ${JSON.stringify(statusOf(next))}`;
    assert.ok(["factory a", "one"].includes(next.loaders.join()), text);
    const after: Status = JSON.parse(part(next, "after"));
    assert.equal([after.trial, after.wrong], [null, []], text);
    assert.is(after.committed?.path, next.loaders[0] === "one" ? `${FACTORY_B}/000001` : FACTORY_A, text);
    assert.match(part(next, "install"), /all was read back/, text);
    const last = await copy.run(`${COMMIT}${STATUS}`);
    assert.equal(last.loaders, ["two"], text);
    assert.is(ours(last).length, 2, text);
  }
});

test("what the disk may hold after a cut anywhere in an install: what boots is whole, and so is what has its manifest", async () => {
  const machine = await ready();
  const log = `${scratch}/log`;
  const before = `${scratch}/before`;
  writeFileSync(log, "");
  cpSync(machine.disk, before);
  await machine.run(install("one"), { disks: machine.disks({ blklogwrites: log }) });
  const entries = readWriteLog(readFileSync(log));
  const boundaries = flushBoundaries(entries);
  const points = [...boundaries, ...reorderings(entries, 80, randomNumbers(7))];
  points.sort((left, right) => left.durable - right.durable);
  assert.ok(boundaries.length > 15, `${boundaries.length} flushes`);
  const wanted = new Map<string, string>();
  for (const [label, path] of WHOLE) wanted.set(`${label} ${path}`, sha256Hex(await bytesOnEsp(before, path, label)));
  const seen = { unfinished: 0, whole: 0 };
  const work = mkdtempSync(`${scratch}/points-`);
  let index = 0;
  await eachPoint({ disk: before, log, points }, work, async (disk) => {
    const text = describePoint(points[index++] ?? { durable: 0, later: [], torn: null }, entries);
    for (const [label, path] of WHOLE)
      assert.is(sha256Hex(await bytesOnEsp(disk, path, label)), wanted.get(`${label} ${path}`), `${text}: ${path} on ${label}`);
    const manifest = await textOnEsp(disk, `${FACTORY_B}/000001/${MANIFEST}`, "esp-b").then(decodeManifest, () => "not there");
    if (typeof manifest === "string") {
      seen.unfinished++;
      return;
    }
    seen.whole++;
    for (const { path, sha256 } of manifest.files) {
      const bytes = await bytesOnEsp(disk, `${FACTORY_B}/000001/${path}`, "esp-b");
      assert.is(sha256Hex(bytes), sha256, `${text}: ${path} of a finished edition`);
    }
  });
  assert.ok(seen.unfinished > 10 && seen.whole > 0, JSON.stringify(seen));
});

test.run();
