/** A Debian of the demo in a machine, and what its disk holds. */
import { mkdirSync } from "node:fs";
import * as assert from "uvu/assert";
import type { Status } from "../../../init/commands/status-shape.ts";
import { consoleWord } from "../../../qemu/architecture.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { GuestShell } from "../../../qemu/guest-shell.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../../qemu/machine.ts";
import type { MachineOptions } from "../../../qemu/machine-options.ts";
import { compileControl, madeOf } from "../../../qemu/product.ts";

export interface Debian {
  machine: Machine;
  shell: GuestShell;
  /** The disk it writes to: a path that works while this process lives. */
  disk: string;
}

export interface DebianOptions extends Partial<Omit<MachineOptions, "kernel" | "disks">> {
  initrd: string;
  /** Boots from a throw-away copy of this file. */
  copyOf?: string;
  /** Boots from this file itself. */
  disk?: string;
  /** Image files that the guest sees as /dev/vdb, /dev/vdc. */
  images?: string[];
}

/** Starts a machine with a disk whose Debian leaves a root shell on the console. Wait for it with `shell.ready()`. */
export async function startDebian(options: DebianOptions): Promise<Debian> {
  const { initrd, copyOf, images = [], append = "", ...rest } = options;
  const disk = options.disk ?? throwAwayCopy(copyOf ?? "");
  const { kernel } = await guestKernel();
  const machine = await startMachine({
    memoryMiB: 512,
    timeoutMs: 600_000,
    ...rest,
    kernel,
    initrd,
    append: `${consoleWord()} quiet ${append}`.trim(),
    disks: [{ file: disk }, ...images.map((file) => ({ file, readOnly: true }))],
  });
  return { machine, shell: new GuestShell(machine), disk };
}

/**
 * A control file for an initrd over images that were made with another system definition: of their own they need no more.
 * @param beside files that the definition names, by file name
 */
export async function initrdControl(system: string, beside: Record<string, string> = {}): Promise<string> {
  const directory = await madeOf("debian-control", [system, beside], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await compileControl(system, tree, `${aside}/control.json`, {}, beside);
  });
  return `${directory}/control.json`;
}

/** What `slipway status --json` says in the guest. */
export async function statusOf(shell: GuestShell): Promise<Status> {
  const status: Status = JSON.parse(await shell.must("slipway status --json"));
  return status;
}

/** Facts of the slot `name`. */
export function slotOf(status: Status, name: string): Status["slots"][number] {
  const slot = status.slots.find((candidate) => candidate.name === name);
  if (!slot) throw new Error(`slipway status tells of no slot ${name}`);
  return slot;
}

/** Waits until systemd has started everything, and asserts that `slot` runs, committed, with nothing failed. */
export async function committed(shell: GuestShell, slot: string): Promise<Status> {
  const { output } = await shell.run("systemctl is-system-running --wait; systemctl list-units --failed --plain --no-legend");
  assert.is(output, "running");
  assert.is(
    await shell.must("systemctl show --property=ActiveState,Result slipway-commit.service"),
    "Result=success\nActiveState=active",
  );
  const status = await statusOf(shell);
  assert.is(status.running.slot, slot);
  assert.is(status.running.uncommitted, false);
  assert.is(slotOf(status, slot).state, "committed");
  return status;
}

/** Reboots in an orderly way and waits for the shell. */
export async function reboot({ shell }: Debian): Promise<void> {
  shell.type("systemctl reboot");
  await shell.ready();
}

/** Switches the machine off in an orderly way. */
export async function powerOff({ machine, shell }: Debian): Promise<void> {
  shell.type("systemctl poweroff");
  const end = await machine.exited;
  assert.is(end.reason, "guest-shutdown", `the machine ended otherwise; see ${machine.log}`);
}

/** A health check that waits for /run/all-is-well, so that a trial lasts until somebody says that all is. */
export const waitingCheck = {
  "/usr/lib/systemd/system/waiting.service": `[Unit]
Description=Waits for the word that all is well
Before=boot-complete.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until test -e /run/all-is-well; do sleep 0.5; done'
[Install]
RequiredBy=boot-complete.target
`,
  "/usr/lib/systemd/system/boot-complete.target.d/waiting.conf": "[Unit]\nRequires=waiting.service\n",
};
