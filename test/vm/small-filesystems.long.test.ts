/** Roots on each filesystem, state on each filesystem: slots are never written, state stays. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Filesystem } from "../../qemu/images.ts";
import { runProgram } from "../../qemu/program.ts";
import { readMounts } from "./support/mounts.ts";
import { hashOf } from "./support/record-on-disk.ts";
import { type SmallImage, smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, type SmallMachine, smallMachine, type Told } from "./support/small-machine.ts";

const places = ["/etc", "/var/lib", "/home"];
const script = `report kept cat ${places.map((place) => `${place}/kept`).join(" ")}
for place in ${places.join(" ")}; do echo $(cat /etc/small-root/facts) >>$place/kept; done
report id cat /etc/machine-id
report passwd cat /etc/passwd
report slot sh -c 'echo x >/usr/lib/x'
sync
`;

const journaled: Filesystem[] = ["ext4", "xfs", "btrfs"];

/** Ends in a hang, so that the test cuts the power and the data filesystem's journal has to be replayed at the next boot. */
const root = (filesystem: Filesystem): SmallImage => ({
  facts: filesystem,
  ending: "hang",
  filesystem,
  script,
  ...(journaled.includes(filesystem) ? { dirty: true } : {}),
});

/** Boots the slot `name`, which must stay as it is, byte for byte. */
async function bootSlot(machine: SmallMachine, name: string, filesystem: Filesystem): Promise<Told> {
  const before = hashOf(machine.disk, `root-${name}`);
  const told = await boot(machine, { append: `slipway.slot=${name}` });
  assert.is(hashOf(machine.disk, `root-${name}`), before, `slot ${name} was written`);
  assert.is(told.report.slot, name);
  const mount = readMounts(part(told, "mounts")).find(({ path }) => path === "/");
  assert.is(mount?.type, filesystem);
  assert.ok(mount?.options.includes("ro"));
  assert.match(part(told, "slot"), /Read-only file system/);
  assert.equal(told.report.degraded, []);
  assert.match(part(told, "id"), /^[0-9a-f]{32}$/);
  assert.match(part(told, "passwd"), /^root:x:0:0:/);
  return told;
}

/** Boots two slots one after the other, with a power cut between: the second goes on with the state of the first. */
async function bootTwo(
  machine: SmallMachine,
  data: Filesystem,
  slots: [[string, Filesystem], [string, Filesystem]],
): Promise<string> {
  const [firstName, firstRoot] = slots[0];
  const [secondName, secondRoot] = slots[1];
  const first = await bootSlot(machine, firstName, firstRoot);
  assert.match(part(first, "kept"), /No such file/);
  const second = await bootSlot(machine, secondName, secondRoot);
  assert.equal(part(second, "kept").split("\n"), [firstRoot, firstRoot, firstRoot]);
  assert.is(part(second, "id"), part(first, "id"), "the machine keeps its id");
  for (const told of [first, second]) {
    const mounts = readMounts(part(told, "mounts"));
    assert.is(mounts.find(({ path }) => path === "/home")?.type, data);
    assert.is(mounts.find(({ path }) => path === "/etc")?.type, "overlay");
  }
  return part(first, "id");
}

const ids = new Set<string>();

test("the journals of the images for ext4, xfs and btrfs wait to be replayed", async () => {
  const control = await smallControl(smallSystem());
  const [ext4 = "", xfs = "", btrfs = ""] = await Promise.all(journaled.map((name) => smallImage(root(name), control)));
  assert.match(await runProgram("dumpe2fs", ["-h", ext4]), /needs_recovery/);
  assert.match(await runProgram("xfs_logprint", ["-t", xfs]), /state: <DIRTY>/);
  assert.match(await runProgram("btrfs", ["inspect-internal", "dump-super", btrfs]), /^log_root\s+[1-9]/m);
});

test("roots on erofs and ext4, data on ext4", async () => {
  const machine = await smallMachine({ system: smallSystem(["a", "b"], "ext4"), slots: { a: root("erofs"), b: root("ext4") } });
  ids.add(
    await bootTwo(machine, "ext4", [
      ["a", "erofs"],
      ["b", "ext4"],
    ]),
  );
});

test("roots on squashfs and xfs, data on xfs", async () => {
  const slots = { a: root("squashfs"), b: root("xfs") };
  const machine = await smallMachine({ system: smallSystem(["a", "b"], "xfs"), slots, size: "1300M" });
  ids.add(
    await bootTwo(machine, "xfs", [
      ["a", "squashfs"],
      ["b", "xfs"],
    ]),
  );
});

test("root on btrfs, data on btrfs, the same slot twice", async () => {
  const machine = await smallMachine({ system: smallSystem(["a"], "btrfs"), slots: { a: root("btrfs") }, size: "600M" });
  ids.add(
    await bootTwo(machine, "btrfs", [
      ["a", "btrfs"],
      ["a", "btrfs"],
    ]),
  );
});

test("each machine has an id of its own", () => {
  assert.is(ids.size, 3);
});

test.run();
