/** `npm run demo`: two Debian slots live through an update, a bad update and the way back, in a virtual machine. */
import { demoDisk, demoImage } from "../qemu/demo-machine.ts";
import { throwAwayCopy } from "../qemu/disks.ts";
import { GuestShell } from "../qemu/guest-shell.ts";
import { guestKernel } from "../qemu/kernel.ts";
import { type Machine, startMachine } from "../qemu/machine.ts";
import { initrdFor } from "../qemu/product.ts";
import type { TreeFiles } from "../qemu/tree.ts";

const usage = `npm run demo [-- --json]
  --json   one JSON object a line on standard output: step, ok, seconds (npm run -s demo -- --json)
Exit codes: 0 every step was seen to be true, 1 one was not, 2 wrong usage.`;

const system = `system: slipway-demo
slots:
  a: { device: PARTLABEL=root-a }
  b: { device: PARTLABEL=root-b }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
tries: { trial: 2, committed: 10 }
watchdog: { timeout: 20, after: systemd }
trust: unsigned
`;

/** Drivers of this machine, the filesystems of slots and data, and a watchdog in software. */
const modules = ["virtio_pci", "virtio_blk", "erofs", "ext4", "overlay", "softdog"];

/** A health check that ruins the state it finds and then hangs the machine for good: a crashed systemd freezes. */
const hangingVersion: TreeFiles = {
  "/usr/lib/systemd/system/demo-health.service": `[Unit]
Description=A health check that hangs the machine
Before=boot-complete.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo ruined by v3 > /var/lib/demo/notes; sync; echo "demo: v3 hangs" > /dev/console; kill -SEGV 1; sleep infinity'
`,
  "/usr/lib/systemd/system/boot-complete.target.d/demo-health.conf": "[Unit]\nRequires=demo-health.service\n",
};

class Untrue extends Error {}

function check(condition: boolean, what: string): void {
  if (!condition) throw new Untrue(what);
}

interface Told {
  step: string;
  ok: boolean;
  seconds: number;
}

/** Tells of each step with the time it took, for people or as JSON. */
class Teller {
  readonly told: Told[] = [];
  constructor(readonly json: boolean) {}

  async step<Result>(name: string, title: string, work: () => Promise<Result>): Promise<Result> {
    const began = performance.now();
    const tell = (ok: boolean, why = ""): void => {
      const seconds = Math.round((performance.now() - began) / 100) / 10;
      this.told.push({ step: name, ok, seconds });
      if (this.json) console.log(JSON.stringify({ step: name, ok, seconds }));
      else console.log(`${ok ? "ok  " : "FAIL"} ${seconds.toFixed(1).padStart(6)} s  ${title}${why === "" ? "" : `: ${why}`}`);
    };
    try {
      const result = await work();
      tell(true);
      return result;
    } catch (error) {
      tell(false, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }
}

interface StatusFacts {
  running: { slot: string; uncommitted: boolean };
  slots: { name: string; state: string; tries: number }[];
  rollback: { from: string } | null;
}

/** What `slipway status --json` says of the slots. */
async function status(shell: GuestShell): Promise<StatusFacts> {
  const facts: StatusFacts = JSON.parse(await shell.must("slipway status --json"));
  return facts;
}

/** Waits until the commit's unit has done its work. */
async function committed(shell: GuestShell, slot: string): Promise<void> {
  await shell.must("systemctl is-system-running --wait >/dev/null; systemctl is-active --quiet slipway-commit.service");
  const facts = await status(shell);
  check(facts.running.slot === slot, `slot ${facts.running.slot} runs, not ${slot}`);
  check(!facts.running.uncommitted, `slot ${slot} is still on trial`);
}

async function makeMachine(): Promise<Machine> {
  const v1 = await demoImage({ version: "v1", system });
  const v2 = await demoImage({ version: "v2", system });
  const v3 = await demoImage({ version: "v3", system, files: hangingVersion });
  const initrd = await initrdFor(v1.control, { modules });
  const disk = await demoDisk({ a: v1.image }, system);
  const { kernel } = await guestKernel();
  return startMachine({
    name: "demo",
    kernel,
    initrd,
    append: "console=ttyS0 quiet",
    memoryMiB: 512,
    disks: [{ file: throwAwayCopy(disk) }, { file: v2.image, readOnly: true }, { file: v3.image, readOnly: true }],
    timeoutMs: 600_000,
  });
}

async function tell(teller: Teller): Promise<void> {
  const machine = await teller.step("build", "Debian v1, v2 and v3, the initrd and a disk with v1 in slot a", makeMachine);
  const shell = new GuestShell(machine);
  try {
    await teller.step("first-boot", "v1 boots from slot a, on trial", async () => {
      await shell.ready();
      check((await status(shell)).running.slot === "a", "another slot runs");
    });
    await teller.step("commit-a", "v1 is committed, and writes some state", async () => {
      await committed(shell, "a");
      await shell.must("mkdir -p /var/lib/demo && echo written by v1 > /var/lib/demo/notes && sync");
    });
    await teller.step("install-b", "v2 is copied into slot b and activated", async () => {
      await shell.must("dd if=/dev/vdb of=/dev/disk/by-partlabel/root-b bs=1M conv=fsync status=none && slipway activate b");
      shell.type("systemctl reboot");
    });
    await teller.step("trial-b", "v2 boots from slot b, on trial, with a clone of v1's state", async () => {
      await shell.ready();
      check((await status(shell)).running.slot === "b", "slot b does not run");
      check((await shell.must("cat /var/lib/demo/notes")) === "written by v1", "the state of v1 is not there");
    });
    await teller.step("commit-b", "v2 is committed, and writes more state", async () => {
      await committed(shell, "b");
      await shell.must("echo written by v2 >> /var/lib/demo/notes && sync");
    });
    await teller.step("install-a", "v3, which hangs, is copied into slot a and activated", async () => {
      await shell.must("dd if=/dev/vdc of=/dev/disk/by-partlabel/root-a bs=1M conv=fsync status=none && slipway activate a");
      shell.type("systemctl reboot");
    });
    for (const attempt of [1, 2]) {
      await teller.step(
        `hang-${attempt}`,
        `v3 ruins the state and hangs (try ${attempt} of 2): the watchdog ends it`,
        async () => {
          await machine.expect("demo: v3 hangs", 120_000);
        },
      );
    }
    await teller.step("rollback", "the tries are used up: back on v2 in slot b, with its state", async () => {
      await shell.ready();
      check((await status(shell)).running.slot === "b", "slot b does not run");
      const notes = await shell.must("cat /var/lib/demo/notes");
      check(notes === "written by v1\nwritten by v2", `the state is "${notes}"`);
    });
    await teller.step("status", "slipway status tells the story", async () => {
      await committed(shell, "b");
      const facts = await status(shell);
      check(facts.rollback?.from === "a", "it tells of no rollback from slot a");
      check(facts.slots.find(({ name }) => name === "a")?.tries === 0, "slot a has tries left");
      if (!teller.json) console.log(`\n${await shell.must("slipway status")}\n`);
    });
  } finally {
    await machine.cutPower();
  }
}

async function main(words: string[]): Promise<number> {
  if (words.some((word) => word !== "--json")) {
    console.error(usage);
    return words.includes("--help") ? 0 : 2;
  }
  const teller = new Teller(words.includes("--json"));
  const began = performance.now();
  const done = await tell(teller).then(
    () => true,
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      return false;
    },
  );
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  if (!teller.json)
    console.log(done ? `Everything was seen to be true, in ${seconds} s.` : `Not everything was true (${seconds} s).`);
  return done ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
