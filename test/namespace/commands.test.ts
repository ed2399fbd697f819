/** The command line on the real kernel: /run/slipway in a mount namespace, a file as the boot record's partition. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { readImageId } from "../../init/store/image-id.ts";
import { entry, IMAGE_B, record, report, slot, trialOfB } from "../unit/commands-machine.ts";
import { controlFile, image } from "../unit/golden-machine.ts";

const project = join(import.meta.dirname, "../..");
mkdirSync(join(project, ".cache"), { recursive: true });
// Not on a tmpfs: older kernels have no O_DIRECT there.
const directory = mkdtempSync(join(project, ".cache/commands-"));
const shared = mkdtempSync("/dev/shm/slipway-commands-");
const device = join(directory, "record");
const run = join(directory, "run");
const kernel = linuxKernel();
test.after(() => {
  for (const path of [directory, shared]) rmSync(path, { recursive: true, force: true });
});

/** Lays out the machine of `trialOfB` or, without it, slot a running. */
function machine(trial: boolean): void {
  rmSync(run, { recursive: true, force: true });
  mkdirSync(run);
  const facts = trial ? trialOfB() : { record: record(), report: report(), journal: [entry(7)] };
  writeFileSync(device, "");
  truncateSync(device, RECORD_LAYOUT.minimumPartitionSize);
  const store = openBootRecord(kernel, device);
  store.write(facts.record);
  for (const attempt of facts.journal) store.appendJournal(attempt);
  store.close();
  const places = { record: { ...facts.report.record, device }, slotDevice: join(shared, facts.report.slot) };
  writeFileSync(join(run, "boot.json"), JSON.stringify({ ...facts.report, ...places }));
  const slots = ["a", "b"].map((name) => ({ name, device: join(shared, name) }));
  writeFileSync(join(run, "control.json"), controlFile({ slots }).text);
  if (trial) writeFileSync(join(run, "uncommitted"), "");
  writeFileSync(join(shared, "a"), image(1).head);
  writeFileSync(join(shared, "b"), image(2).head);
  writeFileSync(join(directory, "systemctl"), `#!/bin/sh\necho "$*" >>${directory}/systemctl.calls\n`);
  chmodSync(join(directory, "systemctl"), 0o755);
  writeFileSync(join(directory, "systemctl.calls"), "");
}

/** `slipway WORDS…` with our /run/slipway and our systemctl. */
function slipway(...words: string[]) {
  const script = `mount -t tmpfs none /run && mkdir /run/slipway && mount --bind ${run} /run/slipway && exec "$@"`;
  const program = [process.execPath, join(project, "init/main.ts"), ...words];
  const environment = { ...process.env, PATH: `${directory}:${process.env.PATH}`, NO_COLOR: "1" };
  const args = ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...program];
  const { status, stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8", env: environment });
  return { status, stdout, stderr };
}

function stored() {
  const store = openBootRecord(kernel, device);
  try {
    return store.read().record.record;
  } finally {
    store.close();
  }
}

test("mark-good commits, and status tells of it", () => {
  machine(true);
  const done = slipway("mark-good", "--json");
  assert.is(done.status, 0, done.stderr);
  assert.is(JSON.parse(done.stdout).schema, 1);
  assert.equal(stored()?.slots.b, slot({ priority: 2, imageId: IMAGE_B }));
  const status = JSON.parse(slipway("status", "--json").stdout);
  assert.is(status.running.uncommitted, false);
  assert.is(status.slots[1].state, "committed");
  const text = slipway("status");
  assert.is(text.status, 0);
  assert.match(text.stdout, /^Slot b runs, committed/);
  assert.match(text.stdout, /\nNext: nothing to do\.\n$/);
});

test("exit codes: bad input 2, refused 3, failed 1", () => {
  machine(true);
  assert.is(slipway("mark-bad", "c").status, 2);
  assert.is(slipway("mark-bad").status, 2);
  const refused = slipway("activate", "a");
  assert.is(refused.status, 3);
  assert.match(refused.stderr, /^slipway: the running slot b is on trial/);
  rmSync(join(run, "boot.json"));
  const foreign = slipway("status");
  assert.is(foreign.status, 3);
  assert.match(foreign.stderr, /not booted by slipway/);
});

test("rollback --reboot changes the record first, then asks systemd", () => {
  machine(false);
  const done = slipway("rollback", "--reboot");
  assert.is(done.status, 0, done.stderr);
  assert.match(done.stdout, /The next boot is slot b\./);
  assert.is(readFileSync(join(directory, "systemctl.calls"), "utf8"), "reboot\n");
  assert.is(stored()?.slots.b?.priority, 2);
});

test("activate reads the slot's image", () => {
  machine(false);
  const other = image(9).head;
  writeFileSync(join(shared, "b"), other);
  const done = slipway("activate", "b");
  assert.is(done.status, 0, done.stderr);
  assert.is(stored()?.slots.b?.imageId, readImageId(kernel, join(shared, "b")));
  assert.is(stored()?.slots.b?.state, "trial");
  machine(false);
  writeFileSync(join(shared, "b"), Buffer.alloc(65536));
  assert.is(slipway("activate", "b").status, 3);
});

test("shutdown-credit works without an answer of systemd", () => {
  machine(false);
  writeFileSync(join(directory, "systemctl"), "#!/bin/sh\nexit 1\n");
  const done = slipway("shutdown-credit");
  assert.is(done.status, 0, done.stderr);
  assert.match(done.stdout, /ended cleanly, without credit: systemd did not tell/);
  assert.is(stored()?.attempt?.cleanEnd, true);
});

test("the verbs about state refuse what they cannot do, and say how to ask", () => {
  machine(false);
  for (const [words, status, message] of [
    ["state reset", 2, /say what to reset: a PATH, or --factory for everything, or --cancel/],
    ["state reset /etc --factory", 2, /--factory begins everything anew; leave \/etc out/],
    ["state reset --cancel --identity", 2, /say it alone/],
    ["state reset etc", 2, /"etc" is not absolute/],
    ["state explain /a/../b", 2, /not canonical/],
    ["state explain", 2, /takes PATH, got ""/],
    ["state explain /etc", 3, /the running image declares no state: \/usr\/lib\/slipway\/control\.json cannot be read/],
    ["state gc --pinned x", 2, /"x" is no generation; "slipway state list" shows them/],
    ["state gc", 3, /\/dev\/vda4 cannot be read/],
    ["state erase", 2, /no verb "state erase"; known are: state explain/],
    ["rollback --state new", 2, /--state is old or current, not "new"/],
    ["rollback --state current", 3, /\/dev\/vda4 cannot be read/],
    ["journal 99", 2, /holds no attempt 99; it holds 7/],
    ["journal 7", 3, /does not know the kernel's boot id of attempt 7/],
  ] as const) {
    const said = slipway(...words.split(" "));
    assert.is(said.status, status, `${words}: ${said.stderr}`);
    assert.match(said.stderr, message, words);
    assert.is(said.stdout, "", words);
  }
  assert.equal(stored()?.slots, record().slots, "nothing was changed");
  const journal = JSON.parse(slipway("journal", "--json").stdout);
  assert.equal([journal.schema, journal.boots.length, journal.boots[0].attempt], [1, 1, 7]);
});

test("every verb explains itself", () => {
  for (const verb of [
    "status",
    "commit",
    "rollback",
    "mark-bad",
    "activate",
    "shutdown-credit",
    "trial-deadline",
    "trial-failed",
    "journal",
    "state explain",
    "state list",
    "state diff",
    "state reset",
    "state gc",
  ]) {
    const help = slipway(...verb.split(" "), "--help");
    assert.is(help.status, 0);
    assert.match(help.stdout, new RegExp(`^Usage: slipway ${verb}`));
  }
});

test.run();
