/** Whole boots on the recording kernel in which state is merged. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { O } from "../../init/kernel/constants.ts";
import type { MergeRule } from "../../state-ops/control.ts";
import type { MergeReport } from "../../state-ops/merge/report.ts";
import { sampleOperator } from "../samples/operator.ts";
import { controlFile, image } from "./golden-machine.ts";
import { World } from "./golden-world.ts";

/** An image with its own operators. */
function imageWith(number: number, merge: MergeRule) {
  const operators = [
    sampleOperator("/etc", { via: "overlay", merge: merge === "fail" ? "local" : merge }),
    sampleOperator("/var/lib/app", { merge: merge === "keyed" ? "local" : merge }),
  ];
  return image(number, {
    "usr/lib/slipway/control.json": controlFile({ operators }).text,
    "etc/passwd": `root:x:0:0:::\n${number === 1 ? "" : "_new:x:101:101:::\n"}`,
  });
}

const store = "/gens/000001/tree/var-lib-app/default";

function onData<Result>(world: World, use: (kernel: ReturnType<World["kernel"]>, place: string) => Result): Result {
  const kernel = world.kernel();
  kernel.mount("/dev/vda4", "/sysroot", "ext4", 0, "");
  return use(kernel, "/sysroot");
}

function write(world: World, path: string, text: string): void {
  onData(world, (kernel, place) => {
    const file = kernel.open(`${place}${path}`, O.WRONLY | O.CREAT | O.TRUNC, { mode: 0o644 });
    kernel.write(file, new TextEncoder().encode(text), 0n);
    kernel.syncFilesystem(file);
    kernel.close(file);
  });
}

/** The trial of image 2, after somebody changed what it changed too. */
async function trial(merge: MergeRule) {
  const world = new World({ a: imageWith(1, merge) });
  const first = await world.boot();
  assert.is(first.end, "exec /sbin/init");
  world.commitAndShutDown("a", imageWith(1, merge).id);
  write(world, store, "of the device\n");
  write(world, "/gens/000001/ovl/etc/upper/passwd", "root:x:0:0:::\nada:x:1000:1000:::\n");
  world.installInB(imageWith(2, merge));
  const boot = await world.boot();
  const report: BootReport = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  const merged: MergeReport = JSON.parse(boot.kernel.peek("/run/slipway/merge.json") ?? "{}");
  return { world, boot, report, merged };
}

test("what was merged is told in boot.json, in the journal and on the console", async () => {
  const { world, boot, report, merged } = await trial("keyed");
  assert.is(boot.root, "/dev/vda3");
  assert.is(boot.kernel.peek("/etc/passwd"), "root:x:0:0:::\n_new:x:101:101:::\nada:x:1000:1000:::\n");
  assert.is(boot.kernel.peek("/var/lib/app/default"), "of the device\n");
  const note = "state was merged: 2 paths differ on both sides, first /etc/passwd; see /run/slipway/merge.json";
  assert.ok(report.stateNotes.includes(note), JSON.stringify(report.stateNotes));
  assert.ok(JSON.stringify(world.journal()).includes(note));
  assert.is(merged.imageId, report.imageId);
});

test("a rule that refuses fails the slot: the committed one boots, its state as it was, and says why", async () => {
  const { world, boot, report, merged } = await trial("fail");
  assert.is(boot.root, "/dev/vda2");
  assert.is(report.generation, "000001");
  assert.is(merged.refused, true);
  const reason =
    'state cannot be merged: 1 path with the rule "fail" changed on both sides, first /var/lib/app/default; see /run/slipway/merge.json';
  assert.ok(
    report.skipped.some((slot) => slot.reason.includes(reason)),
    JSON.stringify(report),
  );
  assert.ok(world.journal().some((entry) => JSON.stringify(entry).includes("state cannot be merged: 1 path")));
  assert.is(
    onData(world, (kernel, place) => kernel.peek(`${place}${store}`)),
    "of the device\n",
  );
  assert.equal(
    onData(world, (kernel, place) => kernel.readDirectory(kernel.open(`${place}/gens`, O.RDONLY)).length),
    1,
  );
});

test("the image's side wins where that is the rule, and the other is kept aside", async () => {
  const { world, boot } = await trial("image");
  assert.is(boot.root, "/dev/vda3");
  assert.is(boot.kernel.peek("/var/lib/app/default"), "from image 2\n");
  const aside = "/gens/000002/aside/var-lib-app/state/default";
  assert.is(
    onData(world, (kernel, place) => kernel.peek(`${place}${aside}`)),
    "of the device\n",
  );
});

test.run();
