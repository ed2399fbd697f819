/** Boots of a machine whose boot record is a file on the data filesystem, in memory. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { directory, link, file as memoryFile, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { DATA_PLACE } from "../../init/sequence/data.ts";
import { controlFile, image } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";

const v1 = image(1);
const bootRecord = { store: "record", device: null } as const;

function worldWith(data: Tree = {}): World {
  return new World({ a: v1, control: { bootRecord }, data });
}

function report(boot: Boot): BootReport {
  assert.is(boot.escaped, null, boot.end);
  const read: BootReport = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  return read;
}

test("the first boot makes the file, and the next one goes on with it", async () => {
  const world = worldWith();
  const first = await world.boot();
  assert.equal(report(first).record, { condition: "empty", writable: true, device: "/dev/vda4" });
  assert.equal([report(first).slot, report(first).attempt], ["a", 1]);
  assert.equal(
    first.kernel.mounts().filter((line) => line.includes(`${DATA_PLACE} `)),
    [],
  );
  const held = [...first.kernel.openDescriptors()].filter(([fd]) => fd > 2).map(([, path]) => path);
  assert.is(held.filter((path) => path.includes("boot-record")).length, 1, held.join());
  const second = await world.boot();
  assert.equal(report(second).record, { condition: "valid", writable: true, device: "/dev/vda4" });
  assert.equal([report(second).attempt, report(second).trial], [2, true]);
  assert.match(second.kernel.trace, /mount\("\/dev\/vda4"/);
});

test("it is counted before anything of the slot is used", async () => {
  const world = worldWith();
  await world.boot();
  const { trace } = (await world.boot()).kernel;
  const counted = trace.search(/^write\([^)]*boot-record/m);
  const used = trace.search(/^(open|mount)\("\/dev\/vda2"/m);
  assert.ok(counted >= 0 && counted < used, `counted at ${counted}, used at ${used}`);
});

test("without the data filesystem there is none: the slots in order, uncounted, and why", async () => {
  const plain = image(1, { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text });
  const world = new World({ a: plain, control: { bootRecord }, data: {} });
  const boot = await world.boot(world.kernel(["vda4"]));
  const { record, slot, warnings } = report(boot);
  assert.equal([record.condition, record.writable, record.device, slot], ["unreadable", false, null, "a"]);
  assert.match(warnings.join("\n"), /no partition labelled sys-data after 30 s/);
});

const strange: [what: string, data: Tree, reason: RegExp][] = [
  [
    "a short file",
    { "record/boot-record": "x" },
    /record\/boot-record on the data filesystem is a file of 1 bytes, and no boot record/,
  ],
  ["a directory", { "record/boot-record": directory() }, /boot record: .*(EISDIR|is a directory)/],
  ["a link", { "record/boot-record": link("../LAYOUT") }, /boot record: .*ELOOP/],
  ["a link in the directory's place", { record: link("gens") }, /boot record: .*(ELOOP|ENOTDIR)/],
];

for (const [what, data, reason] of strange) {
  test(`${what} in its place is left alone, and told of`, async () => {
    const boot = await worldWith(data).boot();
    const { record, slot, warnings } = report(boot);
    assert.equal([record.condition, record.writable, slot], ["unreadable", false, "a"]);
    assert.match(warnings.join("\n"), reason);
  });
}

test("what is no record in the file is written over; the slots in order, as trials", async () => {
  const spoiled = memoryFile(new Uint8Array(4 * 1024 * 1024).fill(0x55));
  const world = worldWith({ "record/boot-record": spoiled });
  const first = await world.boot();
  assert.equal([report(first).record.condition, report(first).record.writable], ["unreadable", true]);
  assert.is(report(await world.boot()).record.condition, "valid");
});

test.run();
