/** The verbs about state on a machine in memory: what reaches the disk, when power fails, and what is refused. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { journalText, readBoots, showLogs } from "../../init/commands/journal.ts";
import { rollback } from "../../init/commands/rollback.ts";
import { rollbackState } from "../../init/commands/rollback-state.ts";
import { collectState } from "../../init/commands/state/gc.ts";
import { listState } from "../../init/commands/state/list-facts.ts";
import { cancelReset, resetState } from "../../init/commands/state/reset.ts";
import { cancelRestore, restoreState } from "../../init/commands/state/restore.ts";
import { ageText, timeText } from "../../init/commands/text.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import { link } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { formatComplete, formatMeta, formatPin, formatStandIn } from "../../state-ops/layout.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { formatRequests, NO_REQUESTS, parseRequests } from "../../state-ops/requests.ts";
import {
  entry,
  IMAGE_A,
  IMAGE_B,
  type MachineOptions,
  NOW,
  record,
  report,
  slot,
  TestMachine,
  trialOfB,
} from "./commands-machine.ts";
import { controlFile } from "./golden-machine.ts";

function refuses(run: () => unknown, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof Refusal && words.test(error.message));
}

function generation(number: number, owner: string, parent: number | null = null, more: Tree = {}): Tree {
  const imageId = owner === "a" ? IMAGE_A : IMAGE_B;
  const meta = formatMeta({ schema: 1, number, parent, imageId, slot: owner, controlDigest: "sha256:c", attempt: number });
  return {
    "meta.json": meta,
    COMPLETE: formatComplete({ "meta.json": meta }),
    tree: { store: { file: "text" } },
    ovl: {},
    ...more,
  };
}

/** Slot a with generation 4; two failed tries of slot b, and one that is pinned. */
const data: Tree = {
  gens: {
    "000001": generation(1, "a"),
    "000002": generation(2, "b", 1),
    "000003": generation(3, "b", 1),
    "000004": generation(4, "a", 1),
    "000005": generation(5, "b", 4, { PINNED: formatPin({ reason: "left", attempt: 5 }) }),
    ".tmp-000006-attempt-6": { tree: {} },
  },
  slots: { a: link("../gens/000004") },
};

function machineWith(options: MachineOptions = {}): TestMachine {
  return new TestMachine({ data, root: { "usr/lib/slipway/control.json": controlFile().text }, ...options });
}

/** The data filesystem as the next boot finds it. */
function onData<Result>({ kernel }: TestMachine, look: (place: string) => Result): Result {
  kernel.plant("/", { seen: {} });
  kernel.mount("/dev/vda4", "/seen", "ext4", 0, "");
  try {
    return look("/seen");
  } finally {
    kernel.unmount("/seen", 2);
  }
}

const requestsOf = (machine: TestMachine) => onData(machine, (place) => machine.kernel.peek(`${place}/updater/requests.json`));
const generationsOf = (machine: TestMachine) =>
  onData(machine, (place) => [
    ...new Set(
      machine.kernel
        .list(place)
        .filter((path) => path.startsWith(`${place}/gens/`))
        .map((path) => path.split("/")[3] ?? ""),
    ),
  ]).sort();

/** The data filesystem after a power cut, as another kernel finds it. */
function afterwards<Result>(machine: TestMachine, look: (place: string, kernel: RecordingKernel) => Result): Result {
  const kernel = new RecordingKernel();
  kernel.addDevice(machine.dataDevice);
  kernel.plant("/", { seen: {} });
  kernel.mount("/dev/vda4", "/seen", "ext4", 0, "");
  return look("/seen", kernel);
}

/** Nothing stays open or mounted. */
function leavesNothing(machine: TestMachine, run: () => void): void {
  const before = { fds: machine.kernel.openDescriptors(), mounts: machine.kernel.mounts(), run: machine.kernel.list("/run") };
  run();
  const names = (paths: string[]) => paths.filter((path) => !path.endsWith("/lock"));
  assert.equal(machine.kernel.openDescriptors(), before.fds);
  assert.equal(machine.kernel.mounts(), before.mounts);
  assert.equal(names(machine.kernel.list("/run")), names(before.run));
}

test("a request is whole or not there, wherever the power fails", () => {
  const asked = formatRequests({ ...NO_REQUESTS, reset: { what: "stores", ids: ["var-lib-app"] } });
  const whole = machineWith();
  const before = whole.kernel.effects;
  resetState(whole.kernel, whole.places, { path: "/var/lib/app", identity: false });
  const effects = whole.kernel.effects - before;
  assert.is(requestsOf(whole), asked);
  assert.ok(effects > 8);
  for (const unsynced of ["kept", "lost"] as const) {
    for (let count = 0; count < effects; count++) {
      const machine = machineWith();
      machine.kernel.crashAfter(count, 3, unsynced);
      assert.throws(
        () => resetState(machine.kernel, machine.places, { path: "/var/lib/app", identity: false }),
        (error: unknown) => error instanceof PowerCut,
      );
      const found = afterwards(machine, (place, kernel) => kernel.peek(`${place}/updater/requests.json`));
      assert.ok(found === null || found === asked, `${found} after ${count} effects`);
    }
  }
});

test("nothing stays open or mounted, whatever a command comes to", () => {
  const machine = machineWith();
  const { kernel, places } = machine;
  leavesNothing(machine, () => resetState(kernel, places, { factory: true, identity: false }));
  leavesNothing(machine, () => cancelReset(kernel, places));
  leavesNothing(machine, () => collectState(kernel, places, { dryRun: false, spare: false, pinned: [], unpin: [] }));
  leavesNothing(machine, () => listState(kernel, places));
  leavesNothing(machine, () => refuses(() => resetState(kernel, places, { path: "/opt", identity: false }), /nothing is kept/));
  for (const [call, code] of [
    ["mount", "EIO"],
    ["makeDirectory", "EROFS"],
    ["rename", "EIO"],
    ["sync", "EIO"],
    ["privateMounts", "EPERM"],
  ] as const) {
    const failing = machineWith();
    failing.kernel.failOn({ call, match: call === "mount" ? /data-1/ : /./, code });
    leavesNothing(failing, () =>
      refuses(() => resetState(failing.kernel, failing.places, { path: "/etc", identity: false }), new RegExp(code)),
    );
    assert.is(requestsOf(failing), null, call);
  }
});

test("a full data filesystem refuses a request, and says what to do", () => {
  const machine = machineWith();
  machine.kernel.failOn({ call: "write", match: /requests\.json/, code: "ENOSPC" });
  refuses(() => resetState(machine.kernel, machine.places, { path: "/etc", identity: false }), /ENOSPC.*slipway state gc/);
});

test("a collection that is cut short takes nothing that is kept, and leaves no half of a generation", () => {
  const order = { dryRun: false, spare: false, pinned: [], unpin: [] };
  const whole = machineWith();
  const before = whole.kernel.effects;
  assert.equal(
    collectState(whole.kernel, whole.places, order).collected.map(({ number }) => number),
    ["000002"],
  );
  const effects = whole.kernel.effects - before;
  const kept = ["000001", "000003", "000004", "000005"];
  assert.equal(generationsOf(whole), kept);
  assert.ok(effects > 20);
  for (const unsynced of ["kept", "lost"] as const) {
    for (let count = 0; count < effects; count += 2) {
      const machine = machineWith();
      machine.kernel.crashAfter(count, 0, unsynced);
      assert.throws(
        () => collectState(machine.kernel, machine.places, order),
        (error: unknown) => error instanceof PowerCut,
      );
      afterwards(machine, (place, kernel) => {
        const left = new Set(kernel.list(`${place}/gens`).map((path) => path.split("/")[3] ?? ""));
        for (const name of kept)
          assert.is(kernel.peek(`${place}/gens/${name}/tree/store/file`), "text", `${name} after ${count} effects`);
        const half = left.has("000002") ? kernel.peek(`${place}/gens/000002/tree/store/file`) : "text";
        assert.is(half, "text", `after ${count} effects`);
      });
    }
  }
});

test("a collection is refused on trial, also where only the record says so", () => {
  const order = { dryRun: true, spare: false, pinned: [], unpin: [] };
  const trial = machineWith(trialOfB());
  refuses(() => collectState(trial.kernel, trial.places, order), /slot b is on trial/);
  const known = machineWith({ record: record({ slots: { a: slot({ state: "trial", priority: 2 }), b: slot() } }) });
  refuses(() => collectState(known.kernel, known.places, order), /slot a is on trial/);
  const none = machineWith({ report: report({ data: null }) });
  refuses(() => collectState(none.kernel, none.places, order), /no data filesystem/);
});

test("without a data filesystem the operators are listed all the same", () => {
  const degraded = [{ path: "/var/lib/app", reason: "no disk" }];
  const machine = machineWith({
    report: report({ data: null, generation: null, degraded, warnings: ["no data filesystem: gone"] }),
  });
  const list = listState(machine.kernel, machine.places);
  assert.is(list.data, null);
  assert.match(list.warnings.join(), /no data filesystem: gone/);
  assert.is(list.operators.find(({ path }) => path === "/var/lib/app")?.degraded, "no disk");
  assert.ok(list.operators.every(({ size }) => size === null));
});

test("what a rollback asked of the state is taken back where the record cannot be written", () => {
  const machine = machineWith();
  machine.kernel.failOn({ call: "write", match: /vda1/, code: "EIO" });
  assert.throws(() => rollback(machine.kernel, machine.places, "current"), /nothing was changed.*EIO/);
  assert.is(requestsOf(machine), null);
  const pending = { ...NO_REQUESTS, reset: { what: "stores" as const, ids: ["etc"] } };
  const other = machineWith({ data: { ...data, updater: { "requests.json": formatRequests(pending) } } });
  rollback(other.kernel, other.places, "current");
  assert.equal(
    parseRequests(requestsOf(other) ?? ""),
    { ...pending, carry: { slot: "b", generation: 4 } },
    "a reset stays asked for",
  );
});

test("a rollback without a look at the data filesystem is a rollback, with a warning", () => {
  const machine = machineWith({ report: report({ data: { device: "/dev/vda9", filesystem: "ext4", uuid: "x" } }) });
  const answer = rollback(machine.kernel, machine.places);
  assert.is(answer.slot, "b");
  assert.match(answer.warnings.join(), /how old the state is that comes back is not known: .*vda9/);
  refuses(() => rollback(machine.kernel, machine.places, "current"), /vda9/);
});

const day = 86_400_000;
const meta = { schema: 1 as const, number: 3, parent: 1, imageId: IMAGE_B, slot: "b", controlDigest: "c", attempt: 3 };
const facts = { pointers: { a: 4, b: 3 }, generations: [{ number: 3, complete: true, meta }] };
const at = (attempt: number, name: string, change: Partial<ReturnType<typeof entry>> = {}) =>
  entry(attempt, { slot: name, startedUnixMs: NOW - (10 - attempt) * day, ...change });

test("how old the state is that comes back", () => {
  const told = (journal: ReturnType<typeof at>[]) => rollbackState(facts, record(), journal, "b", NOW);
  const usual = told([at(7, "a"), at(5, "b"), at(6, "a")]);
  assert.equal([usual.generation, usual.leftUnixMs], ["000003", NOW - 4 * day]);
  assert.match(
    usual.story,
    /^Slot b's state is as it was left 4 days ago \(2025-12-28 00:01:00Z, when attempt 6 began\) \(generation 000003\)\.$/,
  );
  assert.match(
    told([at(7, "a"), at(6, "a")]).story,
    /before attempt 6, the oldest that the boot journal knows .*more than 4 days ago/,
  );
  assert.match(
    told([at(7, "a"), at(6, "b", { stage: "image" }), at(5, "a"), at(4, "b")]).story,
    /when attempt 5 began/,
    "a try that reached no state left none",
  );
  assert.match(told([]).story, /at a time that the boot journal does not know/);
  assert.match(told([at(5, "b"), at(6, "a", { startedUnixMs: 1000 })]).story, /at a time that no clock told/);
});

test("a slot without a sound state of its own begins with the committed one's", () => {
  const committed = { ...meta, number: 4, slot: "a", imageId: IMAGE_A };
  const both = { ...facts, generations: [...facts.generations, { number: 4, complete: true, meta: committed }] };
  const other = record({ slots: { a: slot({ priority: 2 }), b: slot({ imageId: "another" }) } });
  assert.match(
    rollbackState(both, other, [], "b", NOW).story,
    /no committed state of its own: it begins with a clone of the committed state, generation 000004/,
  );
  const trial = record({ slots: { a: slot({ priority: 2 }), b: slot({ state: "trial", imageId: IMAGE_B }) } });
  assert.is(rollbackState(both, trial, [], "b", NOW).generation, null);
  for (const broken of [
    { number: 3, complete: false, meta },
    { number: 3, complete: true, meta: null },
    { number: 3, complete: true, meta: { ...meta, slot: "a" } },
  ]) {
    assert.is(rollbackState({ ...facts, generations: [broken] }, record(), [], "b", NOW).generation, null);
  }
});

test("the boot journal is told with notes, newest first", () => {
  const machine = machineWith({
    journal: [entry(6, { outcome: "failed", reason: "no init", notes: ["/var is degraded"] }), entry(7)],
  });
  const boots = readBoots(machine.kernel, machine.places);
  assert.equal(
    boots.map(({ attempt }) => attempt),
    [7, 6],
  );
  const text = journalText(boots);
  assert.match(text, /^6 .* failed in the booted system: no init; \/var is degraded$/m);
  assert.is(journalText([]), "The boot journal is empty.");
});

test("logs of an attempt that is not there, or that nobody noted the boot id of", () => {
  const machine = machineWith({ journal: [entry(6), entry(7, { bootId: "0".repeat(32) })] });
  const places = { ...machine.places, journalctl: "/run/no-journalctl" };
  assert.throws(
    () => showLogs(machine.kernel, places, "5", false),
    (error: unknown) => error instanceof BadInput && /no attempt 5; it holds 6, 7/.test(error.message),
  );
  refuses(() => showLogs(machine.kernel, places, "6", false), /does not know the kernel's boot id of attempt 6/);
  refuses(
    () => showLogs(machine.kernel, places, "7", false),
    /no journalctl.*no operator of this image keeps anything below \/var\/log/,
  );
  refuses(
    () => showLogs(machine.kernel, { ...places, journalctl: "true" }, "7", false),
    /neither in the system's journal nor in a generation/,
  );
  const blind = machineWith({ report: report({ record: { condition: "unreadable", writable: false, device: null } }) });
  refuses(() => readBoots(blind.kernel, blind.places), /boot journal cannot be read: none was found at boot/);
});

test("times and ages", () => {
  assert.equal(
    [59_000, 60_000, 3_600_000, 7_200_000, day, 9 * day].map((ago) => ageText(NOW - ago, NOW)),
    ["just now", "1 minute ago", "1 hour ago", "2 hours ago", "1 day ago", "9 days ago"],
  );
  assert.equal([ageText(NOW + day, NOW), ageText(1000, NOW)], ["", ""], "a clock that went back, or was never set");
  assert.is(timeText(1000), "time unknown");
});

/** As {@link data}, and a recovery has set generation 4 aside. */
const recovered: Tree = {
  ...data,
  gens: {
    "000001": generation(1, "a"),
    "000002": { ...generation(2, "b", 1), COMPLETE: "damaged" },
    "000004": generation(4, "a", 1, {
      PINNED: formatPin({ reason: "set aside by recovery: slot a goes on", attempt: 7, by: "recovery" }),
    }),
    "000007": generation(7, "a", 1, { "STAND-IN": formatStandIn({ wish: "previous", of: 4 }) }),
  },
  slots: { a: link("../gens/000007") },
};
const afterRecovery = (change: MachineOptions = {}) =>
  machineWith({ data: recovered, report: report({ generation: "000007" }), ...change });

test("state restore asks for the state that a recovery set aside, and takes it back", () => {
  const machine = afterRecovery();
  const { kernel, places } = machine;
  const answer = restoreState(kernel, places, 4);
  assert.equal([answer.changed, answer.slot, answer.generation], [true, "a", "000004"]);
  assert.match(answer.pinned ?? "", /set aside by recovery/);
  assert.match(answer.next, /^reboot/);
  assert.equal(parseRequests(requestsOf(machine) ?? ""), { ...NO_REQUESTS, carry: { slot: "a", generation: 4 } });
  assert.is(restoreState(kernel, places, 4).changed, false, "twice changes nothing more");
  assert.is(cancelRestore(kernel, places).changed, true);
  assert.is(requestsOf(machine), null);
  assert.is(cancelRestore(kernel, places).changed, false);
});

test("state restore keeps a reset that was asked for", () => {
  const machine = afterRecovery();
  resetState(machine.kernel, machine.places, { path: "/etc", identity: false });
  const asked = restoreState(machine.kernel, machine.places, 1).requests;
  assert.equal(asked, { ...NO_REQUESTS, reset: { what: "stores", ids: ["etc"] }, carry: { slot: "a", generation: 1 } });
});

test("state restore in safe mode, which has no generation", () => {
  const machine = afterRecovery({ report: report({ generation: null }) });
  assert.is(restoreState(machine.kernel, machine.places, 7).generation, "000007");
});

test("state restore of what is not there, damaged, or runs: refused, and nothing is written", () => {
  const machine = afterRecovery();
  const { kernel, places } = machine;
  assert.throws(
    () => restoreState(kernel, places, 9),
    (error: unknown) =>
      error instanceof BadInput && /no generation 000009; there are: 000001, 000002, 000004, 000007/.test(error.message),
  );
  refuses(() => restoreState(kernel, places, 2), /000002 is damaged or incomplete/);
  refuses(() => restoreState(kernel, places, 7), /slot a runs with generation 000007/);
  assert.is(requestsOf(machine), null);
});

test("after a recovery: what it set aside is listed with the reason, and collected by its number only", () => {
  const machine = afterRecovery();
  const { kernel, places } = machine;
  const listed = listState(kernel, places).generations.find(({ number }) => number === "000004");
  assert.match(listed?.pinned ?? "", /set aside by recovery/);
  assert.is(listed?.fate, "kept");
  collectState(kernel, places, { dryRun: false, spare: true, pinned: [], unpin: [] });
  assert.ok(generationsOf(machine).includes("000004"));
  // While the system with the other state is not committed, this is the committed state.
  refuses(
    () => collectState(kernel, places, { dryRun: false, spare: true, pinned: [4], unpin: [] }),
    /the committed state, of slot a/,
  );
  const good = afterRecovery({ record: { ...record(), lastCommitted: { slot: "a", imageId: IMAGE_A, attempt: 7 } } });
  collectState(good.kernel, good.places, { dryRun: false, spare: false, pinned: [4], unpin: [] });
  assert.not(generationsOf(good).includes("000004"));
});

test.run();
