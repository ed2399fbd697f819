/** `kernel: slot` on two real kernels: the loader's, and the one that the slot's proven image brings. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { keptOf } from "../../qemu/product.ts";
import { archive, initrdEntries } from "../samples/kernel-file.ts";
import { recordOn } from "./support/disk-file.ts";
import {
  activateB,
  cloud,
  control,
  generic,
  machineWith,
  memory,
  rootHash,
  seal,
  signedSystem,
  v1File,
  v2,
  v2File,
} from "./support/kexec-ground.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { hang, type SmallImage, smallControl, smallImage } from "./support/small-image.ts";
import { boot, part, smallInitrd, smallMachine, startSmall } from "./support/small-machine.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-kexec-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

test("slot a runs on the loader's kernel, and b on its own with its own modules, in one attempt", async () => {
  assert.is.not(cloud.version, generic.version);
  const machine = await machineWith(v1File, v2File);
  const first = await boot(machine, memory);
  assert.is(first.root, "v1");
  assert.is(part(first, "uname"), cloud.version);
  assert.not.match(first.console, /\(kexec\)/);
  activateB(machine.disk, v2File);

  const told = await boot(machine, { ...memory, append: "a.word=kept" });
  assert.is(told.root, "v2");
  assert.match(told.console, new RegExp(`slot b: starting its own kernel ${generic.version} \\(kexec\\), attempt 2`));
  assert.is(part(told, "uname"), generic.version);
  assert.is(part(told, "insmod"), "");
  assert.match(part(told, "modules"), /^dummy /m);
  assert.match(part(told, "line"), /a\.word=kept panic=10 slipway\.kexec=[0-9a-f]{16}$/);
  const { report } = told;
  assert.equal([report.attempt, report.slot, report.proof, report.trial], [2, "b", "signed", true]);
  assert.is(report.why, "second stage of attempt 2, on the slot's own kernel");
  assert.equal(report.warnings, []);
  const record = validRecord(machine.disk);
  assert.is(record.slots.b?.tries, 2, "counted once");
  assert.is(record.attempt?.kexec, undefined);
  assert.is(record.uncleanEnds, 1);
});

test("a kernel that panics is counted each time, and rolled back from", async () => {
  const noInit = archive(initrdEntries(readFileSync(control, "utf8")).filter(({ path }) => path !== "init"));
  const directory = await keptOf("panicking-initrd", noInit.toHex(), async (aside) => writeFileSync(`${aside}/initrd`, noInit));
  const kernel: SmallImage["kernel"] = { flavour: "generic", initrd: `${directory}/initrd` };
  const broken = await smallImage({ ...v2, facts: "broken", kernel }, control);
  const machine = await machineWith(v1File, broken);
  await boot(machine, memory);
  activateB(machine.disk, broken);
  for (const left of [2, 1, 0]) {
    const running = await startSmall(machine, { ...memory, append: "panic=1", expectPanic: true });
    await running.exited;
    assert.match(running.console.text, /starting its own kernel/);
    assert.match(running.console.text, /Kernel panic - not syncing/);
    assert.is(validRecord(machine.disk).slots.b?.tries, left);
  }
  const told = await boot(machine, memory);
  assert.is(told.root, "v1");
  assert.is(part(told, "uname"), cloud.version);
  const why = `its own kernel ${generic.version} was started, and did not come up in PID 1`;
  assert.is(told.report.rollback?.from, "b");
  assert.ok(told.report.rollback?.reason.startsWith("trial used up without a commit"), told.report.rollback?.reason);
  assert.is(recordOn(machine.disk).journal.find(({ slot, attempt }) => slot === "b" && attempt === 4)?.reason, why);
  assert.equal(
    validRecord(machine.disk).quarantined.map(({ imageId }) => imageId),
    [rootHash(broken)],
  );
});

/** `file` with a byte of its kernel changed. */
function damaged(file: string, kernel: string): string {
  const bytes = readFileSync(file);
  const whole = readFileSync(kernel);
  const at = bytes.indexOf(whole.subarray(4 * 1024 * 1024, 4 * 1024 * 1024 + 64));
  assert.ok(at > 0, "the kernel lies in the image as it is");
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(`${scratch}/damaged`, bytes);
  return `${scratch}/damaged`;
}

test("a stranger's image and a damaged kernel are gone past in one boot, and the second stage tells of both", async () => {
  const names = ["stranger", "damaged", "good"];
  const three = signedSystem(names);
  const ruling = await smallControl(three);
  const kernel: SmallImage["kernel"] = { flavour: "generic", initrd: await smallInitrd(three, { flavour: "generic" }) };
  const image = (facts: string, keys: string[]) => smallImage({ ...v2, facts, kernel, seal: { ...seal, keys } }, ruling);
  const machine = await smallMachine({
    system: three,
    slots: {
      stranger: await image("stranger", ["stranger"]),
      damaged: damaged(await image("damaged", ["release"]), generic.kernel),
      good: await image("good", ["release"]),
    },
    size: "1G",
    slotSize: "200M",
  });
  const told = await boot(machine, memory);
  assert.is(told.root, "good");
  assert.is(part(told, "uname"), generic.version);
  assert.equal(
    told.report.skipped.map(({ slot }) => slot),
    ["stranger", "damaged"],
  );
  assert.match(told.report.skipped[0]?.reason ?? "", /signed by 0 trusted keys/);
  assert.match(
    told.report.skipped[1]?.reason ?? "",
    /the image differs from its hash tree \(dm-verity\).*; seen in: its kernel /,
  );
  assert.is(told.report.attempt, 3);
  const record = validRecord(machine.disk);
  assert.ok(record.slots.damaged?.damaged);
  assert.ok(record.slots.stranger?.damaged);
});

test("somebody else's slipway.kexec= is refused and counted, and starts no kernel", async () => {
  const machine = await machineWith(v1File, v2File);
  await boot(machine, memory);
  activateB(machine.disk, v2File);
  const told = await boot(machine, { ...memory, append: "slipway.kexec=0123456789abcdef" });
  assert.is(told.root, "v1", "a trial does not run on a kernel that it has no modules for");
  const warnings = told.report.warnings.join("\n");
  assert.match(
    warnings,
    /slipway\.kexec=0123456789abcdef is refused: no attempt waits for it; this boot is counted as any other/,
  );
  assert.match(told.report.skipped[0]?.reason ?? "", /has modules for .* only, and the kernel that runs is/);
  assert.is(validRecord(machine.disk).slots.b?.tries, 2);
});

test("a hang of the new kernel is the watchdog's, which stays armed over the kexec where its driver is told to", async () => {
  // The loader's kernel is the one with a driver for it here, and the slot's own hangs before it would have one.
  const hanging = signedSystem(["b", "a"], "watchdog: { timeout: 15s, after: keep }\n");
  const ruling = await smallControl(hanging);
  const entries = initrdEntries(readFileSync(ruling, "utf8")).filter(({ path }) => path !== "init");
  const program = readFileSync(await hang());
  const file = archive([...entries, { path: "init", kind: "file", mode: 0o755, content: program }]);
  writeFileSync(`${scratch}/hanging`, file);
  const kernel: SmallImage["kernel"] = { flavour: "cloud", initrd: `${scratch}/hanging` };
  const b = await smallImage({ ...v2, facts: "hangs", kernel }, ruling);
  const initrd = { flavour: "generic" as const };
  const machine = await smallMachine({ system: hanging, slots: { b, a: v2File }, size: "1G", slotSize: "250M", initrd });
  // The board's own, which QEMU keeps from restarting anything unless it is told to.
  const extra = ["-global", "ICH9-LPC.noreboot=off", "-action", "watchdog=reset"];
  const options = { ...memory, extra, append: "watchdog.stop_on_reboot=0" };
  const running = await startSmall(machine, options);
  await running.expect(/starting its own kernel .*cloud/);
  await running.expect(/hanging for ever/);
  await running.exited;
  const record = validRecord(machine.disk);
  assert.equal([record.attempt?.slot, record.slots.b?.tries], ["b", 2]);
});

test.run();
