import { stripVTControlCharacters } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readStatus } from "../../init/commands/status-facts.ts";
import { statusText } from "../../init/commands/status-text.ts";
import type { ControlFile, ControlTrust } from "../../state-ops/control.ts";
import { formatPin } from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { formatRequests } from "../../state-ops/requests.ts";
import { matchesGolden } from "../golden.ts";
import { sampleOperator } from "../samples/operator.ts";
import { entry, IMAGE_A, IMAGE_B, type MachineOptions, record, report, slot, TestMachine, trialOfB } from "./commands-machine.ts";
import { controlFile } from "./golden-machine.ts";

function statusOf(options: MachineOptions) {
  const machine = new TestMachine(options);
  return readStatus(machine.kernel, machine.places);
}

function golden(name: string, options: MachineOptions): void {
  test(`status: ${name}`, () => {
    matchesGolden(`status-${name.replaceAll(" ", "-")}`, `${statusText(statusOf(options), { colour: false, all: false })}\n`);
  });
}

const safeStep = { rung: "safe-mode", slot: "a", imageId: IMAGE_A } as const;
const toldStep = { slot: "a", startMs: 2000, lengthMs: 4200, installed: null, networkBytes: 0, writtenBytes: 0 } as const;

const watchdog = (identity: string, state: string) => ({
  "class/watchdog/watchdog0": { identity: `${identity}\n`, state: `${state}\n` },
});

const tries = (reason: string) =>
  [4, 5, 6].map((attempt) => entry(attempt, { slot: "b", imageId: IMAGE_B, trial: true, outcome: "unclean", reason }));

const rolledBack: MachineOptions = {
  record: record({
    slots: {
      a: slot({ priority: 1 }),
      b: slot({ state: "trial", priority: 2, tries: 0, imageId: IMAGE_B, reason: "trial used up without a commit" }),
    },
    uncleanEnds: 3,
  }),
  report: report({
    skipped: [{ slot: "b", reason: "trial used up without a commit" }],
    rollback: { from: "b", imageId: IMAGE_B, reason: "trial used up without a commit", attempt: 6, startedUnixMs: null },
  }),
  journal: [
    entry(3, { outcome: "good", stage: "good", reason: "shut down cleanly" }),
    ...tries("no clean shutdown was seen after stage handover (power cut, hang or crash)"),
    entry(7, { outcome: "good", stage: "good" }),
  ],
};

golden("good", {
  record: record({ slots: { a: slot({ priority: 2 }), b: slot({ imageId: IMAGE_B }) } }),
  journal: [
    entry(5, { outcome: "good", stage: "good", reason: "shut down cleanly" }),
    entry(6, { outcome: "good", stage: "good" }),
    entry(7, { outcome: "good", stage: "good" }),
  ],
  control: { watchdog: { timeout: 30, after: "systemd" } },
  sys: watchdog("iTCO_wdt", "active"),
});
golden("trial", {
  ...trialOfB(),
  control: { watchdog: { timeout: 30, after: "systemd" } },
  sys: watchdog("Software Watchdog", "active"),
});
golden("trial degraded", {
  ...trialOfB([{ path: "/var", reason: "no partition labelled sys-data after 30 s" }]),
  control: { watchdog: { timeout: 30, after: "stop" } },
  sys: watchdog("i6300ESB timer", "inactive"),
});
golden("rolled back", rolledBack);
const operatorLeft = entry(6, { slot: "b", imageId: IMAGE_B, outcome: "good", reason: "rolled back by operator, to slot a" });
const leftByOperator = {
  from: "b",
  imageId: IMAGE_B,
  reason: "rolled back by operator, to slot a",
  attempt: 6,
  startedUnixMs: operatorLeft.startedUnixMs,
};

golden("state to tell of", {
  report: report({
    stateNotes: ["generation 000003 is kept: slot b, which was committed, was left for slot a"],
    rollback: leftByOperator,
  }),
  journal: [operatorLeft, entry(7)],
  data: {
    gens: { "000003": { PINNED: formatPin({ reason: "slot b, which was committed, was left for slot a", attempt: 7 }) } },
    updater: {
      "requests.json": formatRequests({
        schema: 1,
        reset: { what: "stores", ids: ["etc", "var-lib-app"] },
        carry: { slot: "b", generation: 4 },
      }),
    },
  },
});
golden("pending trial", {
  record: record({
    slots: { a: slot({ priority: 1, tries: 10 }), b: slot({ state: "trial", priority: 2, tries: 3, imageId: IMAGE_B }) },
  }),
  control: { watchdog: { timeout: 30, after: "keep" } },
});
golden("damaged and no fallback", {
  record: record({
    slots: {
      a: slot({ priority: 2 }),
      b: slot({ imageId: IMAGE_B, damaged: "mount /dev/vda3 as erofs: EINVAL" }),
      c: slot({ state: "empty", priority: 3, tries: 0, imageId: null }),
    },
  }),
  report: report({ warnings: ['unknown word "slipway.slott=b" on the kernel command line'] }),
  control: {
    slots: ["a", "b", "c"].map((name) => ({ name, device: `PARTLABEL=root-${name}` })),
    watchdog: { timeout: 30, after: "systemd" },
  },
});
golden("safe mode", {
  record: record({
    slots: { a: slot({ priority: 2, tries: 0 }), b: slot({ tries: 0, imageId: IMAGE_B, damaged: "block 7 is not the image's" }) },
    recovery: { asked: null, tried: [safeStep], current: safeStep },
  }),
  report: report({
    recovery: {
      asked: null,
      rung: "safe-mode",
      steps: [
        { ...toldStep, rung: "previous-generation", outcome: "failed", reason: "ended uncleanly in the booted system" },
        { ...toldStep, rung: "safe-mode", outcome: "booted", reason: "its own state did not boot" },
      ],
      network: null,
      reportedTo: null,
    },
  }),
  uncommitted: true,
  control: { recovery: DEFAULT_RECOVERY },
});
golden("recovered", {
  ...trialOfB(),
  report: report({
    ...trialOfB().report,
    recovery: {
      asked: "slipway.recover",
      rung: "reinstall",
      steps: [
        { ...toldStep, rung: "repair", slot: null, outcome: "passed", reason: "nothing to repair", lengthMs: 20 },
        {
          ...toldStep,
          rung: "reinstall",
          slot: "b",
          outcome: "booted",
          reason: "image 2.1 of the channel stable",
          installed: { version: "2.1", imageId: IMAGE_B, source: "https://updates.example/stable", place: "mirror" },
          networkBytes: 52_428_800,
          writtenBytes: 104_857_600,
        },
      ],
      network: { link: "eth0", by: "DHCP", addresses: ["10.0.2.15/24"] },
      reportedTo: "https://fleet.example/recoveries",
    },
  }),
  control: { recovery: DEFAULT_RECOVERY },
});
golden("recovery asked for", {
  record: record({ recovery: { asked: "repair", tried: [], current: null } }),
  control: { recovery: DEFAULT_RECOVERY },
});
golden("record lost", {
  record: null,
  report: report({
    record: { condition: "unreadable", writable: false, device: null },
    warnings: ["boot record unreadable (no device): slots are tried in order, as trials"],
  }),
});

test("the JSON says the same, with all attempts", () => {
  const status = statusOf(rolledBack);
  assert.is(status.schema, 1);
  assert.equal(status.running, {
    slot: "a",
    device: "/dev/vda2",
    imageId: IMAGE_A,
    attempt: 7,
    why: "first of the slots that can boot (committed, 10 of 10 tries left)",
    uncommitted: false,
  });
  assert.equal(status.slots[1], {
    name: "b",
    device: "/dev/vda3",
    file: null,
    imageId: IMAGE_B,
    version: null,
    state: "trial",
    tries: 0,
    triesOf: 3,
    priority: 2,
    running: false,
    next: false,
    givenUp: "trial used up without a commit",
    reason: "trial used up without a commit",
  });
  assert.is(status.rollback?.from, "b");
  assert.equal(status.rollback?.attempts, [4, 5, 6]);
  assert.equal(
    status.boots.map((boot) => boot.attempt),
    [7, 6, 5, 4, 3],
  );
  assert.is(status.next.slot, "a");
  assert.equal(Object.keys(JSON.parse(JSON.stringify(status))).sort(), [
    "bootloader",
    "boots",
    "degraded",
    "generation",
    "next",
    "nextStep",
    "pending",
    "pendingTrial",
    "pinned",
    "record",
    "recovery",
    "requests",
    "rollback",
    "running",
    "schema",
    "slots",
    "stateNotes",
    "trialDeadline",
    "trust",
    "warnings",
    "watchdog",
  ]);
});

test("what an operator rolled back from has not failed", () => {
  const status = statusOf({ journal: [operatorLeft, entry(7)], report: report({ rollback: leftByOperator }) });
  assert.is(status.rollback?.from, "b");
  assert.is(status.rollback?.imageId, IMAGE_B);
  assert.is(status.rollback?.leftUnixMs, operatorLeft.startedUnixMs);
  assert.is(status.nextStep, "nothing to do.");
});

test("requests and pins that cannot be looked at are a warning", () => {
  const status = statusOf({ report: report({ data: { device: "/dev/vda9", filesystem: "ext4", uuid: "x" } }) });
  assert.equal(status.pinned, []);
  assert.match(
    status.warnings.join(),
    /pending requests and pinned generations are not known: \/dev\/vda9 cannot be read \(ENOENT\)/,
  );
  const damaged = statusOf({ data: { updater: { "requests.json": "{" } } });
  assert.is(damaged.requests, null);
  assert.match(damaged.warnings.join(), /requests\.json on the data filesystem: requests\.json is no JSON/);
});

test("only the last attempts are shown, and all on request", () => {
  const journal = Array.from({ length: 20 }, (_, index) => entry(index + 1, { outcome: "good", reason: "shut down cleanly" }));
  const status = statusOf({ journal, report: report({ attempt: 20 }) });
  assert.match(statusText(status, { colour: false, all: false }), /and 12 before; see slipway status --all/);
  const all = statusText(status, { colour: false, all: true });
  assert.is(all.split("\n").filter((line) => /^ {2}\d+ /.test(line)).length, 20);
});

test("colours only change colours", () => {
  const status = statusOf(rolledBack);
  const coloured = statusText(status, { colour: true, all: false });
  assert.ok(coloured.includes("\u001b[32mcommitted\u001b[0m"));
  assert.is(stripVTControlCharacters(coloured), statusText(status, { colour: false, all: false }));
});

test("status changes nothing and takes no lock", () => {
  const machine = new TestMachine(rolledBack);
  readStatus(machine.kernel, machine.places);
  // The data filesystem is looked at where nobody else sees it.
  const place =
    /^(unshare\(mounts\)|(mkdir|rmdir|umount)\("\/run\/slipway\/data-1".*|mount\("\/dev\/vda4", "\/run\/slipway\/data-1".*|)$/;
  assert.equal(
    machine.kernel.trace.split("\n").filter((line) => !place.test(line)),
    [],
  );
  const none = new TestMachine({ ...rolledBack, report: report({ data: null }) });
  readStatus(none.kernel, none.places);
  assert.is(none.kernel.trace, "");
});

test("a machine that slipway did not boot has no status", () => {
  const machine = new TestMachine();
  assert.throws(
    () => readStatus(machine.kernel, { ...machine.places, report: "/run/none.json" }),
    (error: unknown) => error instanceof Refusal && /not booted by slipway/.test(error.message),
  );
});

test("status tells of what the image's control file says otherwise than the initrd's, but for what it rules itself", () => {
  const warnings = (inImage: Partial<ControlFile>) =>
    statusOf({
      control: { tries: { trial: 3, committed: 10 }, operators: [] },
      root: { "usr/lib/slipway/control.json": controlFile(inImage).text },
    }).warnings;
  const same = { tries: { trial: 3, committed: 10 } };
  assert.equal(warnings({ ...same, operators: [sampleOperator("/var")] }), []);
  assert.equal(warnings({ tries: { trial: 5, committed: 10 }, trialDeadline: 77 }), [
    "the image's control file says otherwise than the initrd's of trial-deadline, tries: the initrd's holds; build and install the initrd anew if the image's is meant",
  ]);
});

const floor: ControlTrust = {
  mode: "signed",
  keys: ["ab".repeat(32)],
  threshold: 1,
  rollbackFloor: 1,
  kernelSignature: "ignored",
};

golden("signed", {
  record: record({
    slots: { a: slot({ priority: 2, rollbackIndex: 7 }), b: slot({ imageId: IMAGE_B, rollbackIndex: 5 }) },
    floors: { install: 7, boot: 4 },
    quarantined: [{ imageId: "cd".repeat(32), reason: "trial used up without a commit", attempt: 4 }],
  }),
  report: report({
    proof: "signed",
    signers: ["ef".repeat(32)],
    image: {
      ...{ system: "acme-gateway", version: "2026.11", rootHash: IMAGE_A, filesystemSize: 8192, salt: "00" },
      ...{ rollbackIndex: 7, revokesBelow: null },
    },
  }),
  control: { trust: floor },
  sys: { "firmware/efi/efivars": { "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": "\u0006\0\0\0\u0001" } },
});

test("what the loader covers: Secure Boot, and a unified kernel image", () => {
  const variable = (value: string) => `\u0006\0\0\0${value}`;
  const loaderOf = (variables: Record<string, string>) => statusOf({ sys: { "firmware/efi/efivars": variables } }).trust.loader;
  const secure = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  const stub = "StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
  const off = loaderOf({ [secure]: variable("\0") });
  assert.equal([off.firmware, off.secureBoot, off.unifiedImage], ["uefi", false, false]);
  assert.match(off.summary, /^Secure Boot is off: whoever writes the boot partition can replace kernel/);
  assert.match(loaderOf({ [secure]: variable("\u0001") }).summary, /outside of it: no unified kernel image was started$/);
  const covered = loaderOf({ [secure]: variable("\u0001"), [stub]: variable("systemd-stub 252") });
  assert.equal([covered.firmware, covered.secureBoot, covered.unifiedImage], ["uefi", true, true]);
  assert.match(covered.summary, /covers kernel, initrd, control file and command line: a unified kernel image$/);
  const none = loaderOf({});
  assert.equal([none.firmware, none.secureBoot], ["other", null]);
  assert.is(loaderOf({ [secure]: "" }).secureBoot, false, "a variable without a value");
});

test.run();
