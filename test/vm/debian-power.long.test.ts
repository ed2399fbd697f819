/** Power cuts at random moments of a trial's boot, of its commit and of the shutdown. SLIPWAY_SEED repeats a run. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { demoDisk, demoImage } from "../../qemu/demo-machine.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { initrdFor } from "../../qemu/product.ts";
import { randomNumbers } from "../samples/random.ts";
import { committed, type Debian, powerOff, startDebian, statusOf } from "./support/debian.ts";
import { checkData, inspectData, recordOn } from "./support/disk-file.ts";

const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
const cuts = 20;

/** v2 writes to its state at every boot. */
const unit = `[Unit]
Description=Writes to the state
Before=boot-complete.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo written in b >> /var/lib/notes; sync; echo STATE WRITTEN > /dev/console'
ExecStop=/bin/sh -c 'echo written in b >> /var/lib/notes'
`;
const v1 = await demoImage({ version: "v1" });
const v2 = await demoImage({
  version: "v2",
  files: {
    "/usr/lib/systemd/system/writer.service": unit,
    "/usr/lib/systemd/system/boot-complete.target.d/writer.conf": "[Unit]\nRequires=writer.service\n",
  },
});
const initrd = await initrdFor(v1.control);

/** Moments of a trial's life: from a mark on the console, up to so many milliseconds later. */
const phases: { name: string; reach(debian: Debian): Promise<unknown>; span: number }[] = [
  { name: "boot", reach: ({ machine }) => machine.expect("Run /init as init process", 60_000), span: 20_000 },
  { name: "commit", reach: ({ machine }) => machine.expect("STATE WRITTEN", 120_000), span: 15_000 },
  { name: "shutdown", reach: shutDown, span: 6_000 },
];

async function shutDown({ shell }: Debian): Promise<void> {
  await shell.ready();
  await committed(shell, "b");
  shell.type("systemctl reboot");
}

let prepared = "";

test.before(async () => {
  console.log(`seed ${seed}`);
  const debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image, b: v2.image }) });
  try {
    await debian.shell.ready();
    await committed(debian.shell, "a");
    await debian.shell.must("echo written in a > /var/lib/notes && slipway activate b");
    await powerOff(debian);
    prepared = debian.disk;
  } finally {
    await debian.machine.cutPower();
  }
});

/** What a slot's own state must look like: a's is what it was, b's may have grown. */
const notesOf: Record<string, RegExp> = { a: /^written in a$/, b: /^written in a(\nwritten in b)+$/ };

async function checkAfterwards(disk: string): Promise<string> {
  const { reading } = recordOn(disk);
  assert.is(reading.condition, "valid");
  assert.is(reading.record?.slots.a?.state, "committed");
  assert.ok((reading.record?.slots.a?.tries ?? 0) > 0);
  const bWasCommitted = reading.record?.slots.b?.state === "committed";
  const debian = await startDebian({ initrd, disk });
  const { shell } = debian;
  try {
    await shell.ready();
    const { slot } = (await statusOf(shell)).running;
    // Tries are left and nothing failed: the trial goes on, a commit stays.
    assert.is(slot, "b");
    const status = await committed(shell, slot);
    // What the shutdown appended and nobody synced may be zeros: ext4 commits a file's new size before such data.
    assert.match(await shell.must("tr -d '\\000' < /var/lib/notes"), notesOf[slot] ?? /^$/);
    assert.equal(status.degraded, []);
    await powerOff(debian);
  } finally {
    await debian.machine.cutPower();
  }
  await checkData(disk);
  assert.match((await inspectData(disk, "cat /slots/a/ovl/var/upper/lib/notes")).trim(), notesOf.a ?? /^$/);
  const after = recordOn(disk).reading.record;
  assert.equal([after?.slots.a?.state, after?.slots.b?.state], ["committed", "committed"]);
  return bWasCommitted ? "committed" : "on trial";
}

const random = randomNumbers(seed);

for (let index = 0; index < cuts; index++) {
  const phase = phases[index % phases.length];
  if (!phase) break;
  const afterMs = Math.round(random() * phase.span);
  test(`a power cut ${afterMs} ms after the mark of "${phase.name}" (seed ${seed}, cut ${index + 1})`, async () => {
    const disk = throwAwayCopy(prepared);
    const debian = await startDebian({ initrd, disk, append: phase.name === "boot" ? "ignore_loglevel" : "" });
    try {
      await phase.reach(debian);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
    } finally {
      await debian.machine.cutPower();
    }
    const found = await checkAfterwards(disk);
    console.log(`  cut in "${phase.name}" after ${afterMs} ms: b was ${found}`);
  });
}

test.run();
