/** install --kexec and activate --kexec: what is loaded, from where, and what is refused. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Answer } from "../../init/commands/answer.ts";
import { finishByKexec, loadFromSlot, refuseTwoWays, requireKexec } from "../../init/commands/kexec.ts";
import { file as memoryFile, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { Ended } from "../../init/kernel/recording/script.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { bzImage, initrd } from "../samples/kernel-file.ts";
import { type MachineOptions, TestMachine } from "./commands-machine.ts";
import { controlFile, image } from "./golden-machine.ts";
import { flip, layout, sealed, signedControl, stranger } from "./sealed-world.ts";

const directory = "usr/lib/modules/6.6.0-own";
const files = (ruling: Partial<ControlFile> = {}): Tree => ({
  [`${directory}/vmlinuz`]: memoryFile(bzImage("6.6.0-own", "#7")),
  [`${directory}/initramfs.img`]: memoryFile(initrd(controlFile(ruling).text)),
});

/** A machine whose slot b holds an image with those files. */
function machine(tree: Tree, options: MachineOptions = {}): TestMachine {
  const made = new TestMachine({ treeB: image(2, tree).tree, ...options });
  made.kernel.plant("/proc", { cmdline: "BOOT_IMAGE=/vmlinuz quiet slipway.slot=a\n" });
  made.kernel.plant("/dev", { mapper: {} });
  return made;
}

const load = ({ kernel, places }: TestMachine) => loadFromSlot(kernel, places, "b");

/** The refusal of a load. */
async function refused(made: TestMachine): Promise<string> {
  try {
    await load(made);
  } catch (error) {
    assert.instance(error, Refusal);
    assert.is(made.kernel.loadedKexec, null);
    assert.equal(
      made.kernel.mounts().filter((line) => line.includes("image-")),
      [],
      "nothing stays mounted",
    );
    return error instanceof Error ? error.message : "";
  }
  return "nothing";
}

test("the slot's kernel and initrd are loaded, with this boot's command line but for what the loader said", async () => {
  const made = machine(files());
  assert.is(await load(made), "6.6.0-own");
  assert.is(made.kernel.loadedKexec?.commandLine, "quiet panic=10 slipway.slot=b");
  assert.match(made.kernel.loadedKexec?.kernel ?? "", /image-1\/usr\/lib\/modules\/6\.6\.0-own\/vmlinuz$/);
  assert.equal(
    made.kernel.mounts().filter((line) => line.includes("image-")),
    [],
  );
});

test("where images are signed they are read through dm-verity, which goes again", async () => {
  const b = await sealed(2, { tree: files(signedControl()) });
  const made = machine({}, { slotB: b.head, treeB: b.tree, control: signedControl() });
  assert.is(await load(made), "6.6.0-own");
  assert.match(made.kernel.trace, /mount\("\/dev\/dm-0", ".*image-1", "erofs"/);
  assert.match(made.kernel.trace, /slipway-b-kexec/);
  assert.match(made.kernel.trace, /DM_DEV_REMOVE/);
});

test("an image that is not signed as this machine asks for, or differs from its tree, is not looked into", async () => {
  const by = async (change: Parameters<typeof sealed>[1]) => {
    const b = await sealed(2, { tree: files(signedControl()), ...change });
    return refused(machine({}, { slotB: b.head, treeB: b.tree, control: signedControl() }));
  };
  assert.match(await by({ keys: [stranger] }), /signed by 0 trusted keys/);
  assert.match(await by({ manifest: { system: "other" } }), /is for the system other/);
  assert.match(await by({ spoil: (bytes) => flip(bytes, layout.treeOffset) }), /differs from its hash tree/);
  assert.match(await refused(machine(files(), { control: signedControl() })), /no sealed image/);
});

test("without a kernel, without an initrd, with another policy", async () => {
  assert.match(await refused(machine({})), /slot b: the image has no kernel of its own at \/usr\/lib\/modules\/VERSION/);
  const { [`${directory}/initramfs.img`]: _, ...plain } = files();
  assert.match(await refused(machine(plain)), /has no .*initramfs\.img for its kernel/);
  assert.match(await refused(machine(files({ deviceTimeout: 5 }))), /says something else of device-timeout than/);
  const delegated = machine(files({ deviceTimeout: 5 }), { control: { delegate: true } });
  assert.is(await load(delegated), "6.6.0-own");
});

test("a command line that kexec does not take is told with its length", async () => {
  const made = machine(files());
  made.kernel.plant("/proc", { cmdline: `quiet ${"x".repeat(2000)}\n` });
  assert.match(await refused(made), /^the command line for it has 2030 bytes, kexec takes 2016: shorten/);
});

for (const code of ["EKEYREJECTED", "ENOMEM", "EIO"]) {
  test(`${code}: what was done stands, and is told before`, async () => {
    const made = machine(files());
    made.kernel.failOn({ call: "loadKexec", code });
    const answer: Answer = { slot: "b", changed: true, did: ["installed"], warnings: [], next: "reboot to go to slot b." };
    const told: Answer[] = [];
    await assertRejects(
      () => finishByKexec(made.kernel, made.places, answer, (shown) => told.push(shown)),
      new RegExp(`^--kexec: .*\\(${code}\\); what was done stands: reboot to go to slot b\\.$`),
    );
    assert.equal(told, [answer]);
    assert.equal(made.systemctlCalls, []);
  });
}

async function assertRejects(work: () => Promise<unknown>, text: RegExp): Promise<void> {
  const error: unknown = await work().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, Refusal);
  assert.match(error instanceof Error ? error.message : "", text);
}

const answer: Answer = { slot: "b", changed: true, did: [], warnings: [], next: "reboot." };

test("systemd shuts down for it; where it does not, the kernel is forgotten and that is an error", async () => {
  const takes = machine(files(), { systemctl: "exit 0" });
  const told: Answer[] = [];
  assert.is(await finishByKexec(takes.kernel, takes.places, answer, (shown) => told.push(shown)), 0);
  assert.equal(takes.systemctlCalls, ["kexec"]);
  assert.is(told[0]?.next, "wait: the kernel 6.6.0-own in slot b starts once this system is down.");
  const refuses = machine(files());
  const error: unknown = await finishByKexec(refuses.kernel, refuses.places, answer, () => {}).catch((thrown: unknown) => thrown);
  assert.match(
    error instanceof Error ? error.message : "",
    /the kernel was loaded, but systemd did not take the kexec, so it is forgotten; reboot/,
  );
  assert.is(refuses.kernel.loadedKexec, null);
});

test("a system without systemd goes down at once", async () => {
  const made = machine(files());
  const places = { ...made.places, systemctl: "/nowhere/systemctl" };
  const ended: unknown = await finishByKexec(made.kernel, places, answer, () => {}).catch((thrown: unknown) => thrown);
  assert.instance(ended, Ended);
  assert.match(made.kernel.trace, /reboot\("kexec"\)\s*$/);
});

test("a kernel that starts no other is found out before anything is changed", () => {
  for (const code of ["ENOSYS", "EPERM"]) {
    const made = machine(files());
    made.kernel.failOn({ call: "loadKexec", code });
    assert.throws(
      () => requireKexec(made.kernel),
      (error: unknown) => error instanceof Refusal && /nothing was changed: take --reboot$/.test(error.message),
    );
  }
  requireKexec(machine(files()).kernel); // EBADF: it would
  assert.throws(
    () => refuseTwoWays({ reboot: true, kexec: true }),
    (error: unknown) => error instanceof BadInput,
  );
  refuseTwoWays({ reboot: false, kexec: true });
});

test.run();
