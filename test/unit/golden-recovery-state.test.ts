/** What recoveries make of the state, by the real sequence on a recording kernel whose power fails at every point. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { withSlot } from "../../boot/selection/slots.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { formatStandIn } from "../../state-ops/layout.ts";
import { DEFAULT_RECOVERY, type Rung } from "../../state-ops/recovery.ts";
import { REQUESTS } from "../../state-ops/requests.ts";
import { cutEverywhere } from "./golden-cuts.ts";
import { image } from "./golden-machine.ts";
import { ask, DATA_AT, names, notesOf, put, text, updated, used, withData } from "./golden-state.ts";
import type { Boot, World } from "./golden-world.ts";

const [v1, v2] = [image(1), image(2)];

/** Somebody asked for that rung, which a slot's boot is enough for. */
function askFor(world: World, rung: Rung): void {
  world.change((record) => ({ ...record, recovery: { asked: rung, tried: [], current: null } }));
}

/** Recovery has put the image into the slot, and its system is to begin anew. */
function armFresh(world: World, slot: string, imageId: string): void {
  const step = { rung: "reinstall-fresh", slot, imageId } as const;
  world.change((record) => ({ ...record, recovery: { asked: null, tried: [step], current: step } }));
}

const reportOf = (boot: Boot): BootReport => JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
const own = (boot: Boot) => boot.kernel.peek("/var/lib/app/own");
const machineId = (boot: Boot) => boot.kernel.peek("/etc/machine-id");
const pointer = (world: World, slot: string): string =>
  withData(world, (kernel) => Buffer.from(kernel.readLink(`${DATA_AT}/slots/${slot}`)).toString());

/** What is set aside is as its system left it, and stays. */
function isKept(world: World, where: string): void {
  assert.is(text(world, "gens/000002/tree/var-lib-app/own"), "written in b\n", where);
  assert.match(text(world, "gens/000002/PINNED") ?? "", /"by":"recovery".*set aside by recovery: slot b goes on/, where);
}

test("the state before: a clone of it, and it is the slot's own once it is committed", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  const id = text(world, "shared/etc-machine\\x2did");
  askFor(world, "previous-generation");
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda3");
  assert.is(own(boot), "written in a\n");
  assert.is(boot.kernel.peek("/var/lib/app/default"), "from image 2\n", "what nobody changed follows the image");
  assert.is(boot.kernel.peek("/etc/hostname"), "gateway\n");
  assert.is(machineId(boot), id);
  assert.is(reportOf(boot).generation, "000003");
  assert.equal(reportOf(boot).degraded, []);
  assert.is(boot.kernel.peek("/run/slipway/safe-mode"), null);
  assert.match(
    notesOf(boot),
    /recovery: slot b goes back to the state that it had before; slot b goes on with a clone of generation 000001/,
  );
  isKept(world, "first");
  assert.match(text(world, "gens/000003/STAND-IN") ?? "", /"of":2.*"wish":"previous"/);

  world.commitAndShutDown("b", v2.id);
  put(world, "gens/000003/tree/var-lib-app/own", "after the recovery\n");
  const next = await world.boot();
  assert.is(own(next), "after the recovery\n");
  assert.is(text(world, "gens/000003/STAND-IN"), null);
  isKept(world, "after the commit");
});

test("fresh state that was committed is the slot's own, though another slot is committed right after", async () => {
  const world = await used({ recovery: DEFAULT_RECOVERY });
  world.installInB(v2);
  await world.boot();
  world.commitAndShutDown("b", v2.id);
  put(world, "gens/000002/tree/var-lib-app/own", "written in b\n");
  armFresh(world, "b", v2.id);
  const boot = await world.boot();
  assert.is(own(boot), null);
  put(world, "gens/000003/tree/var-lib-app/own", "begun anew\n");
  world.commitAndShutDown("b", v2.id);
  world.activate("a", v1.id, "b");
  const back = await world.boot();
  assert.is(back.root, "/dev/vda2", "slot a is committed, and has its own state");
  assert.is(own(back), "written in a\n");
  assert.is(text(world, "gens/000003/STAND-IN"), null, "the mark goes before slot a is committed again");
  world.commitAndShutDown("a", v1.id);
  world.activate("b", v2.id, "a");
  assert.is(own(await world.boot()), "begun anew\n");
});

test("the state before, not committed: the slot has its own again, which needs no pin any more", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  askFor(world, "previous-generation");
  await world.boot();
  put(world, "gens/000003/tree/var-lib-app/own", "of a try\n");
  world.shutDown();
  const next = await world.boot();
  assert.is(next.root, "/dev/vda3");
  assert.is(own(next), "written in b\n");
  assert.is(pointer(world, "b"), "../gens/000002");
  assert.is(text(world, "gens/000002/PINNED"), null);
});

test("the state before, cut at any effect: nothing of the slot's own is lost, and the next time it is had", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  const id = text(world, "shared/etc-machine\\x2did");
  askFor(world, "previous-generation");
  const cuts = await cutEverywhere(world, 256, async (where) => {
    assert.is(text(world, "gens/000002/tree/var-lib-app/own"), "written in b\n", where);
    if (text(world, "gens/000003/COMPLETE") !== null) isKept(world, where);
    const between = await world.boot();
    assert.is(between.end, "exec /sbin/init", where);
    assert.ok(["written in a\n", "written in b\n"].includes(own(between) ?? ""), `${where}: ${own(between)}`);
    assert.is(machineId(between), id, where);
    world.shutDown();
    askFor(world, "previous-generation");
    const next = await world.boot();
    assert.is(next.root, "/dev/vda3", where);
    assert.is(own(next), "written in a\n", where);
    isKept(world, where);
    assert.ok(names(world, "gens").length <= 4, `${where}: ${names(world, "gens")}`);
    assert.equal(names(world, "trash"), [], where);
  });
  console.log(`${cuts} power cuts in a boot with the state before`);
});

test("fresh state, cut at any effect: the image's content, identity as it was, and what was there is set aside", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  const id = text(world, "shared/etc-machine\\x2did");
  put(world, "shared/of-others", "shared\n");
  armFresh(world, "b", v2.id);
  const cuts = await cutEverywhere(world, 256, async (where) => {
    assert.is(text(world, "gens/000002/tree/var-lib-app/own"), "written in b\n", where);
    const next = await world.boot();
    assert.is(next.end, "exec /sbin/init", where);
    assert.is(next.root, "/dev/vda3", where);
    assert.is(own(next), null, where);
    assert.is(next.kernel.peek("/var/lib/app/default"), "from image 2\n", where);
    assert.is(next.kernel.peek("/etc/hostname"), null, where);
    assert.is(machineId(next), id, where);
    assert.is(text(world, "shared/of-others"), "shared\n", where);
    isKept(world, where);
    assert.ok(names(world, "gens").length <= 4, `${where}: ${names(world, "gens")}`);
    assert.equal(names(world, "trash"), [], where);
    assert.equal(reportOf(next).degraded, [], where);
  });
  console.log(`${cuts} power cuts in a boot with fresh state`);
});

test("fresh state: tries go on after a clean end, begin anew after any other, and fill no disk", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  armFresh(world, "b", v2.id);
  await world.boot();
  put(world, "gens/000003/tree/var-lib-app/own", "of the first try\n");
  world.shutDown();
  const second = await world.boot();
  assert.is(own(second), "of the first try\n");
  assert.match(notesOf(second), /goes on with generation 000003, which recovery made from the image/);
  for (let boot = 0; boot < 4; boot++) assert.is(own(await world.boot()), null, `unclean end ${boot}`);
  assert.ok(names(world, "gens").length <= 4, String(names(world, "gens")));
  isKept(world, "after six tries");
  world.commitAndShutDown("b", v2.id);
  const number = pointer(world, "b").slice(-6);
  put(world, `gens/${number}/tree/var-lib-app/own`, "committed\n");
  assert.is(own(await world.boot()), "committed\n");
  isKept(world, "after the commit");
});

test("fresh state of another image in the other slot: the committed one is set aside, and a fallback still has it", async () => {
  const world = await used({ recovery: DEFAULT_RECOVERY });
  world.installInB(v2);
  armFresh(world, "b", v2.id);
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda3");
  assert.is(own(boot), null);
  assert.match(text(world, "gens/000001/PINNED") ?? "", /set aside by recovery: slot b goes on with what the image has/);
  world.change((record) => withSlot(record, "b", { tries: 0, reason: "left" }));
  const back = await world.boot();
  assert.is(back.root, "/dev/vda2");
  assert.is(own(back), "written in a\n");
});

test("a state that cannot be set aside is not left: the slot fails, with the reason", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  armFresh(world, "b", v2.id);
  const kernel = world.kernel();
  kernel.failOn({ call: "open", match: /000002.*PINNED/, code: "EPERM", times: 99 });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.match(JSON.stringify(reportOf(boot).skipped), /"slot":"b","reason":"[^"]*EPERM/);
  assert.is(pointer(world, "b"), "../gens/000002");
});

test("no state from before: the rung fails with a sentence, and the slots boot as they are", async () => {
  const world = await used({ recovery: DEFAULT_RECOVERY });
  askFor(world, "previous-generation");
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  assert.is(own(boot), "written in a\n");
  assert.equal(names(world, "gens"), ["000001"]);
  assert.is(text(world, "gens/000001/PINNED"), null);
  assert.match(
    JSON.stringify(reportOf(boot)),
    /there is no state from before generation 000001 of slot a: recovery cannot go back to one/,
  );
});

test("what recovery set aside comes back where somebody asks, and stays where it is", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  armFresh(world, "b", v2.id);
  await world.boot();
  world.commitAndShutDown("b", v2.id);
  ask(world, { carry: { slot: "b", generation: 2 } });
  const boot = await world.boot();
  assert.is(own(boot), "written in b\n");
  assert.is(reportOf(boot).generation, "000004");
  isKept(world, "asked for");
  assert.match(text(world, "gens/000003/PINNED") ?? "", /slot b goes on with the state of generation 000002 instead/);
  world.commitAndShutDown("b", v2.id);
  assert.is(own(await world.boot()), "written in b\n");
});

test("what was asked for does not bring back what recovery sets aside, and is told as dropped", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  ask(world, { carry: { slot: "b", generation: 1 } });
  armFresh(world, "b", v2.id);
  const boot = await world.boot();
  assert.is(own(boot), null);
  assert.match(notesOf(boot), /the request that slot b goes on with generation 000001 was dropped: recovery came first/);
  assert.equal(names(world, REQUESTS.directory), []);
});

const marks: Record<string, (kernel: RecordingKernel, place: string) => void> = {
  "a link": (kernel, place) => kernel.makeSymlink("COMPLETE", place),
  "a directory": (kernel, place) => kernel.makeDirectory(place, 0o700),
  "a fifo": (kernel, place) => kernel.makeNode(place, "fifo", 0o600, { major: 0, minor: 0 }),
};
for (const [name, plant] of Object.entries(marks)) {
  test(`a mark of recovery that is ${name} says nothing: the slot has its own state`, async () => {
    const world = await updated({ recovery: DEFAULT_RECOVERY });
    withData(world, (kernel) => plant(kernel, `${DATA_AT}/gens/000002/STAND-IN`));
    const boot = await world.boot();
    assert.is(boot.end, "exec /sbin/init");
    assert.is(own(boot), "written in b\n");
  });
}

test("a mark that leads nowhere: the closest state there is, and nothing is deleted", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  put(world, "gens/000002/STAND-IN", formatStandIn({ wish: "fresh", of: 99 }));
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.is(own(boot), "written in a\n");
  assert.match(notesOf(boot), /slot b points at generation 000099, which is missing/);
  assert.is(text(world, "gens/000002/tree/var-lib-app/own"), "written in b\n");
});

/** Everything on the data filesystem, but for what a mount notes in LAYOUT. */
function everything(world: World, directory = ""): string[] {
  return withData(world, (kernel) => {
    const seen: string[] = [];
    const visit = (path: string): void => {
      const { kind } = kernel.statusAt(path);
      if (kind === "symlink") seen.push(`${path} -> ${Buffer.from(kernel.readLink(path)).toString()}`);
      else if (kind === "file") seen.push(`${path}: ${kernel.peek(path)}`);
      else {
        const fd = kernel.open(path, 0);
        const entries = kernel.readDirectory(fd).map(({ name }) => Buffer.from(name).toString());
        kernel.close(fd);
        for (const entry of entries.sort()) visit(`${path}/${entry}`);
      }
    };
    visit(directory === "" ? DATA_AT : `${DATA_AT}/${directory}`);
    return seen;
  });
}

test("safe mode: memory over the image's content, identity as it was, and nothing on the disk is touched", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  const id = text(world, "shared/etc-machine\\x2did");
  ask(world, { reset: { what: "stores", ids: ["var-lib-app"] } });
  askFor(world, "safe-mode");
  const before = everything(world);
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda3");
  assert.is(own(boot), null);
  assert.is(boot.kernel.peek("/var/lib/app/default"), "from image 2\n");
  assert.is(boot.kernel.peek("/etc/hostname"), null);
  assert.is(machineId(boot), id);
  assert.is(boot.kernel.peek("/run/slipway/safe-mode"), `slot b, attempt ${reportOf(boot).attempt}\n`);
  const { generation, degraded, stateNotes, data } = reportOf(boot);
  assert.is(generation, null);
  assert.is(data?.device, "/dev/vda4");
  assert.equal(
    degraded.map(({ path }) => path),
    ["/etc", "/var/lib/app"],
  );
  assert.match(degraded[0]?.reason ?? "", /^safe mode: it is in memory, and gone at the next reboot; its store is as it was$/);
  assert.match(stateNotes.join(" | "), /safe mode: persistent state is in memory/);
  assert.is(world.readRecord().record?.attempt?.degraded, true);
  assert.match(boot.kernel.mounts().join("\n"), /\/var\/lib\/app overlay/);
  assert.equal(everything(world), before);
  world.shutDown();
  const next = await world.boot();
  assert.is(next.root, "/dev/vda3", "the slot boots as it is");
  assert.is(next.kernel.peek("/run/slipway/safe-mode"), null);
  assert.equal(names(world, REQUESTS.directory), [], "the request was waiting");
  assert.match(notesOf(next), /reset: \/var\/lib\/app begin anew/);
});

test("safe mode without the data filesystem: identity is made anew in memory, and told", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  askFor(world, "safe-mode");
  const boot = await world.boot(world.kernel(["vda4"]));
  assert.is(boot.end, "exec /sbin/init");
  assert.match(machineId(boot) ?? "", /^[0-9a-f]{32}\n$/);
  const { degraded, data } = reportOf(boot);
  assert.is(data, null);
  const identity = degraded.find(({ path }) => path === "/etc/machine-id");
  assert.match(identity?.reason ?? "", /^safe mode without its identity state: .*sys-data/);
  assert.is(degraded.length, 3);
});

test("safe mode with a store of identity that is no file: memory in its place, and told", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  withData(world, (kernel) => {
    kernel.remove(`${DATA_AT}/shared/etc-machine\\x2did`);
    kernel.makeDirectory(`${DATA_AT}/shared/etc-machine\\x2did`, 0o700);
  });
  askFor(world, "safe-mode");
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.is(reportOf(boot).slot, "b");
  assert.match(
    reportOf(boot)
      .degraded.map(({ reason }) => reason)
      .join(),
    /safe mode without its identity state: /,
  );
});

test("safe mode where the kernel knows no overlay: the image's content is copied to memory", async () => {
  const world = await updated({ recovery: DEFAULT_RECOVERY });
  askFor(world, "safe-mode");
  const kernel = world.kernel();
  kernel.failOn({ call: "mount", match: /"overlay"/, code: "ENODEV", times: 99 });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.is(boot.kernel.peek("/var/lib/app/default"), "from image 2\n");
  assert.is(boot.kernel.peek("/etc/os-release"), "VERSION_ID=2\n");
  assert.match(boot.kernel.mounts().join("\n"), /\/var\/lib\/app tmpfs/);
});

test.run();
