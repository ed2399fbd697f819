/** `store: gpt`: what slipway counts is what cgpt and sgdisk read on the disk afterwards, and what cgpt changes is obeyed. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Status } from "../../init/commands/status-shape.ts";
import { partition } from "../../qemu/disk-partitions.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { type SmallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, type SmallMachine, smallMachine } from "./support/small-machine.ts";

/** What is done in the system that comes up stands on the kernel's command line, after "do:". */
const script = `words=$(cat /proc/cmdline)
clean_end() { slipway shutdown-credit; say "small root ends: power-off"; settle; umount -a -r; poweroff -f; }
case $words in *do:*commit*) report commit slipway commit;; esac
case $words in *do:*activate-b*) report activate slipway activate b;; esac
case $words in *do:*rollback*) report rollback slipway rollback;; esac
report status slipway status --json
report plain slipway status
case $words in *do:*off*) clean_end;; esac
`;
const image = (facts: string): SmallImage => ({ facts, ending: "hang", script, slipway: true });
const system = smallSystem().replace(
  /^boot-record: .*$/m,
  "boot-record: { store: gpt, device: PARTLABEL=boot-record, gpt: { dialect: chromeos } }",
);
let machine: SmallMachine;

const directory = mkdtempSync(join(tmpdir(), "slipway-gpt-store-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));

/** What a table takes at either end of a disk, with room to spare. */
const ENDS = 64 * 1024;

/** Runs a tool on a file with the disk's two tables: cgpt follows no link, and the machine's disk has no other name. */
function onTables(name: string, ...args: string[]): string {
  const file = join(directory, "tables");
  const size = statSync(machine.disk).size;
  const between = (from: string, to: string) => {
    const [reading, writing] = [openSync(from, "r"), openSync(to, "r+")];
    for (const offset of [0, size - ENDS]) {
      const bytes = Buffer.alloc(ENDS);
      readSync(reading, bytes, 0, ENDS, offset);
      writeSync(writing, bytes, 0, ENDS, offset);
    }
    closeSync(reading);
    closeSync(writing);
  };
  writeFileSync(file, "");
  truncateSync(file, size);
  between(machine.disk, file);
  const { status, stdout, stderr } = spawnSync(name, [...args, file], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${stdout}${stderr}`);
  between(file, machine.disk);
  return stdout;
}

const numberOf = (slot: string) => String(partition(machine.disk, `root-${slot}`).number);

/** As cgpt reads them: priority, tries, successful. */
function attributes(slot: string): string {
  return ["-P", "-T", "-S"].map((what) => onTables("cgpt", "show", "-i", numberOf(slot), what).trim()).join(" ");
}

/** cgpt and sgdisk find nothing wrong with the table. */
function checkTable(): void {
  assert.match(onTables("sgdisk", "-v"), /No problems found/);
  assert.not.match(onTables("cgpt", "show"), /INVALID|ERROR/);
}

async function bootDoing(words: string) {
  const told = await boot(machine, { append: `quiet do:${words}` });
  checkTable();
  const status: Status = JSON.parse(part(told, "status"));
  return { told, status };
}

test("first boot: the empty attributes are written; commit makes them good, activate puts the other slot first", async () => {
  machine = await smallMachine({ system, slots: { a: image("v1"), b: image("v2") } });
  const { told, status } = await bootDoing("commit,activate-b,off");
  assert.is(told.root, "v1");
  const { chooser, store } = told.report.loader ?? {};
  assert.equal(
    [chooser, store?.kind, store?.place, store?.condition],
    ["slipway", "gpt", "the partition table of /dev/vda", "empty"],
  );
  assert.is(status.bootloader.store?.summary, "b (on trial, 3 tries left), a (good)");
  assert.equal(status.bootloader.store?.differences, []);
  assert.match(part(told, "plain"), /gpt in the partition table of \/dev\/vda: b \(on trial, 3 tries left\), a \(good\)/);
  assert.equal([attributes("a"), attributes("b")], ["1 0 1", "2 3 0"]);
});

test("a trial counts down on the disk at each boot that is cut off", async () => {
  for (const tries of [2, 1]) {
    const { told } = await bootDoing("nothing");
    assert.equal([told.root, told.report.trial], ["v2", true]);
    assert.is(attributes("b"), `2 ${tries} 0`);
    assert.equal(told.report.loader?.merged, []);
  }
});

test("committed in its last try, it is successful; rolled back, the other one is first, and boots", async () => {
  const { told } = await bootDoing("commit,off");
  assert.is(told.root, "v2");
  assert.equal([attributes("a"), attributes("b")], ["1 0 1", "2 0 1"]);
  await bootDoing("rollback,off");
  assert.equal([attributes("a"), attributes("b")], ["2 0 1", "1 0 1"]);
  const { told: back } = await bootDoing("off");
  assert.is(back.root, "v1");
});

test("what cgpt changes while the machine is off is obeyed, and told", async () => {
  onTables("cgpt", "add", "-i", numberOf("b"), "-P", "5", "-T", "6", "-S", "1");
  const { told } = await bootDoing("off");
  assert.is(told.root, "v2");
  assert.match(told.report.loader?.merged.join("\n") ?? "", /^slot b was put first in the bootloader's store/);
  onTables("cgpt", "add", "-i", numberOf("b"), "-P", "0", "-T", "0", "-S", "0");
  const { told: after } = await bootDoing("off");
  assert.is(after.root, "v1");
  assert.match(after.report.loader?.merged.join("\n") ?? "", /slot b was marked bad/);
  assert.is(validRecord(machine.disk).slots.b?.tries, 0);
});

test("with the primary table torn the machine boots, and both tables are whole and say the same again", async () => {
  const file = openSync(machine.disk, "r+");
  writeSync(file, new Uint8Array(512).fill(0x5a), 0, 512, 512);
  closeSync(file);
  const { told } = await bootDoing("commit,off");
  assert.is(told.root, "v1");
  assert.match(attributes("a"), /^\d 0 1$/);
});

test.run();
