/** The commands and slots that are files, on real data filesystems: made, looked at, activated, listed, and never collected. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { activateSlot } from "../../init/commands/activate.ts";
import { type Machine, readMachine } from "../../init/commands/machine.ts";
import { openSlotPlace, openSlotTarget, withSlotPlace } from "../../init/commands/slot-place.ts";
import { collectState } from "../../init/commands/state/gc.ts";
import { listState } from "../../init/commands/state/list-facts.ts";
import { readStatus } from "../../init/commands/status-facts.ts";
import { statusText } from "../../init/commands/status-text.ts";
import { attachLoop } from "../../init/devices/loop.ts";
import { O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { readImageId } from "../../init/store/image-id.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { sampleOperator } from "../samples/operator.ts";
import { IMAGE_A, IMAGE_B, record, slot } from "../unit/commands-machine.ts";
import { controlFile, erofs, operators } from "../unit/golden-machine.ts";
import { StateMachine } from "./commands-machine.ts";
import { cleanUp, kernel, program } from "./state-machine.ts";

test.after(cleanUp);

const MiB = 1024 * 1024;
const image = "mkdir -p var/lib/app etc; echo x >var/lib/app/default";

function refuses(run: () => unknown, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof Refusal && words.test(error.message));
}

/** A machine whose slot a runs and is committed; b is a partition, c and d are files that nobody made yet. */
class FilesMachine extends StateMachine {
  constructor(type: DataFilesystem, size = 8 * MiB) {
    super({ type, operators: [...operators, sampleOperator("/srv", { state: "shared", reason: "r" })], image });
    this.declare(size);
    const slots = { a: slot({ priority: 4, tries: 9 }), b: slot({ imageId: IMAGE_B, priority: 3 }), c: empty(2), d: empty(1) };
    this.boot({ record: record({ slots, lastCommitted: { slot: "a", imageId: IMAGE_A } }) });
    this.declare(size);
  }

  /** The control file of the boot, with the data filesystem's own device. */
  declare(size: number): void {
    const { control } = controlFile();
    const slots = [...control.slots, { name: "c", file: "images/c.img", size }, { name: "d", file: "images/d.img", size }];
    const device = program("findmnt", "-n", "-o", "SOURCE", this.place);
    const data = { device, filesystem: this.type, whenReplaced: "refuse" as const, grow: false, create: false };
    writeFileSync(this.places.control, controlFile({ slots, data }).text);
  }

  get machine(): Machine {
    return readMachine(kernel, this.places);
  }
}

const empty = (priority: number) => slot({ state: "trial", tries: 3, imageId: null, priority });

/** Writes an image's first bytes, as converge would, by the path that it gets. */
function install(machine: Machine, name: string, tag: number): void {
  const target = openSlotTarget(kernel, machine, name);
  try {
    withOpen(kernel, target.path, O.RDWR, (fd) => {
      kernel.write(fd, erofs(tag), 0n);
      kernel.sync(fd);
    });
  } finally {
    target.close();
  }
}

for (const type of ["ext4", "xfs", "btrfs"] as const) {
  test(`${type}: a file is made by an install, seen by status, activated, and listed`, () => {
    const machine = new FilesMachine(type);
    try {
      const { places } = machine;
      const before = program("cat", "/proc/self/mounts");
      const [, , c] = readStatus(kernel, places).slots;
      assert.equal([c?.name, c?.device, c?.file, c?.state], ["c", null, "images/c.img", "empty"]);
      refuses(() => activateSlot(kernel, places, "c"), /slot c: images\/c\.img is not on the data filesystem: the slot is empty/);
      refuses(() => openSlotPlace(kernel, machine.machine, "c"), /slot c: .*is empty; install an image/);
      assert.equal(listState(kernel, places).slotFiles, [
        { file: "images/c.img", size: null, allocated: null, slot: "c" },
        { file: "images/d.img", size: null, allocated: null, slot: "d" },
      ]);

      openSlotTarget(kernel, machine.machine, "c").close();
      assert.is(
        withSlotPlace(kernel, machine.machine, "c", ({ path }) => readImageId(kernel, path)),
        null,
      );
      refuses(() => activateSlot(kernel, places, "c"), /slot c is empty: the first 68 KiB of images\/c\.img are zero/);
      install(machine.machine, "c", 3);
      assert.ok(readFileSync(`${machine.place}/images/c.img`).subarray(0, 65536).equals(erofs(3)));
      const answer = activateSlot(kernel, places, "c");
      assert.match(answer.did[0] ?? "", /^The next boot is slot c with image [0-9a-f]{12}, on trial with 3 tries/);

      const status = readStatus(kernel, places);
      assert.equal(status.next.slot, "c");
      assert.match(statusText(status, { colour: false, all: false }), /^c +images\/c\.img +[0-9a-f]{12} +trial +3 of 3/m);
      const [listed, missing] = listState(kernel, places).slotFiles;
      assert.equal([listed?.slot, listed?.size, missing?.file, missing?.size], ["c", 8 * MiB, "images/d.img", null]);
      assert.ok((listed?.allocated ?? 0) >= 8 * MiB);
      assert.is(program("cat", "/proc/self/mounts"), before, "nothing stays mounted");
      assert.equal(
        readdirSync("/run/slipway").filter((name) => /-\d+$/.test(name)),
        [],
      );
    } finally {
      machine.close();
    }
  });
}

test("a collection leaves images alone, also the ones that no slot is", () => {
  const machine = new FilesMachine("ext4");
  try {
    machine.generation(4, {}, "a");
    install(machine.machine, "c", 3);
    writeFileSync(`${machine.place}/images/other`, "x");
    collectState(kernel, machine.places, { dryRun: false, spare: true, pinned: [], unpin: [] });
    assert.equal(readdirSync(`${machine.place}/images`).sort(), ["c.img", "other"]);
    const other = listState(kernel, machine.places).slotFiles.find(({ file }) => file === "images/other");
    assert.equal([other?.slot, other?.size], [null, 1]);
  } finally {
    machine.close();
  }
});

test("no room for the file: refused, and the slot is as empty as before", () => {
  const machine = new FilesMachine("ext4", 512 * MiB);
  try {
    refuses(() => openSlotTarget(kernel, machine.machine, "c"), /slot c: images\/c\.img takes 512 MiB, .* MiB free; delete/);
    assert.equal(readdirSync(`${machine.place}/images`), []);
  } finally {
    machine.close();
  }
});

test("what a file takes is not there for the state's clone", () => {
  const machine = new FilesMachine("ext4", 24 * MiB);
  try {
    const generation = machine.generation(4, {}, "a");
    mkdirSync(`${generation}/tree/var-lib-app`, { recursive: true });
    writeFileSync(`${generation}/tree/var-lib-app/big`, Buffer.alloc(16 * MiB, 1));
    install(machine.machine, "c", 3);
    refuses(() => activateSlot(kernel, machine.places, "c"), /slot c is not activated: .*generation 000004/);
  } finally {
    machine.close();
  }
});

test("the running slot, and a file that is in use as a device, are no targets", () => {
  const machine = new FilesMachine("ext4");
  try {
    refuses(() => openSlotTarget(kernel, machine.machine, "a"), /slot a runs; name another one/);
    install(machine.machine, "d", 4);
    const file = kernel.open(`${machine.place}/images/d.img`, O.RDONLY);
    const { path, held } = attachLoop(kernel, file, "images/d.img");
    kernel.close(file);
    refuses(() => openSlotTarget(kernel, machine.machine, "d"), new RegExp(`images/d\\.img is in use as ${path}; unmount`));
    kernel.close(held);
    openSlotTarget(kernel, machine.machine, "d").close();
    machine.boot({ report: { slot: "c", slotDevice: path } });
    machine.declare(8 * MiB);
    refuses(() => openSlotTarget(kernel, machine.machine, "c"), /slot c runs/);
    assert.is(openSlotPlace(kernel, machine.machine, "c").path, path, "the running slot is its device");
  } finally {
    machine.close();
  }
});

test("a boot that needed no data filesystem: it is found all the same, unless it failed", () => {
  const machine = new FilesMachine("ext4");
  try {
    machine.boot({ report: { data: null, generation: null } });
    machine.declare(8 * MiB);
    install(machine.machine, "c", 3);
    assert.is(withSlotPlace(kernel, machine.machine, "c", ({ path }) => readImageId(kernel, path))?.length, 64);
    machine.boot({ report: { data: null, generation: null, warnings: ["no data filesystem: /dev/vda4 is damaged"] } });
    machine.declare(8 * MiB);
    refuses(() => openSlotTarget(kernel, machine.machine, "c"), /no data filesystem.*\/dev\/vda4 is damaged/);
    refuses(() => openSlotPlace(kernel, machine.machine, "c"), /\/dev\/vda4 is damaged/);
  } finally {
    machine.close();
  }
});

test.run();
