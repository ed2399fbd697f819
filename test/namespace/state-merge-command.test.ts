/** `slipway state merge --dry-run`: what the next image would do, by the same code, and nothing is written. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Places } from "../../init/commands/machine.ts";
import { PLACES } from "../../init/commands/machine.ts";
import { previewMerge, verb } from "../../init/commands/state/merge.ts";
import type { Operator } from "../../state-ops/control.ts";
import { mergeText } from "../../state-ops/merge/report.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { sampleOperator } from "../samples/operator.ts";
import { report } from "../unit/commands-machine.ts";
import { MergeWorld, makeImage, prepareRun, readReport, type TestImage } from "./merge-world.ts";
import { cleanUp, kernel, program, scratch } from "./state-machine.ts";

test.before(prepareRun);
test.after(cleanUp);

const etc = sampleOperator("/etc", { via: "overlay", merge: "keyed" });
const app = sampleOperator("/srv/app");
const renamed = sampleOperator("/srv/app", { id: "application", renamedFrom: "srv-app", exclude: ["tmp/*"] });

function image(version: string, operators: readonly Operator[], system = "acme-gateway"): TestImage {
  return makeImage(operators, (root) => {
    mkdirSync(`${root}/usr/lib/slipway`, { recursive: true });
    writeFileSync(`${root}/usr/lib/slipway/control.json`, sampleControlText({ system, operators: [...operators] }));
    writeFileSync(`${root}/etc/hosts`, version);
    writeFileSync(`${root}/etc/passwd`, version === "v1" ? "root:x:0:0:::\n" : "root:x:0:0:::\n_new:x:101:101:::\n");
    if (operators.length > 1) writeFileSync(`${root}/srv/app/file`, version);
  });
}

interface Running {
  world: MergeWorld;
  places: Places;
}

/** A machine that runs v1 on its first generation, with edits; null: on no generation. */
function running(change: Parameters<typeof report>[0], use: (running: Running) => void): void {
  const world = new MergeWorld("ext4");
  try {
    const v1 = image("v1", [etc, app]);
    world.create(v1);
    mkdirSync(world.at(1, "tree/srv-app/tmp"), { recursive: true });
    writeFileSync(world.at(1, "tree/srv-app/file"), "here");
    writeFileSync(world.at(1, "tree/srv-app/tmp/mine"), "here");
    world.withOverlay(1, v1, etc, (place) => {
      writeFileSync(`${place}/hosts`, "here");
      writeFileSync(`${place}/passwd`, "root:x:0:0:::\nada:x:1000:1000:::\n");
    });
    rmSync(world.at(1, "work"), { recursive: true });
    const device = program("findmnt", "-n", "-o", "SOURCE", world.disk.place);
    const uuid = program("blkid", "-o", "value", "-s", "UUID", device);
    const data = { device, filesystem: "ext4", uuid };
    writeFileSync("/run/slipway/boot.json", JSON.stringify(report({ generation: "000001", data, ...change })));
    writeFileSync("/run/slipway/control.json", sampleControlText());
    use({ world, places: { ...PLACES, imageControl: `${v1.root}/usr/lib/slipway/control.json` } });
  } finally {
    world.close();
  }
}

test("what is shown is what the boot does, under the store's old name and with what is not cloned", () => {
  running({}, ({ world, places }) => {
    const v2 = image("v2", [etc, renamed]);
    const before = program("find", world.disk.place, "-ls");
    const preview = previewMerge(kernel, places, v2.root);
    assert.is(program("find", world.disk.place, "-ls"), before);
    assert.equal(readdirSync("/run/slipway").sort(), ["boot.json", "control.json"]);
    assert.equal(preview.notes, []);
    assert.match(mergeText(preview.report), `state of generation 000001 would be merged with image ${v2.root}\n`);
    world.clone(1, v2);
    const done = readReport();
    rmSync("/run/slipway/merge.json");
    assert.equal([preview.report.dryRun, preview.report.to], [true, null]);
    assert.equal(preview.report.stores, done.stores);
    assert.equal(
      done.stores.map(({ path, contested }) => [path, contested.map((one) => one.path)]),
      [
        ["/etc", ["/etc/hosts", "/etc/passwd"]],
        ["/srv/app", ["/srv/app/file"]],
      ],
    );
    assert.match(readFileSync(world.at(2, "ovl/etc/upper/passwd"), "utf8"), /^root:.*\n_new:.*\nada:.*\n$/);
    assert.is(readFileSync(world.at(2, "tree/application/file"), "utf8"), "here");
  });
});

test("a rule that refuses is shown, and the damaged baseline", () => {
  running({}, ({ world, places }) => {
    const v2 = image("v2", [etc, { ...app, merge: "fail" }]);
    assert.is(previewMerge(kernel, places, v2.root).report.refused, true);
    writeFileSync(world.at(1, "baseline.json"), "{}");
    const { notes } = previewMerge(kernel, places, v2.root);
    assert.equal(notes, ["generation 000001 says nothing of what its image had: its baseline.json is damaged"]);
  });
});

function fails(run: () => unknown, kind: typeof BadInput | typeof Refusal, words: RegExp): void {
  assert.throws(run, (error: unknown) => error instanceof kind && words.test(error.message));
}

test("trees that are no image of this system, and machines without state", async () => {
  running({}, ({ places }) => {
    const empty = `${scratch}/empty`;
    mkdirSync(empty);
    fails(() => previewMerge(kernel, places, empty), BadInput, /has no usr\/lib\/slipway\/control.json; compile one/);
    fails(() => previewMerge(kernel, places, "/nowhere"), BadInput, /--root \/nowhere cannot be opened \(ENOENT\)/);
    const other = image("v2", [etc], "other");
    fails(() => previewMerge(kernel, places, other.root), BadInput, /is an image for the system other/);
  });
  running({ generation: null }, ({ places }) => {
    fails(() => previewMerge(kernel, places, scratch), Refusal, /no generation/);
  });
  for (const [values, words] of [
    [{ root: "/" }, /say --dry-run/],
    [{ "dry-run": true }, /--root is missing/],
  ] as const) {
    const failure = await verb.run(values, []).catch((error: unknown) => error);
    assert.ok(failure instanceof BadInput && words.test(failure.message), String(failure));
  }
});

test.run();
