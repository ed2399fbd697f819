/** The verbs about state on real filesystems: what they tell, what they ask of the next boot, what they delete. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withBootLogs } from "../../init/commands/boot-logs.ts";
import { readMachine } from "../../init/commands/machine.ts";
import { rollback } from "../../init/commands/rollback.ts";
import { diffState, diffText } from "../../init/commands/state/diff.ts";
import { explainPath } from "../../init/commands/state/explain.ts";
import { type CollectOrder, collectState } from "../../init/commands/state/gc.ts";
import { listText } from "../../init/commands/state/list.ts";
import { listState } from "../../init/commands/state/list-facts.ts";
import { cancelReset, resetState } from "../../init/commands/state/reset.ts";
import { readStatus } from "../../init/commands/status-facts.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { parseRequests } from "../../state-ops/requests.ts";
import { sampleOperator } from "../samples/operator.ts";
import { entry, IMAGE_B, NOW, record, slot, trialOfB } from "../unit/commands-machine.ts";
import { StateMachine } from "./commands-machine.ts";
import { cleanUp, kernel, program } from "./state-machine.ts";

test.after(cleanUp);

const MiB = 1024 * 1024;
const overlayOptions = "index=off,metacopy=off,redirect_dir=off,xino=off";
const operators = [
  sampleOperator("/etc", { via: "overlay", merge: "keyed", origin: "base/etc.yaml:2" }),
  sampleOperator("/etc/machine-id", { state: "identity", seed: "none", kind: "file", generate: "machine-id" }),
  sampleOperator("/var", {}),
  sampleOperator("/var/lib/shared", { state: "shared", reason: "counts for every image" }),
  sampleOperator("/var/tmp", { state: "ephemeral", via: "tmpfs", seed: "none" }),
  sampleOperator("/var/fresh", { seed: "none" }),
].sort((left, right) => (left.path < right.path ? -1 : 1));

const image = `
  mkdir -p etc/dir etc/keep etc/other var/lib/shared var/lib/app var/tmp var/fresh
  echo shipped >etc/changed; echo shipped >etc/gone; echo shipped >etc/mode; echo shipped >etc/same; : >etc/machine-id
  echo inside >etc/dir/one; echo two >etc/dir/two; ln -s changed etc/link; echo x >etc/keep/x; echo file >etc/other/f
  echo app >var/lib/app/default; echo gone >var/lib/app/gone; echo hidden >var/lib/shared/hidden; ln -s a var/lib/link`;

function refuses(run: () => unknown, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof Refusal && words.test(error.message));
}

/** What was done to the state since it was laid. */
function use(machine: StateMachine, generation: string): void {
  const upper = `${generation}/ovl/etc/upper`;
  const work = `${machine.place}/work/a/etc`;
  for (const path of [upper, work]) mkdirSync(path, { recursive: true });
  const merged = `${machine.place}/../merged`;
  mkdirSync(merged, { recursive: true });
  kernel.mount(
    "overlay",
    merged,
    "overlay",
    0,
    `lowerdir=${machine.root}/etc,upperdir=${upper},workdir=${work},${overlayOptions}`,
  );
  program(
    "sh",
    "-ec",
    `cd ${merged}
    echo other >>changed; rm gone; chmod 600 mode; echo shipped >same.new; mv same.new same
    rm -r dir; mkdir dir; echo mine >dir/mine; rm link; ln -s same link; mkdir new; echo new >new/file
    rm -r keep; echo file >keep; echo f >>other/f; printf x >"$(printf 'odd\\377\\nname')"`,
  );
  kernel.unmount(merged, 0);
  program("cp", "-a", `${machine.root}/var`, `${generation}/tree/var`);
  program(
    "sh",
    "-ec",
    `cd ${generation}/tree/var
    rm lib/app/gone; echo more >>lib/app/default; mkdir lib/deep; head -c 3000000 /dev/urandom >lib/deep/big; ln lib/deep/big lib/deep/again
    rm lib/link; ln -s b lib/link; rm -r lib/shared/hidden; truncate -s 1G lib/sparse`,
  );
  mkdirSync(`${machine.place}/shared/var-lib-shared`, { recursive: true });
  program(
    "sh",
    "-ec",
    `cd ${machine.place}/shared; echo 1 >var-lib-shared/one; echo 2 >var-lib-shared/two
    echo 0123456789abcdef0123456789abcdef >etc-machine-id; mkdir former; echo left >former/file`,
  );
}

for (const type of ["ext4", "btrfs"] as const) {
  test(`${type}: explain, list, diff, reset, collection`, () => {
    const machine = new StateMachine({ type, operators, image });
    try {
      const generation = machine.generation(4, { parent: 1 }, "a");
      use(machine, generation);
      explains(machine);
      lists(machine);
      tellsWhatDiffers(machine);
      resets(machine);
      collects(machine);
      rollsBack(machine);
      assert.equal(
        readdirSync("/run/slipway").filter((name) => /-\d+$/.test(name)),
        [],
        "no directory of a mount is left",
      );
    } finally {
      machine.close();
    }
  });
}

function explains({ places }: StateMachine): void {
  const explained = explainPath(kernel, places, "/etc//hosts/");
  assert.is(explained.path, "/etc/hosts");
  assert.is(explained.store, "gens/000004/ovl/etc/upper/hosts");
  assert.is(explained.operator?.origin, "base/etc.yaml:2");
  assert.equal(explainPath(kernel, places, "/etc").ruledApart, [{ path: "/etc/machine-id", state: "identity" }]);
  symlinkSync("/etc", "/run/link");
  assert.is(explainPath(kernel, places, "/run/link/hosts").path, "/etc/hosts", "operators lie on real paths");
  assert.is(explainPath(kernel, places, "/run/link").path, "/run/link");
  assert.throws(() => explainPath(kernel, places, "/etc/../usr"), /not canonical/);
  assert.throws(
    () => explainPath(kernel, places, "etc"),
    (error: unknown) => error instanceof BadInput,
  );
  refuses(() => explainPath(kernel, { ...places, imageControl: "/run/none.json" }, "/etc"), /declares no state: .*ENOENT/);
  const broken = `${places.imageControl}.broken`;
  writeFileSync(broken, readFileSync(places.imageControl, "utf8").replace("acme", "acne"));
  refuses(() => explainPath(kernel, { ...places, imageControl: broken }, "/etc"), /digest/);
}

function lists({ places }: StateMachine): void {
  const list = listState(kernel, places);
  const found = (path: string) => list.operators.find((operator) => operator.path === path);
  assert.equal(
    list.operators.map(({ path, depth }) => `${depth} ${path}`),
    ["0 /etc", "1 /etc/machine-id", "0 /var", "1 /var/fresh", "1 /var/lib/shared", "1 /var/tmp"],
  );
  const size = found("/var")?.size;
  assert.is(size?.files, 5, "a file with two names is two files");
  assert.ok(size && size.bytes >= 3_000_000 && size.bytes < 6_000_000, `once, and without holes: ${size?.bytes}`);
  assert.is(found("/var/lib/shared")?.store, "shared/var-lib-shared");
  assert.is(found("/var/lib/shared")?.size?.files, 2);
  assert.is(found("/var/tmp")?.store, null);
  assert.is(found("/var/fresh")?.size, null, "not written yet");
  assert.equal(
    list.undeclared.map(({ store }) => store),
    ["shared/former"],
  );
  assert.equal(
    list.generations.map(({ number, fate, running }) => ({ number, fate, running })),
    [{ number: "000004", fate: "kept", running: true }],
  );
  assert.match(list.generations[0]?.why ?? "", /the committed state, of slot a/);
  assert.ok((list.generations[0]?.madeUnixMs ?? 0) > NOW);
  assert.ok(list.data && list.data.free > 0 && list.data.free < list.data.bytes);
  const text = listText(list, Date.now());
  assert.match(text, /^ {2}\/etc\/machine-id {2}identity/m);
  assert.match(text, /shared\/former/);
  assert.not.match(text, /undefined|null|NaN/);
}

function tellsWhatDiffers({ places }: StateMachine): void {
  const difference = diffState(kernel, places, null);
  const of = (path: string) => difference.operators.find((operator) => operator.path === path);
  const lines = (path: string) => (of(path)?.differences ?? []).map((found) => `${found.change} ${found.path}`);
  assert.equal(lines("/etc").sort(), [
    "added /etc/dir/mine",
    "added /etc/new",
    "added /etc/new/file",
    "added /etc/odd\\xff\\x0aname",
    "changed /etc/changed",
    "changed /etc/keep",
    "changed /etc/link",
    "changed /etc/other/f",
    "deleted /etc/dir/one",
    "deleted /etc/dir/two",
    "deleted /etc/gone",
    "metadata /etc/mode",
  ]);
  assert.equal(lines("/var"), [
    "changed /var/lib/app/default",
    "deleted /var/lib/app/gone",
    "added /var/lib/deep",
    "added /var/lib/deep/again",
    "added /var/lib/deep/big",
    "changed /var/lib/link",
    "added /var/lib/sparse",
  ]);
  assert.is(of("/var/lib/shared")?.compared, false);
  assert.is(of("/var/lib/shared")?.size?.files, 2);
  assert.is(of("/var/fresh")?.note, "nothing is kept there yet");
  assert.is(of("/var/tmp"), undefined);
  assert.match(diffState(kernel, places, "/var/tmp").operators[0]?.note ?? "", /in memory/);
  assert.equal(diffState(kernel, places, "/opt").operators, []);
  const below = diffState(kernel, places, "/etc/dir").operators;
  assert.equal(
    below.map(({ path, differences }) => [path, differences.length]),
    [["/etc", 3]],
  );
  const text = diffText(difference);
  assert.match(text, /^ {2}D \/etc\/gone$/m);
  assert.match(text, /odd\\xff\\x0aname$/m);
}

function resets(machine: StateMachine): void {
  const { places, place } = machine;
  const file = `${place}/updater/requests.json`;
  const answer = resetState(kernel, places, { path: "/var/lib/app", identity: false });
  assert.equal(
    answer.lost.map(({ path }) => path),
    ["/var", "/var/fresh", "/var/lib/shared"],
  );
  assert.match(answer.notes.join(), /\/var\/lib\/app lies in \/var, which begins anew as a whole/);
  assert.equal(parseRequests(readFileSync(file, "utf8")).reset, { what: "stores", ids: ["var", "var-fresh", "var-lib-shared"] });
  const more = resetState(kernel, places, { path: "/etc", identity: false });
  assert.equal(
    more.kept.map(({ path }) => path),
    ["/etc/machine-id"],
  );
  assert.equal(parseRequests(readFileSync(file, "utf8")).reset, {
    what: "stores",
    ids: ["etc", "var", "var-fresh", "var-lib-shared"],
  });
  assert.is(resetState(kernel, places, { path: "/etc", identity: false }).changed, false);
  assert.match(readStatus(kernel, places).pending.join(), /begins these stores anew: etc, var/);
  refuses(() => resetState(kernel, places, { path: "/etc/machine-id", identity: false }), /identity .* kept unless it is named/);
  refuses(() => resetState(kernel, places, { path: "/var/tmp/x", identity: false }), /ephemeral, and begins anew at every boot/);
  refuses(() => resetState(kernel, places, { path: "/opt", identity: false }), /as the image has it/);
  const all = resetState(kernel, places, { factory: true, identity: false });
  assert.equal(
    all.kept.map(({ path }) => path),
    ["/etc/machine-id"],
  );
  assert.equal(parseRequests(readFileSync(file, "utf8")).reset, { what: "factory", identity: false });
  assert.is(cancelReset(kernel, places).changed, true);
  assert.not(existsSync(file));
  assert.is(cancelReset(kernel, places).changed, false);
  writeFileSync(file, "{");
  assert.match(resetState(kernel, places, { path: "/etc", identity: true }).warnings.join(), /is lost: .*no JSON/);
  assert.equal(parseRequests(readFileSync(file, "utf8")).reset, { what: "stores", ids: ["etc", "etc-machine-id"] });
  rmSync(`${place}/updater`, { recursive: true });
  symlinkSync("/etc", `${place}/updater`);
  refuses(
    () => resetState(kernel, places, { factory: true, identity: true }),
    /cannot be written to the data filesystem .*(ELOOP|ENOTDIR)/,
  );
  rmSync(`${place}/updater`);
}

const plain: CollectOrder = { dryRun: false, spare: false, pinned: [], unpin: [] };

function collects(machine: StateMachine): void {
  const { places, place } = machine;
  machine.generation(1);
  for (const number of [2, 3]) {
    const path = machine.generation(number, { slot: "b", imageId: IMAGE_B, parent: 4 });
    program("sh", "-ec", `head -c ${4 * MiB} /dev/urandom >${path}/tree/big; ln -s /etc ${path}/tree/link`);
  }
  writeFileSync(`${machine.generation(5)}/PINNED`, "not even a pin");
  program("sh", "-ec", `cd ${place}; mkdir -p gens/.tmp-000009-x/tree trash/half; echo x >trash/half/file`);
  const there = () => readdirSync(`${place}/gens`).sort();
  const tried = collectState(kernel, places, { ...plain, dryRun: true });
  assert.equal(
    tried.collected.map(({ number }) => number),
    ["000002"],
  );
  assert.ok((tried.collected[0]?.bytes ?? 0) >= 4 * MiB);
  assert.equal(there(), [".tmp-000009-x", "000001", "000002", "000003", "000004", "000005"]);
  const trial = trialOfB();
  machine.boot({ record: trial.record, report: { slot: "b", trial: true }, uncommitted: true });
  refuses(() => collectState(kernel, places, plain), /slot b is on trial/);
  machine.boot({});
  const done = collectState(kernel, places, plain);
  assert.equal(
    done.collected.map(({ number }) => number),
    ["000002"],
  );
  assert.ok(done.freedBytes >= 3 * MiB, `${done.freedBytes} bytes`);
  assert.equal(
    done.kept.map(({ number }) => number),
    ["000001", "000003", "000004", "000005"],
  );
  assert.equal([there(), readdirSync(`${place}/trash`)], [["000001", "000003", "000004", "000005"], []]);
  assert.throws(
    () => collectState(kernel, places, { ...plain, pinned: [3] }),
    /nothing pins generation 000003; pinned are: 000005/,
  );
  assert.throws(() => collectState(kernel, places, { ...plain, unpin: [8] }), /there is no generation 000008/);
  writeFileSync(`${place}/gens/000004/PINNED`, "x");
  refuses(
    () => collectState(kernel, places, { ...plain, pinned: [4] }),
    /000004 cannot be deleted, pinned or not: the committed state/,
  );
  assert.equal(collectState(kernel, places, { ...plain, unpin: [4] }).unpinned, ["000004"]);
  assert.not(existsSync(`${place}/gens/000004/PINNED`));
  const spare = collectState(kernel, places, { ...plain, spare: true, pinned: [5] });
  assert.equal(spare.collected.map(({ number }) => number).sort(), ["000001", "000003", "000005"]);
  assert.equal(there(), ["000004"]);
  assert.ok(existsSync("/etc"), "no link was followed");
}

function rollsBack(machine: StateMachine): void {
  const { places, place } = machine;
  const boots = [entry(5, { slot: "b", imageId: IMAGE_B, stage: "good", outcome: "good" }), entry(6), entry(7)];
  machine.boot({ journal: boots });
  const without = rollback(kernel, places);
  assert.match(
    without.did.join(" "),
    /Slot b has no committed state of its own: it begins with a clone of the committed state, generation 000004/,
  );
  machine.generation(8, { slot: "b", imageId: IMAGE_B }, "b");
  machine.boot({ journal: boots });
  const old = rollback(kernel, places);
  assert.equal(old.state, { generation: "000008", leftUnixMs: boots[1]?.startedUnixMs, carried: null });
  assert.match(
    old.did.join(" "),
    /Slot b's state is as it was left \d+ (days|hours) ago \(.*Z, when attempt 6 began\) \(generation 000008\)/,
  );
  assert.not(existsSync(`${place}/updater/requests.json`));
  machine.boot({ journal: boots });
  const current = rollback(kernel, places, "current");
  assert.is(current.state?.carried, "000004");
  assert.equal(parseRequests(readFileSync(`${place}/updater/requests.json`, "utf8")).carry, { slot: "b", generation: 4 });
  machine.boot({ journal: boots });
  rollback(kernel, places);
  assert.not(existsSync(`${place}/updater/requests.json`), "the later word counts");
  machine.boot({ journal: boots, report: { data: null, generation: null } });
  refuses(() => rollback(kernel, places, "current"), /this boot has no generation of state/);
  assert.is(rollback(kernel, places).state, null);
  machine.boot({ record: record({ slots: { a: slot({ priority: 2 }), b: slot({ tries: 0, reason: "bad" }) } }) });
  refuses(() => rollback(kernel, places, "current"), /no other slot than a can boot/);
  assert.not(existsSync(`${place}/updater/requests.json`), "what is refused asks for nothing");
}

test("a hostile data filesystem leads nowhere else, and is told of as far as it can be read", () => {
  const machine = new StateMachine({ type: "ext4", operators, image });
  try {
    const { places, place } = machine;
    const generation = machine.generation(4, {}, "a");
    mkdirSync(`${generation}/tree/var`, { recursive: true });
    symlinkSync("/etc", `${generation}/ovl/etc`);
    // Too deep for one path.
    const half = Array(9).fill("x".repeat(250)).join("/");
    program(
      "sh",
      "-ec",
      `cd ${generation}/tree/var; mkdir tmp; ln -s /etc lib; mkfifo fresh; mkfifo pipe; mknod disk b 7 0
      mkdir -p one/${half} two/${half}; echo deep >two/${half}/file; top=$PWD; cd one/${half}; mv "$top/two" .`,
    );
    mkdirSync(`${generation}/PINNED`);
    symlinkSync("/etc/passwd", `${place}/shared/etc-machine-id`);
    symlinkSync("../../../../etc", `${place}/slots/b`);
    symlinkSync("/etc", `${place}/gens/000007`);
    const list = listState(kernel, places);
    const found = (path: string) => list.operators.find((operator) => operator.path === path);
    assert.is(found("/etc")?.size, null, "a link in the place of a store");
    assert.is(found("/etc/machine-id")?.size?.files, 1, "a link is a file like any other, and not what it points to");
    assert.match(found("/var")?.size?.unread.join() ?? "", /\(ENAMETOOLONG\)$/);
    assert.equal(
      list.generations.map(({ number, slot: owner, pinned }) => [number, owner, pinned === null]),
      [
        ["000004", "a", false],
        ["000007", null, true],
      ],
    );
    const difference = diffState(kernel, places, null);
    const of = (path: string) => difference.operators.find((operator) => operator.path === path);
    assert.match(of("/etc")?.note ?? "", /its store cannot be read: .*(ELOOP|ENOTDIR)/);
    const lines = (of("/var")?.differences ?? []).map((entry) => `${entry.change} ${entry.path} ${entry.kind}`);
    assert.ok(lines.includes("changed /var/lib symlink"), lines.slice(0, 5).join());
    assert.ok(lines.includes("added /var/disk block"));
    assert.ok(lines.includes("added /var/pipe fifo"));
    assert.not.ok(
      lines.some((line) => line.includes("passwd") || line.includes("/var/lib/")),
      "the link was not followed",
    );
    assert.ok((of("/var")?.unread.length ?? 0) > 0);
    machine.boot({ report: { generation: "000004" } });
    const kept = collectState(kernel, places, { ...plain, spare: true });
    assert.ok(existsSync("/etc/passwd"));
    assert.ok(kept.kept.some(({ number }) => number === "000004"));
    program("rm", "-rf", `${place}/gens`);
    symlinkSync("/etc", `${place}/gens`);
    assert.throws(() => collectState(kernel, places, plain), /ELOOP|ENOTDIR/);
    assert.ok(existsSync("/etc/passwd"));
  } finally {
    machine.close();
  }
});

test("the log of a failed boot is found in the generation that it left", () => {
  const machine = new StateMachine({ type: "xfs", operators, image });
  try {
    const { places } = machine;
    machine.generation(4, {}, "a");
    const failed = machine.generation(5, { slot: "b", imageId: IMAGE_B });
    mkdirSync(`${failed}/tree/var/log/journal`, { recursive: true });
    writeFileSync(`${failed}/tree/var/log/journal/boots`, "b".repeat(32));
    // Knows the boots that the file of its directory names.
    machine.journalctl(
      'for word; do v=$(echo "$word" | cut -d= -f2); case $word in --directory=*) d=$v;; _BOOT_ID=*) b=$v;; esac; done; grep -s "$b" "$d/boots"',
    );
    const found = (bootId: string) =>
      withBootLogs(kernel, places, readMachine(kernel, places), bootId, (logs) => logs?.from ?? null);
    assert.is(found("b".repeat(32)), "gens/000005/tree/var/log/journal");
    assert.is(found("c".repeat(32)), null);
    machine.journalctl("echo yes");
    assert.is(found("c".repeat(32)), "the system's journal");
    rmSync(places.journalctl);
    refuses(() => found("b".repeat(32)), /no journalctl.*logs that are kept are in \/var \(persistent\)/);
  } finally {
    machine.close();
  }
});

test.run();
