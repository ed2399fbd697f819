import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { layoutOf } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { preInstall, raucTargets } from "../../init/commands/rauc/pre-install.ts";
import { currentSlot, primarySlot, setBad, setOtherGood, setPrimary, slotState } from "../../init/commands/rauc/states.ts";
import { verb } from "../../init/commands/rauc-backend.ts";
import { O } from "../../init/kernel/constants.ts";
import { readText, withOpen } from "../../init/kernel/files.ts";
import { readSlotImage } from "../../init/store/image-id.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { IMAGE_B, type MachineOptions, record, report, slot, TestMachine, trialOfB } from "./commands-machine.ts";
import { filesystemOf, imageOf } from "./converge-world.ts";
import { controlFile, MiB } from "./golden-machine.ts";

function refuses(run: () => unknown, words: RegExp, kind: typeof Refusal | typeof BadInput = Refusal): void {
  assert.throws(run, (error: unknown) => error instanceof kind && words.test(error.message));
}

async function rejects(run: Promise<unknown>, words: RegExp, kind: typeof Refusal | typeof BadInput): Promise<void> {
  const error = await run.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, kind);
  assert.match(error instanceof Error ? error.message : "", words);
}

const environment = (device = "/dev/vda3", bootname = "b") => ({
  RAUC_SLOTS: "1 2 3",
  RAUC_TARGET_SLOTS: "2 3",
  RAUC_SLOT_BOOTNAME_1: "a",
  RAUC_SLOT_DEVICE_1: "/dev/vda2",
  RAUC_SLOT_BOOTNAME_2: bootname,
  RAUC_SLOT_DEVICE_2: device,
  // A slot that goes with another one.
  RAUC_SLOT_BOOTNAME_3: "",
  RAUC_SLOT_DEVICE_3: "/dev/vda9",
});
const install = (machine: TestMachine, of = environment()) => preInstall(machine.kernel, machine.places, raucTargets(of));

function state({ kernel, places }: TestMachine): string {
  const states = ["a", "b"].map((name) => `${name} ${slotState(kernel, places, name)}`);
  return `${currentSlot(kernel, places)} runs, ${primarySlot(kernel, places)} first, ${states.join(", ")}`;
}

test("what RAUC asks is answered from the boot record", () => {
  const told = (options: MachineOptions) => state(new TestMachine(options));
  const slots = (a: Parameters<typeof slot>[0], b: Parameters<typeof slot>[0]) => ({
    record: record({ slots: { a: slot({ priority: 2, ...a }), b: slot({ imageId: IMAGE_B, ...b }) } }),
  });
  assert.is(told({}), "a runs, a first, a good, b good");
  assert.is(told(trialOfB()), "b runs, b first, a good, b good");
  assert.is(told(slots({}, { state: "empty", tries: 0, imageId: null })), "a runs, a first, a good, b bad");
  assert.is(told(slots({}, { priority: 3, state: "trial", tries: 3 })), "a runs, b first, a good, b good");
  assert.is(told(slots({}, { priority: 3, damaged: "its tree differs" })), "a runs, a first, a good, b bad");
  assert.is(told(slots({ tries: 0, reason: "too loud" }, {})), "a runs, b first, a bad, b good");
});

test("where no slot can boot none is first", () => {
  const spent = slot({ state: "trial", tries: 0 });
  const machine = new TestMachine({ record: record({ slots: { a: { ...spent, priority: 2 }, b: spent } }) });
  refuses(() => primarySlot(machine.kernel, machine.places), /no slot can boot: PID 1 would go into recovery/);
});

test("a bootname that no slot has is bad input, and says what there is", () => {
  const { kernel, places } = new TestMachine();
  for (const ask of [slotState, setPrimary, setBad]) {
    refuses(() => ask(kernel, places, "C"), /no slot has the bootname "C"; this machine has a, b/, BadInput);
  }
});

test("where the bootloader calls slots otherwise, RAUC does as well", async () => {
  const slots = controlFile().control.slots.map((one) => ({ ...one, bootname: one.name.toUpperCase() }));
  const machine = new TestMachine({ control: { slots } });
  const { kernel, places } = machine;
  assert.equal([currentSlot(kernel, places), primarySlot(kernel, places), slotState(kernel, places, "B")], ["A", "A", "good"]);
  refuses(() => slotState(kernel, places, "b"), /no slot has the bootname "b"; this machine has A, B/, BadInput);
  await install(machine, environment("/dev/vda3", "B"));
  setPrimary(kernel, places, "B");
  assert.is(primarySlot(kernel, places), "B");
});

test("set-primary activates, and leaves the running slot where it comes first", () => {
  const machine = new TestMachine();
  assert.is(setPrimary(machine.kernel, machine.places, "b").changed, true);
  assert.equal([machine.slot("b").priority, machine.slot("b").state], [2, "committed"]);
  assert.is(setPrimary(machine.kernel, machine.places, "a").changed, true);
  assert.is(machine.slot("a").priority, 2);
  const trial = new TestMachine(trialOfB());
  assert.is(setPrimary(trial.kernel, trial.places, "b").changed, false);
  assert.is(trial.recordWrites, 0);
  refuses(() => setPrimary(trial.kernel, trial.places, "a"), /the running slot b is on trial/);
  assert.is(trial.recordWrites, 0);
});

test("set-state bad gives up a slot, and keeps what is known of its image", () => {
  const machine = new TestMachine();
  const answer = setBad(machine.kernel, machine.places, "b");
  assert.match(answer.did.join(" "), /Slot b boots no more \(marked bad through rauc-backend\). The next boot is slot a/);
  assert.equal(machine.slot("b"), slot({ imageId: IMAGE_B, tries: 0, reason: "marked bad through rauc-backend" }));
  assert.is(setBad(machine.kernel, machine.places, "b").changed, false);
  assert.equal(setOtherGood(machine.kernel, machine.places, "b").changed, true);
  assert.equal(machine.slot("b"), slot({ imageId: IMAGE_B }));
});

test("set-state bad of the running slot leaves it for the other one, unless there is none", () => {
  const machine = new TestMachine();
  setBad(machine.kernel, machine.places, "a");
  assert.is(state(machine), "a runs, b first, a bad, b good");
  refuses(() => setBad(machine.kernel, machine.places, "b"), /slot b is the only one that can boot/);
});

test("what RAUC does before it writes is refused where an install is: promise P2", async () => {
  const trial = new TestMachine(trialOfB());
  const pending = new TestMachine({
    record: record({ slots: { a: slot({ priority: 1 }), b: slot({ state: "trial", priority: 2, tries: 3, imageId: IMAGE_B }) } }),
  });
  refuses(() => setBad(trial.kernel, trial.places, "a"), /the running slot b is on trial, slot a is its fallback/);
  const ofA = { ...environment(), RAUC_TARGET_SLOTS: "1" };
  await rejects(install(trial, ofA), /the running slot b is on trial, slot a is its fallback/, Refusal);
  await rejects(install(new TestMachine(), ofA), /slot a is the running one and is never written/, Refusal);
  assert.is(trial.recordWrites, 0);
  // Its own trial may be replaced before it began.
  setBad(pending.kernel, pending.places, "b");
  assert.is(pending.slot("b").tries, 0);
});

test("set-state good of a slot that does not run gives it its tries, and commits nothing", () => {
  const on = (b: Parameters<typeof slot>[0], slotB?: null) =>
    new TestMachine({
      record: record({ slots: { a: slot({ priority: 2 }), b: slot(b) } }),
      ...(slotB === null ? { slotB } : {}),
    });
  const trial = on({ state: "trial", tries: 0, reason: "too loud", imageId: IMAGE_B });
  assert.match(setOtherGood(trial.kernel, trial.places, "b").did.join(), /Slot b has all its 3 tries again, as a trial/);
  assert.equal(trial.slot("b"), slot({ state: "trial", tries: 3, imageId: IMAGE_B }));
  const damaged = on({ imageId: IMAGE_B, damaged: "its tree differs" });
  refuses(() => setOtherGood(damaged.kernel, damaged.places, "b"), /slot b is damaged .* "slipway repair b"/);
  const empty = on({ state: "trial", tries: 3, imageId: null }, null);
  refuses(() => setOtherGood(empty.kernel, empty.places, "b"), /slot b is empty/);
  assert.is(slotState(empty.kernel, empty.places, "b"), "bad");
});

/** A slot of 4 MiB that slipway installed `image` to: its seal behind the data, its footer at the end. */
async function installed(image: ReturnType<typeof imageOf>): Promise<{ bytes: Uint8Array<ArrayBuffer>; rootHash: string }> {
  const { bytes: file, manifest } = await image;
  const layout = layoutOf(manifest);
  const bytes = new Uint8Array(4 * MiB);
  bytes.set(file.subarray(0, file.length - BLOCK));
  const seal = file.subarray(layout.sealOffset, file.length - BLOCK);
  const end = seal.indexOf(0);
  bytes.set(encodeFooter(footerOf(seal.subarray(0, end < 0 ? seal.length : end), layout.sealOffset)), bytes.length - BLOCK);
  return { bytes, rootHash: manifest.rootHash };
}

const lastBlock = (machine: TestMachine) =>
  withOpen(machine.kernel, "/dev/vda3", O.RDONLY, (fd) => machine.kernel.read(fd, BLOCK, BigInt(4 * MiB - BLOCK)));
const isZeroed = (machine: TestMachine) => lastBlock(machine).every((byte) => byte === 0);

test("the footer of the former image does not outlive it: what RAUC then writes is found", async () => {
  const former = await installed(
    imageOf(
      1,
      Array.from({ length: 40 }, (_, index) => index + 1),
    ),
  );
  const next = await imageOf(
    2,
    Array.from({ length: 90 }, (_, index) => index + 7),
  );
  const read = ({ kernel }: TestMachine) => readSlotImage(kernel, "/dev/vda3");
  const write = ({ kernel }: TestMachine, bytes: Uint8Array) =>
    withOpen(kernel, "/dev/vda3", O.RDWR, (fd) => kernel.write(fd, bytes, 0n));

  const careless = new TestMachine({ slotB: former.bytes });
  assert.is(read(careless).imageId, former.rootHash);
  write(careless, next.bytes);
  assert.is(read(careless).reading.is, "fault", "without the footer's end this test shows nothing");

  for (const begin of [
    (machine: TestMachine) => install(machine),
    async ({ kernel, places }: TestMachine) => setBad(kernel, places, "b").did,
  ]) {
    const machine = new TestMachine({ slotB: former.bytes });
    assert.match((await begin(machine)).join(" "), /The footer at the end of slot b is zeroed/);
    assert.ok(isZeroed(machine));
    assert.is(read(machine).imageId, former.rootHash, "what is there boots as before");
    write(machine, next.bytes);
    assert.is(read(machine).imageId, next.manifest.rootHash);
  }
});

test("a footer without which the image is not found stays, one that leads nowhere goes", async () => {
  const { bytes } = await installed(imageOf(1, [1, 2, 3]));
  const hidden = bytes.slice();
  hidden.fill(0, 1024, 1024 + 64);
  const machine = new TestMachine({ slotB: hidden });
  assert.match((await install(machine)).join(" "), /The footer at the end of slot b stays/);
  assert.not.ok(isZeroed(machine));
  const over = bytes.slice();
  over.set(
    filesystemOf(
      9,
      Array.from({ length: 30 }, (_, index) => index + 50),
    ),
  );
  const stale = new TestMachine({ slotB: over });
  await install(stale);
  assert.ok(isZeroed(stale));
  const torn = bytes.slice();
  torn[torn.length - BLOCK + 30] = (torn[torn.length - BLOCK + 30] ?? 0) ^ 1;
  const damaged = new TestMachine({ slotB: torn });
  await install(damaged);
  assert.ok(isZeroed(damaged));
});

test("a slot without a footer is not written to", async () => {
  const machine = new TestMachine();
  assert.equal(await install(machine), []);
  assert.not.match(machine.kernel.trace, /write\("\/dev\/vda3"/);
});

test("a slot that is in use, or cannot be written, is refused before RAUC does", async () => {
  const machine = new TestMachine();
  machine.kernel.failOn({ call: "open", match: /vda3.*RDWR/, code: "EBUSY" });
  await rejects(install(machine), /slot b: \/dev\/vda3 cannot be opened \(EBUSY\)/, Refusal);
  assert.is(machine.recordWrites, 0);
});

test("pre-install is refused where RAUC takes another device for a slot, or one that is not there", async () => {
  await rejects(
    install(new TestMachine(), environment("/dev/vda2")),
    /slot b is \/dev\/vda3 \(254:3\), and RAUC would write to \/dev\/vda2 \(254:2\)/,
    Refusal,
  );
  await rejects(install(new TestMachine(), environment("/dev/vda7")), /\/dev\/vda7 cannot be opened \(ENOENT\)/, Refusal);
  await rejects(install(new TestMachine(), environment("/dev/vda3", "B")), /no slot has the bootname "B"/, BadInput);
});

test("pre-install is refused while slipway installs", async () => {
  const machine = new TestMachine();
  const { kernel, places } = machine;
  const fd = kernel.open(places.installLock, O.RDWR | O.CREAT, { mode: 0o600 });
  assert.ok(kernel.lock(fd));
  kernel.write(fd, new TextEncoder().encode("slipway install (process 12)\n"), 0n);
  await rejects(install(machine), /slipway install \(process 12\) is under way/, Refusal);
  kernel.close(fd);
  await install(machine);
  assert.match(readText(kernel, places.installLock), /slipway rauc-backend/);
});

test("the handler's environment is RAUC's, and nothing else", () => {
  assert.equal(raucTargets(environment()), [{ bootname: "b", device: "/dev/vda3" }]);
  assert.equal(raucTargets({ RAUC_TARGET_SLOTS: "" }), []);
  refuses(() => raucTargets({}), /RAUC_TARGET_SLOTS is not in the environment; this is for RAUC/, BadInput);
  refuses(() => raucTargets({ RAUC_TARGET_SLOTS: "1" }), /RAUC_SLOT_BOOTNAME_1 is not in the environment/, BadInput);
  refuses(() => raucTargets({ RAUC_TARGET_SLOTS: "1", RAUC_SLOT_BOOTNAME_1: "a" }), /RAUC_SLOT_DEVICE_1/, BadInput);
});

test("a machine that slipway did not boot has no slot that runs", () => {
  const machine = new TestMachine({ report: report() });
  machine.kernel.remove(machine.places.report);
  refuses(() => currentSlot(machine.kernel, machine.places), /this machine was not booted by slipway/);
});

test("words that RAUC does not say are bad input", async () => {
  const run = (...words: string[]) => verb.run({}, words);
  await rejects(run("get-primry"), /"get-primry" is none of get-current, get-primary/, BadInput);
  await rejects(run("constructor"), /"constructor" is none of/, BadInput);
  await rejects(run("get-state"), /get-state takes BOOTNAME, got ""/, BadInput);
  await rejects(run("set-state", "b"), /set-state takes BOOTNAME good\|bad, got "b"/, BadInput);
  await rejects(run("set-state", "b", "fine"), /a slot's state is good or bad, not "fine"/, BadInput);
  await rejects(run("set-primary", "b", "good"), /set-primary takes BOOTNAME, got "b good"/, BadInput);
});

test.run();
