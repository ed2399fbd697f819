/** `kernel: slot`: a boot in two stages, and everything that may stand between them. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { gatherFacts } from "../../init/explain/gather.ts";
import { planBoot } from "../../init/explain/plan.ts";
import { planText } from "../../init/explain/print.ts";
import { link, file as memoryFile, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { matchesGolden } from "../golden.ts";
import { bzImage, initrd } from "../samples/kernel-file.ts";
import { controlFile, image, KERNEL_RELEASE } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";
import { report } from "./sealed-world.ts";

const OWN = { release: "6.6.0-own", version: "#7 SMP own (2026-02-02)" };
const MACHINE: Partial<ControlFile> = { kernel: "slot" };
const policy = controlFile(MACHINE).text;
const noState = { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text };

/** Files of an image with its own kernel. */
function ownKernel(change: Tree = {}, { release, version } = OWN): Tree {
  return {
    ...noState,
    [`usr/lib/modules/${release}/modules.dep`]: "",
    [`usr/lib/modules/${release}/vmlinuz`]: memoryFile(bzImage(release, version)),
    [`usr/lib/modules/${release}/initramfs.img`]: memoryFile(initrd(policy)),
    ...change,
  };
}

const own = image(2, ownKernel());
const v1 = image(1, noState);

/** A machine whose slot a is committed on the loader's kernel, with `trial` in b to be tried. */
async function beforeTrial(trial = own, control = MACHINE, committed = v1): Promise<World> {
  const world = new World({ a: committed, control, commandLine: "BOOT_IMAGE=/vmlinuz quiet initrd=/initrd" });
  const first = await world.boot();
  assert.is(first.end, "exec /sbin/init");
  world.commitAndShutDown("a", committed.id);
  world.installInB(trial);
  return world;
}

/** The second stage: the kernel that was loaded, with its command line. */
function intoOwn(world: World, boot: Boot): void {
  assert.is(boot.end, "reboot kexec");
  const { loadedKexec } = boot.kernel;
  assert.is(loadedKexec?.kernel, `/sysroot/usr/lib/modules/${OWN.release}/vmlinuz`);
  assert.is(loadedKexec?.initrd, `/sysroot/usr/lib/modules/${OWN.release}/initramfs.img`);
  world.commandLine = loadedKexec?.commandLine ?? "";
  world.running = OWN;
}

const backToLoader = (world: World): void => {
  world.commandLine = "quiet";
  world.running = { release: KERNEL_RELEASE, version: "#1 SMP slipway (2026-01-01)" };
};

/** `slot` is booted in both stages and committed; the loader's kernel is the next to run. */
async function commitOnOwn(world: World, slot: "a" | "b"): Promise<void> {
  intoOwn(world, await world.boot());
  await world.boot();
  world.commitAndShutDown(slot, own.id);
  backToLoader(world);
}

test("a trial starts its own kernel, and the second stage goes on with the attempt", async () => {
  const world = await beforeTrial();
  const first = await world.boot();
  intoOwn(world, first);
  matchesGolden("boot-kexec-first", first.kernel.trace);
  assert.is(world.commandLine, "quiet panic=10 slipway.kexec=8333444444444444");
  assert.is(first.root, null, "nothing is mounted any more");
  const counted = world.readRecord().record;
  assert.equal(counted?.attempt?.kexec, { nonce: "8333444444444444", previousEnd: "none" });
  assert.is(counted?.slots.b?.tries, 2);

  const second = await world.boot();
  assert.is(second.end, "exec /sbin/init");
  matchesGolden("boot-kexec-second", second.kernel.trace);
  const { attempt, slot, why, warnings, trial, skipped } = report(second);
  assert.equal([attempt, slot, trial, skipped], [2, "b", true, []]);
  assert.is(why, "second stage of attempt 2, on the slot's own kernel");
  assert.not.match(warnings.join("\n"), /kexec|kernel/);
  const { record } = world.readRecord();
  assert.is(record?.slots.b?.tries, 2, "counted once");
  assert.is(record?.attempt?.kexec, undefined);
  assert.is(record?.uncleanEnds, 0);
  const journal = world.journal().filter((entry) => entry.attempt === 2);
  assert.equal(
    journal.map(({ stage, outcome, reason }) => [stage, outcome, reason]),
    [["handover", "running", null]],
  );

  world.commitAndShutDown("b", own.id);
  backToLoader(world);
  const again = await world.boot();
  intoOwn(world, again);
  assert.is(report(await world.boot()).slot, "b");
});

test("a kernel that runs already is not started again", async () => {
  const world = await beforeTrial();
  world.running = OWN;
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.not.match(boot.kernel.trace, /load-kexec/);
  assert.is(report(boot).why.includes("second stage"), false);
});

test("one of the same release from another build is another kernel", async () => {
  const world = await beforeTrial();
  world.running = { ...OWN, version: "#8 SMP own (2026-03-03)" };
  intoOwn(world, await world.boot());
});

test("where the file does not say what it is, as on arm64, the release tells", async () => {
  const path = `usr/lib/modules/${OWN.release}/vmlinuz`;
  const world = await beforeTrial(image(2, ownKernel({ [path]: "MZ@an Image" })));
  world.running = { ...OWN, version: "#8 SMP own (2026-03-03)" };
  assert.is((await world.boot()).end, "exec /sbin/init");
  backToLoader(world);
  assert.is((await world.boot()).end, "reboot kexec");
});

test("without `kernel: slot` the loader's kernel runs, and nothing is looked for", async () => {
  const trial = image(2, ownKernel({ [`usr/lib/modules/${KERNEL_RELEASE}/modules.dep`]: "" }));
  const world = await beforeTrial(trial, {});
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.not.match(boot.kernel.trace, /vmlinuz|kexec/);
});

test("an image without a kernel of its own runs on the loader's, with a warning", async () => {
  const world = await beforeTrial(image(2, noState));
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.ok(report(boot).warnings.some((text) => /^the image in slot b has no kernel of its own: it runs on 6\.1\.0/.test(text)));
});

test("a kernel that does not come up is counted, quarantined in the end, and the other slot boots", async () => {
  const world = await beforeTrial();
  for (let attempt = 0; attempt < 3; attempt++) {
    intoOwn(world, await world.boot());
    backToLoader(world); // it panics, and the firmware starts the loader
  }
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.is(report(boot).slot, "a");
  const reason = "its own kernel 6.6.0-own was started, and did not come up in PID 1";
  assert.match(report(boot).rollback?.reason ?? "", /trial used up without a commit/);
  assert.is(world.journal().find(({ attempt }) => attempt === 4)?.reason, reason);
  assert.equal(
    world.readRecord().record?.quarantined.map(({ imageId }) => imageId),
    [own.id],
  );
  assert.is(world.readRecord().record?.uncleanEnds, 3);
});

test("power fails between the stages: the nonce of an attempt that was closed is worth nothing", async () => {
  const world = await beforeTrial();
  intoOwn(world, await world.boot());
  const stale = world.commandLine;
  backToLoader(world);
  intoOwn(world, await world.boot());
  // The very same nonce, on the command line of a boot that nobody waits for any more.
  assert.is(report(await world.boot()).attempt, 3);
  world.commandLine = stale;
  const replayed = await world.boot();
  assert.is(report(replayed).attempt, 4, "counted");
  assert.ok(report(replayed).warnings.some((text) => /^slipway\.kexec=8333444444444444 is refused: no attempt waits/.test(text)));
});

test("somebody else's slipway.kexec= is refused: counted, and no kernel is started", async () => {
  const world = await beforeTrial();
  world.commandLine = "quiet slipway.kexec=0123456789abcdef";
  const boot = await world.boot();
  assert.is(boot.end, "exec /sbin/init");
  assert.is(report(boot).slot, "b");
  const warnings = report(boot).warnings.join("\n");
  assert.match(warnings, /slipway\.kexec=0123456789abcdef is refused: no attempt waits for it; this boot is counted/);
  assert.match(
    warnings,
    /slot b runs on 6\.1\.0-slipway instead of its own kernel 6\.6\.0-own: the command line has slipway\.kexec/,
  );
  assert.not.match(boot.kernel.trace, /load-kexec/);
  assert.is(world.readRecord().record?.slots.b?.tries, 2);
});

test("a second stage that fails restarts, for the first one to choose", async () => {
  const world = await beforeTrial();
  intoOwn(world, await world.boot());
  const kernel = world.kernel();
  kernel.failOn({ call: "mount", match: /sysroot/, code: "EIO" });
  const second = await world.boot(kernel);
  assert.is(second.end, "reboot restart");
  assert.match(second.kernel.trace, /slot b failed on its own kernel: restarting/);
  assert.not.match(second.kernel.trace, /record .*attempt 3/);
  backToLoader(world);
  assert.is(world.readRecord().record?.slots.b?.tries, 2);
  intoOwn(world, await world.boot());
});

test("slots that the first stage went past are told by the second", async () => {
  const control = { ...MACHINE };
  const world = new World({ a: own, control });
  await commitOnOwn(world, "a");
  const broken = image(3, ownKernel({ [`usr/lib/modules/${OWN.release}/initramfs.img`]: "no archive" }));
  world.installInB(broken);
  intoOwn(world, await world.boot());
  const boot = await world.boot();
  const { slot, skipped, rollback } = report(boot);
  assert.is(slot, "a");
  assert.is(skipped[0]?.slot, "b");
  assert.match(skipped[0]?.reason ?? "", /initramfs\.img: byte 0 has/);
  assert.is(rollback?.from, "b");
});

/** What is wrong with the image in slot b, and for what the boot leaves it for a. */
const wrong: Record<string, { tree: Tree; reason: RegExp }> = {
  "two kernels": {
    tree: { "usr/lib/modules/6.7.0/vmlinuz": memoryFile(bzImage("6.7.0", "#1")) },
    reason: /^the image has several kernels \(.*6\.6\.0-own\/vmlinuz, .*6\.7\.0\/vmlinuz\), and nothing says which/,
  },
  "a kernel of another name": {
    tree: { [`usr/lib/modules/${OWN.release}/vmlinuz`]: memoryFile(bzImage("6.6.1", "#1")) },
    reason: /vmlinuz is the kernel 6\.6\.1; make the image again/,
  },
  "a link in the kernel's place": {
    tree: { [`usr/lib/modules/${OWN.release}/vmlinuz`]: link("../../../../etc/os-release") },
    reason: /a link is on the way to 6\.6\.0-own\/vmlinuz/,
  },
  "a directory in the kernel's place": {
    tree: { [`usr/lib/modules/${OWN.release}/vmlinuz`]: {} },
    reason: /vmlinuz is no regular file/,
  },
  "a link in the initrd's place": {
    tree: { [`usr/lib/modules/${OWN.release}/initramfs.img`]: link("/etc/os-release") },
    reason: /a link is on the way to 6\.6\.0-own\/initramfs\.img/,
  },
  "an initrd of another system's": {
    tree: {
      [`usr/lib/modules/${OWN.release}/initramfs.img`]: memoryFile(
        initrd(controlFile({ ...MACHINE, system: "other", deviceTimeout: 5 }).text),
      ),
    },
    reason: /initramfs\.img says something else of device-timeout, system than the initrd that rules this machine/,
  },
  "an initrd that knows no kernel of slots": {
    tree: { [`usr/lib/modules/${OWN.release}/initramfs.img`]: memoryFile(initrd(controlFile().text)) },
    reason: /says something else of kernel than/,
  },
};
for (const [name, { tree, reason }] of Object.entries(wrong)) {
  test(`${name}: the slot is left in the same boot`, async () => {
    const world = await beforeTrial(image(2, ownKernel(tree)));
    const boot = await world.boot();
    assert.is(boot.end, "exec /sbin/init");
    assert.is(report(boot).slot, "a");
    assert.match(report(boot).skipped[0]?.reason ?? "", reason);
    assert.not.match(boot.kernel.trace, /load-kexec/);
  });
}

test("no initrd beside the kernel", async () => {
  const { [`usr/lib/modules/${OWN.release}/initramfs.img`]: _, ...tree } = ownKernel();
  const boot = await (await beforeTrial(image(2, tree))).boot();
  assert.match(report(boot).skipped[0]?.reason ?? "", /the image has no .*initramfs\.img for its kernel; put one there/);
});

test("delegate: true takes any initrd, also one with other keys and another policy", async () => {
  const tree = { [`usr/lib/modules/${OWN.release}/initramfs.img`]: "somebody else's" };
  const world = await beforeTrial(image(2, ownKernel(tree)), { ...MACHINE, delegate: true });
  intoOwn(world, await world.boot());
});

for (const code of ["ENOSYS", "EPERM", "ENOMEM"]) {
  test(`${code}: a trial is left, a committed slot goes on with the kernel that runs`, async () => {
    const world = await beforeTrial();
    const refusing = () => {
      const kernel = world.kernel();
      kernel.failOn({ call: "loadKexec", code });
      return kernel;
    };
    const trial = await world.boot(refusing());
    assert.is(report(trial).slot, "a");
    assert.match(
      report(trial).skipped[0]?.reason ?? "",
      new RegExp(`its kernel 6\\.6\\.0-own cannot be started: .*\\(${code}\\)`),
    );
    assert.is(world.readRecord().record?.slots.b?.damaged, null);
    world.activate("b", own.id, "a");
    await commitOnOwn(world, "b");
    const committed = await world.boot(refusing());
    assert.is(committed.end, "exec /sbin/init");
    assert.is(report(committed).slot, "b");
    assert.match(report(committed).warnings.join("\n"), /slot b runs on 6\.1\.0-slipway instead of its own kernel/);
    assert.is(world.readRecord().record?.attempt?.kexec, undefined);
  });
}

test("a command line that kexec does not take: a trial is left, a committed slot goes on, and neither image is held bad", async () => {
  const long = `quiet ${"x".repeat(1980)}`;
  const world = await beforeTrial();
  world.commandLine = long;
  const trial = await world.boot();
  assert.is(report(trial).slot, "a");
  assert.match(
    report(trial).skipped[0]?.reason ?? "",
    /its kernel 6\.6\.0-own cannot be started: .* has 2026 bytes, kexec takes 2016/,
  );
  assert.not.match(trial.kernel.trace, /load-kexec/);
  assert.is(world.readRecord().record?.slots.b?.damaged, null);
  world.activate("b", own.id, "a");
  world.commandLine = "quiet";
  await commitOnOwn(world, "b");
  world.commandLine = long;
  const committed = await world.boot();
  assert.is(committed.end, "exec /sbin/init");
  assert.is(report(committed).slot, "b");
  assert.match(
    report(committed).warnings.join("\n"),
    /instead of its own kernel 6\.6\.0-own: .* shorten the one that the bootloader gives/,
  );
});

for (const code of ["EKEYREJECTED", "ENOEXEC", "ELIBBAD", "EIO"]) {
  test(`${code}: a slot is left for it, committed or not`, async () => {
    const world = await beforeTrial();
    await commitOnOwn(world, "b");
    const kernel = world.kernel();
    kernel.failOn({ call: "loadKexec", code });
    const boot = await world.boot(kernel);
    assert.is(report(boot).slot, "a");
    assert.match(report(boot).skipped[0]?.reason ?? "", new RegExp(`\\(${code}\\)`));
  });
}

test("a kernel that was loaded and does not start costs the attempt only", async () => {
  const world = await beforeTrial();
  const kernel = world.kernel();
  kernel.failOn({ call: "reboot", match: /kexec/, code: "EINVAL" });
  const boot = await world.boot(kernel);
  assert.is(report(boot).slot, "a");
  assert.match(report(boot).skipped[0]?.reason ?? "", /its kernel was loaded, and did not start \(EINVAL\)/);
  assert.is(kernel.loadedKexec, null);
  assert.is(world.readRecord().record?.slots.b?.tries, 2);
});

test("without a record that can be written no kernel is started", async () => {
  const world = new World({ a: own, control: MACHINE });
  await commitOnOwn(world, "a");
  const kernel = world.kernel();
  kernel.failOn({ call: "write", match: /^write\("\/dev\/vda1"/, code: "EIO" });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.not.match(boot.kernel.trace, /load-kexec/);
  assert.match(report(boot).warnings.join("\n"), /instead of its own kernel 6\.6\.0-own: the boot record cannot be written/);
});

test("a record that cannot be written any more, from whichever write on, leaves no kernel loaded that nobody starts", async () => {
  let loaded = 0;
  for (let after = 0; after < 12; after++) {
    const world = new World({ a: own, control: MACHINE });
    await commitOnOwn(world, "a");
    const kernel = world.kernel();
    kernel.failOn({ call: "write", match: /^write\("\/dev\/vda1"/, code: "EIO", after });
    const boot = await world.boot(kernel);
    if (boot.end !== "exec /sbin/init") continue;
    if (/load-kexec/.test(boot.kernel.trace)) loaded++;
    assert.is(kernel.loadedKexec, null, `from write ${after} on`);
  }
  assert.is.not(loaded, 0);
});

test("a trial's second try: what became of its first is known to the second stage", async () => {
  const trial = image(2, { ...ownKernel(), "usr/lib/slipway/control.json": controlFile().text });
  const world = await beforeTrial(trial, MACHINE, image(1));
  intoOwn(world, await world.boot());
  const first = report(await world.boot()).generation;
  backToLoader(world);
  intoOwn(world, await world.boot());
  assert.is(world.readRecord().record?.attempt?.kexec?.previousEnd, "unclean");
  const second = report(await world.boot()).generation;
  assert.is.not(first, second, "a fresh clone");
  world.shutDown();
  backToLoader(world);
  intoOwn(world, await world.boot());
  assert.is(world.readRecord().record?.attempt?.kexec?.previousEnd, "clean");
  assert.is(report(await world.boot()).generation, second, "goes on");
});

test("chooser: loader: the second stage goes on with the slot that the loader named", async () => {
  const control: Partial<ControlFile> = { ...MACHINE, chooser: "loader" };
  const trial = image(
    2,
    ownKernel({ [`usr/lib/modules/${OWN.release}/initramfs.img`]: memoryFile(initrd(controlFile(control).text)) }),
  );
  const world = new World({ a: v1, control, commandLine: "slipway.slot=a" });
  assert.is((await world.boot()).end, "exec /sbin/init");
  world.commitAndShutDown("a", v1.id);
  world.installInB(trial);
  world.commandLine = "slipway.slot=b";
  intoOwn(world, await world.boot());
  assert.match(world.commandLine, /^slipway\.slot=b panic=10 slipway\.kexec=/);
  const boot = await world.boot();
  const { slot, attempt, loader } = report(boot);
  assert.equal([slot, attempt, loader?.chooser, loader?.named], ["b", 2, "loader", "b"]);
  assert.is(world.readRecord().record?.slots.b?.tries, 2);
});

test("boot --explain says what it cannot know, and does not leave the slot for modules of another kernel", async () => {
  const trial = image(2, ownKernel());
  const { [`usr/lib/modules/${KERNEL_RELEASE}/modules.dep`]: _, ...tree } = trial.tree;
  const world = await beforeTrial({ ...trial, tree });
  const kernel = world.kernel();
  kernel.plant("/", { mnt: {} });
  const plan = await planBoot(gatherFacts(kernel, { control: null, commandLine: null }));
  const text = planText(plan);
  assert.match(text, /which kernel slot b runs on: its image's own is started by kexec where another one runs \(kernel: slot\)/);
  assert.not.match(text, /has modules for/);
});

test("power may fail at any effect of either stage", async () => {
  for (const stage of ["first", "second"] as const) {
    const world = await beforeTrial();
    if (stage === "second") intoOwn(world, await world.boot());
    const back = world.checkpoint();
    const line = world.commandLine;
    const { running } = world;
    for (let effects = 0; ; effects++) {
      back();
      world.commandLine = line;
      world.running = running;
      const kernel = world.kernel();
      kernel.crashAfter(effects, 700, "mixed");
      const boot = await world.boot(kernel);
      if (boot.end !== "power cut") {
        assert.is(boot.end, stage === "first" ? "reboot kexec" : "exec /sbin/init");
        assert.ok(effects > 10);
        break;
      }
      backToLoader(world);
      const next = await world.boot();
      assert.is(next.end, "reboot kexec", `${stage} stage, cut after ${effects} effects`);
      const { record } = world.readRecord();
      assert.is(record?.attempt?.slot, "b");
      assert.ok((record?.slots.b?.tries ?? 9) <= 2);
      world.running = OWN;
      world.commandLine = next.kernel.loadedKexec?.commandLine ?? "";
      assert.is(report(await world.boot()).slot, "b");
    }
  }
});

test.run();
