/** What a boot makes of a data partition that fails, on a machine in memory: every outcome has a reason that survives. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { device as memoryDevice, file as memoryFile } from "../../init/kernel/recording/memory-tree.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { controlFile, ext4, ext4Errors, type Image, image, operators } from "./golden-machine.ts";
import { type Boot, World, type WorldOptions } from "./golden-world.ts";

const softControl = controlFile({
  operators: operators.map((operator) => ({ ...operator, onFailure: "degraded" as const })),
}).text;
const soft = (number: number): Image => image(number, { "usr/lib/slipway/control.json": softControl });
const plain = image(1, { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text });
const keptPaths = ["/etc", "/etc/machine-id", "/var/lib/app"];

async function committed(a: Image, options: WorldOptions = {}): Promise<World> {
  const world = new World({ a, ...options });
  await world.boot();
  world.commitAndShutDown("a", a.id);
  return world;
}

function report(boot: Boot): BootReport {
  const read: BootReport = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  return read;
}

/** Errors of mount(2) on the data partition, and what each tells. */
const refusals: [string, RegExp][] = [
  ["EUCLEAN", /\/dev\/vda4 cannot be mounted \(EUCLEAN\): it is damaged; the initrd has no e2fsck .*--extra/],
  ["EBADMSG", /\(EBADMSG\): it is damaged; the initrd has no e2fsck/],
  ["EINVAL", /\(EINVAL\): its superblock is damaged, or has features that this kernel does not know; the initrd has no e2fsck/],
  ["EIO", /\(EIO\): the disk fails, or its journal is damaged; the initrd has no e2fsck/],
  ["EROFS", /\(EROFS\): it can only be read; unlock the disk/],
  ["EACCES", /\(EACCES\): the device is write-protected; unlock the disk/],
  ["ENODEV", /\(ENODEV\): the kernel has no such filesystem; add its module to the initrd$/],
  ["ENOMEM", /\(ENOMEM\): too little memory$/],
];

for (const [code, reason] of refusals) {
  test(`the mount gives ${code}: a committed slot goes on in memory where that is declared, and has its state again later`, async () => {
    const world = await committed(soft(1));
    const kernel = world.kernel();
    kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code });
    const boot = await world.boot(kernel);
    assert.is(boot.root, "/dev/vda2");
    const { degraded, data, generation, trial } = report(boot);
    assert.equal(
      degraded.map(({ path }) => path),
      keptPaths,
    );
    for (const entry of degraded) assert.match(entry.reason, reason);
    assert.equal([data, generation, trial], [null, null, false]);
    assert.match(
      world.journal()[0]?.notes?.[0] ?? "",
      `degraded: ${keptPaths.join(", ")}: /dev/vda4 cannot be mounted (${code})`,
    );
    assert.match(boot.kernel.trace, `degraded to memory: /dev/vda4 cannot be mounted (${code})`, "the console tells it");
    assert.not.match(boot.kernel.trace, "spawn(");
    assert.is(world.readRecord().record?.dataFilesystem, "000000da-0000-0000-0000-000000000001", "it stays known");
    const later = await world.boot();
    assert.equal([report(later).degraded, report(later).generation, report(later).stateNotes], [[], "000001", []]);
  });

  test(`the mount gives ${code}: where state is required no slot boots, and the screen says why`, async () => {
    const world = await committed(image(1));
    const kernel = world.kernel();
    kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code });
    const boot = await world.boot(kernel);
    assert.is(boot.end, "reboot restart");
    const entry = world.journal().find(({ slot, outcome }) => slot === "a" && outcome === "failed");
    assert.match(entry?.reason ?? "", `there is no data filesystem to keep it on: /dev/vda4 cannot be mounted (${code})`);
    assert.match(boot.kernel.trace, new RegExp(`no slot boots.*cannot be mounted \\(${code}\\)`));
    assert.equal(world.readRecord().record?.quarantined, []);
    assert.is(report(await world.boot()).generation, "000001", "nothing was lost");
  });
}

test("the partition cannot be read: as it cannot be mounted", async () => {
  const world = await committed(soft(1));
  const kernel = world.kernel();
  kernel.failOn({ call: "read", match: /^read\("\/dev\/vda4"/, code: "EIO" });
  const { degraded } = report(await world.boot(kernel));
  assert.equal(
    degraded.map(({ path }) => path),
    keptPaths,
  );
});

test("a trial with degraded state is not quarantined when its tries are used up, and the reason stays", async () => {
  const world = await committed(plain);
  world.installInB(soft(2));
  for (let attempt = 0; attempt < 3; attempt++) {
    const boot = await world.boot(world.kernel(["vda4"]));
    assert.is(boot.root, "/dev/vda3");
    assert.equal(
      report(boot).degraded.map(({ path }) => path),
      keptPaths,
    );
    assert.is(boot.kernel.peek("/run/slipway/uncommitted"), `slot b, attempt ${attempt + 2}\n`);
    assert.is(world.readRecord().record?.attempt?.degraded, true);
  }
  const after = await world.boot();
  assert.is(after.root, "/dev/vda2");
  const { record } = world.readRecord();
  assert.equal(record?.quarantined, []);
  assert.is(record?.slots.b?.reason, "trial used up without a commit; last: it ran with degraded state");
  assert.match(report(after).rollback?.reason ?? "", "it ran with degraded state");
  const notes = world
    .journal()
    .filter(({ slot }) => slot === "b")
    .map((entry) => entry.notes?.[0] ?? "");
  assert.is(notes.length, 3);
  for (const note of notes)
    assert.match(note, /^degraded: \/etc, \/etc\/machine-id, \/var\/lib\/app: no partition labelled sys-data/);
});

test("a trial whose state is whole is quarantined as ever", async () => {
  const world = await committed(plain);
  world.installInB(soft(2));
  for (let attempt = 0; attempt < 3; attempt++) assert.is((await world.boot()).root, "/dev/vda3");
  await world.boot();
  assert.equal(
    world.readRecord().record?.quarantined.map(({ imageId }) => imageId),
    [soft(2).id],
  );
});

test("uncommitted exists while the image is on trial, and never else", async () => {
  const mark = (boot: Boot) => boot.kernel.peek("/run/slipway/uncommitted");
  const world = new World({ a: soft(1) });
  assert.is(mark(await world.boot()), "slot a, attempt 1\n");
  world.commitAndShutDown("a", soft(1).id);
  assert.is(mark(await world.boot()), null, "committed");
  assert.is(mark(await world.boot(world.kernel(["vda4"]))), null, "committed, and degraded");
  world.installInB(soft(2));
  for (let attempt = 4; attempt <= 6; attempt++) assert.is(mark(await world.boot()), `slot b, attempt ${attempt}\n`);
  const rollback = await world.boot();
  assert.equal([rollback.root, mark(rollback)], ["/dev/vda2", null], "a rollback to what was committed");
});

test("another device's: refused, nothing of it is touched, and adopted for good by one boot with the word", async () => {
  const world = await committed(soft(1));
  world.formatData(ext4(0xdb));
  const refused = await world.boot();
  const [first] = report(refused).degraded;
  assert.match(first?.reason ?? "", /000000db-.* the boot record knows 000000da-/);
  assert.not.match(refused.kernel.trace, /mount\("\/dev\/vda4"/);
  world.commandLine = "quiet slipway.data=adopt";
  const adopted = await world.boot();
  const { stateNotes, degraded, data } = report(adopted);
  assert.equal(degraded, []);
  assert.is(data?.uuid, "000000db-0000-0000-0000-000000000001");
  assert.match(stateNotes[0] ?? "", /^another data filesystem is adopted: \/dev\/vda4 has the data filesystem 000000db/);
  assert.match(stateNotes[1] ?? "", /^state was lost: /);
  assert.equal(world.journal()[0]?.notes?.length, 2);
  world.commandLine = "quiet";
  const later = await world.boot();
  assert.equal([report(later).stateNotes, report(later).degraded], [[], []]);
});

test("a data filesystem with the known UUID and nothing on it is never taken for a first boot in silence", async () => {
  const world = await committed(image(1));
  world.formatData(ext4(0xda));
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  const lost =
    /^state was lost: slot a is committed, but has no generation; the data filesystem holds no generation; state starts anew/;
  assert.match(report(boot).stateNotes.join("\n"), lost);
  assert.match(world.journal()[0]?.notes?.join("\n") ?? "", lost);
  assert.match(boot.kernel.trace, /kmsg", "<4>slipway: state was lost: /);
  const first = await new World({ a: image(1) }).boot();
  assert.equal(report(first).stateNotes, [], "a first boot loses nothing");
});

function withChecker(kernel: RecordingKernel): RecordingKernel {
  kernel.plant("/", { "usr/sbin/e2fsck": memoryFile("", { mode: 0o755 }) });
  kernel.beginTrace();
  return kernel;
}

test("a damaged filesystem is repaired by its checker, mounted again, and that is told", async () => {
  const world = await committed(image(1));
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code: "EUCLEAN", times: 1 });
  kernel.onSpawn({ match: /e2fsck -p -f \/dev\/vda4$/, afterMs: 65_000, exitCode: 1 });
  kernel.plant("/dev", { watchdog: memoryDevice("character", 10, 130) });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  const note =
    "the data filesystem was repaired: /dev/vda4 cannot be mounted (EUCLEAN): it is damaged; e2fsck: it put right what it found";
  assert.equal(report(boot).stateNotes, [note]);
  assert.equal(world.journal()[0]?.notes, [note]);
  assert.is(boot.kernel.trace.match(/e2fsck has been running for/g)?.length, 2, "somebody at the console sees that it runs");
  assert.equal(report(boot).generation, "000001");
});

test("the watchdog is fed while the checker runs", async () => {
  const world = await committed(image(1), { control: { watchdog: { timeout: 20, after: "keep" } } });
  const kernel = withChecker(world.kernel());
  kernel.plant("/dev", { watchdog: memoryDevice("character", 10, 130) });
  kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code: "EUCLEAN", times: 1 });
  kernel.onSpawn({ match: /e2fsck/, afterMs: 60_000, exitCode: 0 });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.ok((boot.kernel.trace.match(/WDIOC_KEEPALIVE/g)?.length ?? 0) >= 55);
});

for (const [name, rule, told] of [
  ["leaves errors", { exitCode: 4 }, /e2fsck: errors are left that it does not repair unattended \(exit 4\)/],
  ["is killed", { signal: 11 }, /e2fsck: it was killed by signal 11/],
  ["never ends", { afterMs: 3_600_000 }, /e2fsck: it was killed, since it ran for more than 15 minutes/],
] as const) {
  test(`a checker that ${name}: the filesystem is not mounted`, async () => {
    const world = await committed(soft(1));
    const kernel = withChecker(world.kernel());
    kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code: "EUCLEAN", times: 1 });
    kernel.onSpawn({ match: /e2fsck/, ...rule });
    const boot = await world.boot(kernel);
    assert.is(boot.root, "/dev/vda2");
    assert.match(report(boot).degraded[0]?.reason ?? "", told);
    assert.is(boot.kernel.trace.match(/mount\("\/dev\/vda4"/g)?.length, 1);
    if (name === "never ends") assert.match(boot.kernel.trace, /\nkill\(\d+, 9\)\n/);
  });
}

test("a checker that not even a signal ends does not hold the machine", async () => {
  const world = await committed(soft(1));
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code: "EUCLEAN", times: 1 });
  kernel.onSpawn({ match: /e2fsck/, afterMs: 36_000_000 });
  Object.defineProperty(kernel, "kill", { value: () => {} });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.match(report(boot).degraded[0]?.reason ?? "", /it was killed, since it ran for more than 15 minutes/);
  assert.is(boot.kernel.trace.match(/mount\("\/dev\/vda4"/g)?.length, 1, "what may still be written to is not mounted");
});

test("a checker that finds nothing where the mount fails again: both are told", async () => {
  const world = await committed(soft(1));
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code: "EIO" });
  const { degraded } = report(await world.boot(kernel));
  assert.match(degraded[0]?.reason ?? "", /\/dev\/vda4 cannot be mounted \(EIO\): .*; e2fsck: no errors are left before$/);
});

test("a checker that cannot be started is told", async () => {
  const world = await committed(soft(1));
  const kernel = world.kernel();
  kernel.plant("/", { "usr/sbin/e2fsck": memoryFile("", { mode: 0o644 }) });
  kernel.failOn({ call: "mount", match: /"\/dev\/vda4"/, code: "EUCLEAN" });
  assert.match(report(await world.boot(kernel)).degraded[0]?.reason ?? "", /e2fsck cannot be run: .*EACCES/);
});

test("errors in the superblock are looked at before the mount", async () => {
  const world = await committed(image(1));
  world.data.storage.write(0, ext4Errors(0xda, 3));
  const kernel = withChecker(world.kernel());
  kernel.onSpawn({ match: /e2fsck -p -f/, exitCode: 1 });
  const boot = await world.boot(kernel);
  assert.equal(report(boot).stateNotes, ["/dev/vda4: its superblock tells of errors; e2fsck: it put right what it found"]);
  assert.match(boot.kernel.trace, /spawn\(.*e2fsck[\s\S]*mount\("\/dev\/vda4"/);
  const left = withChecker(world.kernel());
  left.onSpawn({ match: /e2fsck/, exitCode: 4 });
  const boots = await world.boot(left);
  assert.is(boots.end, "reboot restart");
  assert.not.match(boots.kernel.trace, /mount\("\/dev\/vda4"/, "nothing is written where errors are left");
  const without = await world.boot();
  assert.match(report(without).stateNotes.join(), /tells of errors; the initrd has no e2fsck to repair it/);
});

test("damage that shows in use is repaired in the same boot", async () => {
  const world = await committed(image(1));
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "readDirectory", match: /\/run\/slipway\/data\/gens"/, code: "EBADMSG", times: 1 });
  kernel.onSpawn({ match: /e2fsck/, exitCode: 1 });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.match(
    report(boot).stateNotes.join(),
    /was repaired: \/dev\/vda4: getdents64 .*EBADMSG: it is damaged; e2fsck: it put right/,
  );
  assert.is(report(boot).generation, "000001");
  assert.is(boot.kernel.mounts().filter((line) => line.startsWith("/run/slipway/data ")).length, 0);
});

for (const [file, match] of [
  ["LAYOUT", /\/data\/LAYOUT"/],
  ["a generation's seal", /000001\/COMPLETE"/],
  ["a generation's meta.json", /000001\/meta\.json"/],
  ["a pointer", /slots\/a"/],
] as const) {
  test(`${file} cannot be read: the checker looks before any other state takes its place`, async () => {
    const world = await committed(image(1));
    const kernel = withChecker(world.kernel());
    kernel.failOn({ call: file === "a pointer" ? "readLink" : "read", match, code: "EBADMSG", times: 1 });
    kernel.onSpawn({ match: /e2fsck/, exitCode: 1 });
    const boot = await world.boot(kernel);
    assert.is(report(boot).generation, "000001");
    assert.match(
      report(boot).stateNotes.join(),
      /^the data filesystem was repaired: .*EBADMSG: it is damaged; e2fsck: it put right/,
    );
  });
}

test("a generation that not even its checker makes readable is damaged, and the boot goes on", async () => {
  const world = await committed(image(1));
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "read", match: /000001\/COMPLETE"/, code: "EIO" });
  kernel.onSpawn({ match: /e2fsck/, exitCode: 0 });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.is(report(boot).generation, "000002");
  assert.match(report(boot).stateNotes.join(), /state was lost: slot a points at generation 000001, which is damaged/);
});

test("no space for a trial's clone: the slot fails, also where its state may be degraded", async () => {
  const world = await committed(soft(1));
  world.installInB(soft(2));
  const kernel = world.kernel();
  kernel.failOn({ call: "copyRange", code: "ENOSPC" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.equal([report(boot).generation, report(boot).degraded], ["000001", []]);
  assert.match(report(boot).skipped[0]?.reason ?? "", "ENOSPC");
  assert.equal(world.readRecord().record?.quarantined, []);
});

test("a committed slot that cannot have a generation goes on in memory where that is declared", async () => {
  const world = await committed(soft(1));
  world.formatData(ext4(0xda));
  const kernel = world.kernel();
  kernel.failOn({ call: "makeDirectory", match: /\.tmp-/, code: "ENOSPC" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.match(report(boot).degraded[0]?.reason ?? "", /ENOSPC: it is full; delete/);
  assert.is(report(boot).data, null);
});

test.run();
