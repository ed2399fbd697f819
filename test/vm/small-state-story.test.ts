/**
 * An update and its way back, seen by the state: an image with busybox init and an inittab, without systemd, with fragments
 * of its own. v1 is committed; v2 changes everything and fails; later v2 is good, and somebody goes back all the same.
 */

import { mkdirSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { rollBack } from "../../boot/selection/running.ts";
import { raised, withSlot } from "../../boot/selection/slots.ts";
import { compileControl, madeOf } from "../../qemu/product.ts";
import { smallRootTree } from "../../qemu/roots.ts";
import { inspectData } from "./support/disk-file.ts";
import { changeRecord, commitOn, twoSlots } from "./support/record-on-disk.ts";
import { smallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine, type Told } from "./support/small-machine.ts";

const fragments = `package: small
operators:
  - { path: /etc, state: persistent, via: overlay, merge: keyed }
  - { path: /etc/machine-id, state: identity, via: bind, generate: machine-id, mode: "0444" }
  - { path: /etc/keys, state: identity, seed: none, mode: "0700" }
  - { path: /var, state: persistent, via: bind }
  - { path: /var/log, state: shared, via: bind, reason: the failed image's logs are read after a rollback }
  - { path: /var/cache, state: persistent, via: bind, cache: true }
  - { path: /home, state: persistent, via: bind, exclude: ["**/*.part"] }
  - { path: /tmp, state: ephemeral, mode: "1777", size: 16M, inodes: 1000 }
  - { path: /run/app, state: ephemeral, mode: "0711" }
`;

/** Where each boot appends the name of its image, and what it is called below. */
const places = {
  etc: "/etc",
  var: "/var/lib",
  home: "/home",
  cache: "/var/cache",
  shared: "/var/log",
  identity: "/etc/keys",
  tmp: "/tmp",
  run: "/run/app",
} as const;

const script = `facts=$(cat /etc/small-root/facts)
${Object.entries(places)
  .map(([name, path]) => `report ${name} cat ${path}/words; echo $facts >>${path}/words`)
  .join("\n")}
report id cat /etc/machine-id
report default cat /etc/default-of-image
report motd cat /etc/motd
report hostname hostname
report modes stat -c '%a %n' /etc/keys /tmp /run/app
report limits df -k /tmp
report part ls -1 /home
report ro sh -c 'echo x >/usr/written || echo refused'
report init readlink /proc/1/exe
touch /home/film.part
echo edited by $facts >/etc/motd
if [ $facts = v1 ]; then hostname of-v1; hostname >/etc/hostname; echo keep >/var/lib/of-v1; fi
if [ $facts = v2 ]; then rm -f /etc/hostname /var/lib/of-v1; chmod 700 /var/lib; fi
report kept ls -ld /var/lib
report of-v1 cat /var/lib/of-v1
sync
`;

const directories = ["etc/keys", "var/cache", "var/tmp"];
const system = smallSystem();

async function storyControl(): Promise<string> {
  const directory = await madeOf("story-control", [system, fragments], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await smallRootTree(tree, { facts: "none", ending: "power-off", init: "busybox", directories });
    await compileControl(system, tree, `${aside}/control.json`, { "small.yaml": fragments });
    rmSync(tree, { recursive: true });
  });
  return `${directory}/control.json`;
}

const control = await storyControl();
const image = (facts: string) => {
  const files = { "/etc/default-of-image": `default of ${facts}`, "/etc/motd": `motd of ${facts}` };
  return smallImage({ facts, inittab: true, script, directories, files }, control);
};
const machine = await smallMachine({ system, slots: { a: await image("v1"), b: await image("v2") } });

/** What the boot found in each place, before it wrote. */
function found(told: Told): Record<keyof typeof places, string> {
  const words = (name: string) => {
    const text = part(told, name);
    return /No such file/.test(text) ? "" : text.replaceAll("\n", " ");
  };
  return {
    etc: words("etc"),
    var: words("var"),
    home: words("home"),
    cache: words("cache"),
    shared: words("shared"),
    identity: words("identity"),
    tmp: words("tmp"),
    run: words("run"),
  };
}

const nothing = { etc: "", var: "", home: "", cache: "", shared: "", identity: "", tmp: "", run: "" };
let id = "";

/** Puts slot b on trial, with one try. */
function tryB(): void {
  const trial = { state: "trial" as const, tries: 1, reason: null, damaged: null };
  changeRecord(machine.disk, twoSlots, (record) => ({ ...raised(withSlot(record, "b", trial), "b"), quarantined: [] }));
}

test("v1 starts with busybox init and an inittab, on state as its own fragments say", async () => {
  const told = await boot(machine);
  assert.is(told.root, "v1");
  assert.equal(told.report.degraded, []);
  assert.equal(told.report.warnings, [UNPROVEN]);
  assert.equal(found(told), nothing);
  id = part(told, "id");
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.is(part(told, "init"), "/bin/busybox");
  assert.is(part(told, "hostname"), "small");
  assert.is(part(told, "modes"), "700 /etc/keys\n1777 /tmp\n711 /run/app");
  assert.match(part(told, "limits"), / 16384 /);
  assert.match(part(told, "ro"), /refused/);
  assert.is(part(told, "motd"), "motd of v1");
  commitOn(machine.disk, "a");
});

test("v2 starts on trial with a clone: what was not edited is its own, a cache and what is excluded are not there", async () => {
  tryB();
  const told = await boot(machine);
  assert.is(told.root, "v2");
  assert.is(told.report.trial, true);
  assert.equal(found(told), { ...nothing, etc: "v1", var: "v1", home: "v1", shared: "v1", identity: "v1" });
  assert.is(part(told, "id"), id);
  assert.is(part(told, "default"), "default of v2");
  assert.is(part(told, "motd"), "edited by v1");
  assert.is(part(told, "hostname"), "of-v1");
  assert.is(part(told, "part"), "words");
});

test("v2 failed: v1 has its persistent state as it left it, what is shared as v2 left it, nothing that is ephemeral", async () => {
  const told = await boot(machine);
  assert.is(told.root, "v1");
  assert.is(told.report.rollback?.from, "b");
  assert.is(told.report.generation, "000001");
  assert.equal(found(told), {
    ...nothing,
    etc: "v1",
    var: "v1",
    home: "v1",
    cache: "v1",
    shared: "v1 v2",
    identity: "v1 v2",
  });
  assert.is(part(told, "id"), id);
  assert.is(part(told, "default"), "default of v1");
  assert.is(part(told, "motd"), "edited by v1");
  assert.is(part(told, "hostname"), "of-v1");
  assert.is(part(told, "of-v1"), "keep");
  assert.match(part(told, "kept"), /^drwxr-xr-x/);
  assert.is(part(told, "part"), "film.part\nwords");
});

test("v2 is tried again, from a fresh clone of what v1 has now, and is committed", async () => {
  tryB();
  const told = await boot(machine);
  assert.is(told.root, "v2");
  const twice = "v1 v1";
  assert.equal(found(told), { ...nothing, etc: twice, var: twice, home: twice, shared: "v1 v2 v1", identity: "v1 v2 v1" });
  commitOn(machine.disk, "b");
});

test("and all the same somebody goes back to v1: its old state is there, and v2's is kept beside it", async () => {
  changeRecord(machine.disk, twoSlots, (record) => rollBack(record, "b", twoSlots, "rolled back by operator").record);
  const told = await boot(machine);
  assert.is(told.root, "v1");
  assert.is(told.report.generation, "000001");
  const twice = "v1 v1";
  const shared = "v1 v2 v1 v2";
  assert.equal(found(told), { ...nothing, etc: twice, var: twice, home: twice, cache: twice, shared, identity: shared });
  assert.is(part(told, "id"), id);
  const pointer = await inspectData(machine.disk, "stat /slots/b");
  const generation = /Fast link dest: "\.\.\/(gens\/\d{6})"/.exec(pointer)?.[1];
  assert.is(await inspectData(machine.disk, `cat /${generation}/tree/home/words`), "v1\nv1\nv2\n");
});

test.run();
