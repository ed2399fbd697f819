/** What the running system asked for, carried out by PID 1 whose power fails at every point. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { rollBack } from "../../boot/selection/running.ts";
import { O } from "../../init/kernel/constants.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { REQUESTS } from "../../state-ops/requests.ts";
import { cutEverywhere } from "./golden-cuts.ts";
import { image } from "./golden-machine.ts";
import { ask, DATA_AT, names, notesOf, put, text, updated, used, warningsOf, withData } from "./golden-state.ts";
import type { Boot } from "./golden-world.ts";

const [v1, v2] = [image(1), image(2)];
const at = DATA_AT;

const machineId = (boot: Boot) => boot.kernel.peek("/etc/machine-id");

test("reset of a store, cut at any effect: the store is new, the others as they were, and it is done once", async () => {
  const world = await used();
  const id = text(world, "shared/etc-machine\\x2did");
  ask(world, { reset: { what: "stores", ids: ["var-lib-app"] } });
  const cuts = await cutEverywhere(world, 256, async (where) => {
    const own = text(world, "gens/000001/tree/var-lib-app/own");
    assert.is(own, "written in a\n", `${where}: the former generation stays`);
    const next = await world.boot();
    assert.is(next.end, "exec /sbin/init", where);
    assert.is(next.kernel.peek("/var/lib/app/own"), null, `${where}: reset`);
    assert.is(next.kernel.peek("/var/lib/app/default"), "from image 1\n", `${where}: seeded anew`);
    assert.is(next.kernel.peek("/etc/hostname"), "gateway\n", `${where}: another store`);
    assert.is(machineId(next), id, where);
    assert.equal(names(world, REQUESTS.directory), [], `${where}: asked once`);
    assert.equal(names(world, "trash"), [], where);
  });
  const whole = await world.boot();
  assert.match(notesOf(whole), /^reset: \/var\/lib\/app begin anew$/);
  world.shutDown();
  put(world, "gens/000002/tree/var-lib-app/own", "after the reset\n");
  assert.is((await world.boot()).kernel.peek("/var/lib/app/own"), "after the reset\n");
  console.log(`${cuts} power cuts in a boot that resets a store`);
});

for (const identity of [false, true]) {
  test(`factory reset${identity ? " with identity" : ""}, cut at any effect: nothing of before is left`, async () => {
    const world = await updated();
    const id = text(world, "shared/etc-machine\\x2did");
    put(world, "shared/left-over", "of an image that is gone\n");
    ask(world, { reset: { what: "factory", identity } });
    const look = async (where: string) => {
      const next = await world.boot();
      assert.is(next.end, "exec /sbin/init", where);
      assert.is(next.root, "/dev/vda3", where);
      assert.is(next.kernel.peek("/var/lib/app/own"), null, where);
      assert.is(next.kernel.peek("/var/lib/app/default"), "from image 2\n", where);
      assert.is(next.kernel.peek("/etc/hostname"), null, where);
      assert.is(machineId(next) === id, !identity, `${where}: the machine's id`);
      assert.equal(names(world, "shared"), ["etc-machine\\x2did"], where);
      assert.is(names(world, "gens").length, 1, where);
      assert.equal(names(world, "slots"), ["b"], where);
      assert.equal([...names(world, REQUESTS.directory), ...names(world, "trash")], [], where);
    };
    const cuts = await cutEverywhere(world, 256, look, identity ? 7 : undefined);
    const whole = await world.boot();
    assert.match(notesOf(whole), identity ? /^factory reset: .*identity too$/ : /^factory reset: .*but for identity$/);
    console.log(`${cuts} power cuts in a factory reset`);
  });
}

test("rollback that carries the state, cut at any effect: the other slot has it, its own is kept and pinned", async () => {
  const world = await updated();
  world.change((record) => rollBack(record, "b", world.policy, "rolled back by operator").record);
  ask(world, { carry: { slot: "a", generation: 2 } });
  const cuts = await cutEverywhere(world, 256, async (where) => {
    assert.is(text(world, "gens/000001/tree/var-lib-app/own"), "written in a\n", where);
    assert.is(text(world, "gens/000002/tree/var-lib-app/own"), "written in b\n", where);
    const next = await world.boot();
    assert.is(next.root, "/dev/vda2", where);
    assert.is(next.kernel.peek("/var/lib/app/own"), "written in b\n", where);
    assert.match(text(world, "gens/000001/PINNED") ?? "", /slot a goes on with the state of generation 000002 instead/, where);
    assert.match(text(world, "gens/000002/PINNED") ?? "", /slot b, which was committed, was left for slot a/, where);
    assert.ok(names(world, "gens").length <= 4, `${where}: ${names(world, "gens")}`);
    assert.equal(names(world, REQUESTS.directory), [], where);
  });
  assert.match(notesOf(await world.boot()), /slot a goes on with the state of generation 000002 of slot b/);
  console.log(`${cuts} power cuts in a rollback that carries the state`);
});

test("a rollback without the state: the old one comes back, the other is pinned, and resumed when its image boots again", async () => {
  const world = await updated();
  const first = (slot: string) =>
    world.change((record) => {
      const slots = Object.entries(record.slots).map(([name, entry]) => [name, { ...entry, priority: name === slot ? 2 : 1 }]);
      return { ...record, slots: Object.fromEntries(slots) };
    });
  first("a");
  const back = await world.boot();
  assert.is(back.kernel.peek("/var/lib/app/own"), "written in a\n");
  assert.match(notesOf(back), /generation 000002 is kept: slot b, which was committed, was left for slot a/);
  world.commitAndShutDown("a", v1.id);
  first("b");
  const again = await world.boot();
  assert.is(again.kernel.peek("/var/lib/app/own"), "written in b\n");
  assert.is(text(world, "gens/000002/PINNED"), null, "it is a slot's own again");
  assert.match(text(world, "gens/000001/PINNED") ?? "", /slot a, which was committed, was left for slot b/);
});

test("reset where a new generation has no space: the store is emptied where it is", async () => {
  const world = await used();
  ask(world, { reset: { what: "stores", ids: ["var-lib-app"] } });
  const kernel = world.kernel();
  kernel.failOn({ call: "makeDirectory", match: /gens\/\.tmp-/, code: "ENOSPC" });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.is(boot.kernel.peek("/var/lib/app/own"), null);
  assert.is(boot.kernel.peek("/var/lib/app/default"), "from image 1\n");
  assert.is(boot.kernel.peek("/etc/hostname"), "gateway\n");
  assert.match(notesOf(boot), /reset without a new generation: there was no space/);
  assert.equal(names(world, "gens"), ["000001"]);
  assert.equal(names(world, REQUESTS.directory), []);
});

test("reset of a generation that cannot be cloned: the boot goes on, and is not asked for it again", async () => {
  const world = await used();
  withData(world, (kernel) =>
    kernel.setAttribute(`${at}/gens/000001/ovl/etc/upper/hostname`, "trusted.overlay.metacopy", Buffer.from("")),
  );
  ask(world, { reset: { what: "stores", ids: ["var-lib-app"] } });
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.is(boot.root, "/dev/vda2");
  assert.is(boot.kernel.peek("/var/lib/app/own"), null);
  assert.is(boot.kernel.peek("/etc/hostname"), "gateway\n");
  assert.match(notesOf(boot), /reset without a new generation: .*hostname.*foreign mount options/);
  assert.equal(names(world, REQUESTS.directory), []);
});

test("a mark that has no space at first is there before the pointer moves", async () => {
  const world = await updated();
  world.change((record) => rollBack(record, "b", world.policy, "rolled back by operator").record);
  ask(world, { carry: { slot: "a", generation: 2 } });
  const kernel = world.kernel();
  kernel.failOn({ call: "open", match: /000001.*PINNED/, code: "ENOSPC", times: 1 });
  const boot = await world.boot(kernel);
  assert.is(boot.kernel.peek("/var/lib/app/own"), "written in b\n");
  assert.match(text(world, "gens/000001/PINNED") ?? "", /slot a goes on with the state of generation 000002/);
});

test("a carry that has no space: the slot keeps its own, and says so", async () => {
  const world = await updated();
  world.change((record) => rollBack(record, "b", world.policy, "rolled back by operator").record);
  ask(world, { carry: { slot: "a", generation: 2 } });
  const kernel = world.kernel();
  kernel.failOn({ call: "makeDirectory", match: /gens\/\.tmp-/, code: "ENOSPC" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.is(boot.kernel.peek("/var/lib/app/own"), "written in a\n");
  assert.match(notesOf(boot), /the slot keeps its own state instead of that of generation 000002: there was no space/);
  assert.equal(names(world, REQUESTS.directory), []);
});

test("a trial without space for its clone fails cleanly: the committed slot boots with its state", async () => {
  const world = await used();
  world.installInB(v2);
  const kernel = world.kernel();
  kernel.failOn({ call: "makeDirectory", match: /gens\/\.tmp-.*tree/, code: "ENOSPC" });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.is(boot.kernel.peek("/var/lib/app/own"), "written in a\n");
  assert.match(boot.kernel.peek("/run/slipway/boot.json") ?? "", /"slot":"b","reason":"[^"]*ENOSPC/);
  assert.equal([...names(world, "gens"), ...names(world, "trash")], ["000001"]);
});

test("what cannot be moved away by a factory reset is told of, and does not keep the machine from booting", async () => {
  const world = await used();
  ask(world, { reset: { what: "factory", identity: true } });
  const kernel = world.kernel();
  kernel.failOn({ call: "rename", match: /trash/, code: "EPERM", times: 99 });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.match(
    warningsOf(boot),
    /generation gens\/000001 could not be deleted: .*EPERM.*shared\/etc-machine\\x2did could not be reset/,
  );
  assert.is(boot.kernel.peek("/var/lib/app/own"), null, "the slot has a new generation all the same");
});

test("a request for another slot is dropped with a note", async () => {
  const world = await used();
  ask(world, { carry: { slot: "b", generation: 1 } });
  const boot = await world.boot();
  assert.match(notesOf(boot), /goes on with generation 000001 was dropped: slot a boots/);
  assert.equal(names(world, REQUESTS.directory), []);
});

const damaged: Record<string, string> = {
  "no JSON": "reset everything",
  empty: "",
  "another schema": '{"schema":2,"reset":null,"carry":null}\n',
  "another key": '{"schema":1,"reset":null,"carry":null,"run":"/bin/sh"}\n',
  "a path for an id": '{"schema":1,"reset":{"what":"stores","ids":["../gens"]},"carry":null}\n',
  "a slot that is a path": '{"schema":1,"reset":null,"carry":{"slot":"../a","generation":1}}\n',
  "a generation below 1": '{"schema":1,"reset":null,"carry":{"slot":"a","generation":0}}\n',
  "longer than anybody writes": " ".repeat(65 * 1024),
};
for (const [name, content] of Object.entries(damaged)) {
  test(`requests that are ${name}: dropped with a warning, and the machine boots with its state`, async () => {
    const world = await used();
    ask(world, content);
    const boot = await world.boot();
    assert.is(boot.end, "exec /sbin/init");
    assert.match(
      warningsOf(boot),
      /updater\/requests\.json on the data filesystem asks for nothing that is known, and was dropped: /,
    );
    assert.is(boot.kernel.peek("/var/lib/app/own"), "written in a\n");
    assert.equal(names(world, REQUESTS.directory), []);
    assert.equal(
      JSON.parse((await world.boot()).kernel.peek("/run/slipway/boot.json") ?? "{}").warnings,
      [UNPROVEN],
      "asked once",
    );
  });
}

const hostile: Record<string, (kernel: RecordingKernel) => void> = {
  "a link to elsewhere": (kernel) => kernel.makeSymlink("/etc", `${at}/updater`),
  "a file": (kernel) => kernel.close(kernel.open(`${at}/updater`, O.CREAT | O.WRONLY)),
  "a directory with a link for the file": (kernel) => {
    kernel.makeDirectory(`${at}/updater`, 0o700);
    kernel.makeSymlink("../LAYOUT", `${at}/updater/requests.json`);
  },
  "a directory with a directory for the file": (kernel) => {
    kernel.makeDirectory(`${at}/updater`, 0o700);
    kernel.makeDirectory(`${at}/updater/requests.json`, 0o700);
  },
  "a directory with a fifo for the file": (kernel) => {
    kernel.makeDirectory(`${at}/updater`, 0o700);
    kernel.makeNode(`${at}/updater/requests.json`, "fifo", 0o600, { major: 0, minor: 0 });
  },
};
for (const [name, plant] of Object.entries(hostile)) {
  test(`updater is ${name}: moved away with a warning`, async () => {
    const world = await used();
    withData(world, plant);
    const boot = await world.boot();
    assert.is(boot.end, "exec /sbin/init");
    assert.match(warningsOf(boot), /was dropped/);
    assert.is(boot.kernel.peek("/var/lib/app/own"), "written in a\n");
    assert.equal(JSON.parse((await world.boot()).kernel.peek("/run/slipway/boot.json") ?? "{}").warnings, [UNPROVEN]);
  });
}

test.run();
