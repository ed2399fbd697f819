/** Captured facts: reading, writing, refusing them; and the text that `slipway boot --explain` makes of some. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { factsFiles, loadFacts, saveFacts } from "../../init/explain/facts-directory.ts";
import { gatherFacts } from "../../init/explain/gather.ts";
import { planBoot } from "../../init/explain/plan.ts";
import { planText } from "../../init/explain/print.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { matchesGolden } from "../golden.ts";
import { machines } from "./explain-worlds.ts";

const captured = join(import.meta.dirname, "..", "facts");
const temporary = mkdtempSync(join(tmpdir(), "slipway-explain-"));
test.after(() => rmSync(temporary, { recursive: true, force: true }));

let count = 0;
const fresh = () => join(temporary, String(++count));

/** A copy of captured facts with one file changed. */
function edited(name: string, file: string, change: (text: string) => string): string {
  const directory = fresh();
  cpSync(join(captured, name), directory, { recursive: true });
  const path = join(directory, file);
  writeFileSync(path, change(readFileSync(path, "utf8")));
  return directory;
}

for (const name of readdirSync(captured)) {
  test(`the plan for ${name}`, async () => {
    matchesGolden(`explain-${name}`, planText(await planBoot(loadFacts(join(captured, name)))));
  });

  test(`facts of ${name} are the same after loading and saving`, () => {
    const facts = loadFacts(join(captured, name));
    const directory = fresh();
    saveFacts(directory, facts);
    assert.equal(loadFacts(directory), facts);
    for (const [file, text] of factsFiles(facts)) {
      assert.is(readFileSync(join(captured, name, file), "utf8"), text, `${name}/${file} is as slipway writes it`);
    }
  });
}

test("what was gathered is the same after saving and loading", async () => {
  for (const [name, prepare] of Object.entries(machines)) {
    const kernel = (await prepare()).kernel();
    kernel.plant("/", { mnt: {} });
    const facts = gatherFacts(kernel, { control: null, commandLine: null });
    const directory = fresh();
    saveFacts(directory, facts);
    assert.equal(loadFacts(directory), facts, name);
  }
});

/** Text of the BadInput with which loading is refused. */
function refusal(directory: string): string {
  try {
    loadFacts(directory);
  } catch (error) {
    assert.instance(error, BadInput);
    return String(error);
  }
  throw new Error(`${directory} was loaded`);
}

const swap = (from: string, to: string) => (text: string) => {
  assert.ok(text.includes(from), `${from} is there to be replaced`);
  return text.replace(from, to);
};

for (const [what, file, change, message] of [
  ["an unknown key", "machine.json", swap('"watchdog"', '"wachdog"'), /machine\.json: wachdog is not known/],
  ["a missing key", "machine.json", swap('  "watchdog": false,\n', ""), /machine\.json: watchdog is missing/],
  ["no JSON", "devices.json", () => "{", /devices\.json: /],
  ["a size as a number", "devices.json", swap('"67108864"', "67108864"), /devices\.json: devices\[0\]\.sizeBytes must be digits/],
  ["another version", "data/vda4.json", swap('"schema": 1', '"schema": 2'), /data\/vda4\.json: schema must be/],
  [
    "a record that is none",
    "records/vda1.json",
    swap('"priority": 2', '"priority": 0'),
    /vda1\.json: slots\.[ab]\.priority must be/,
  ],
  ["valid without a record", "records/vda1.json", swap('"valid"', '"empty"'), /vda1\.json: record must be there where/],
  ["a wrong image id", "images/vda2.json", swap('"imageId": "5f', '"imageId": "xy'), /vda2\.json: imageId must be 64 hex digits/],
  [
    "a changed control file",
    "control.json",
    swap('"deviceTimeout":30', '"deviceTimeout":31'),
    /control\.json: control file: digest/,
  ],
] as const) {
  test(`refuses ${what}`, () => {
    assert.match(refusal(edited("trial", file, change)), message);
  });
}

test("refuses files that are no facts, and directories that are none", () => {
  assert.match(refusal(join(temporary, "nowhere")), /no directory .*nowhere/);
  const stray = edited("trial", "cmdline", (text) => text);
  writeFileSync(join(stray, "images", "vda9.control.json"), "{}");
  assert.match(refusal(stray), /images\/vda9\.control\.json is no file of captured facts/);
  const missing = edited("trial", "cmdline", (text) => text);
  rmSync(join(missing, "devices.json"));
  assert.match(refusal(missing), /cannot read .*devices\.json/);
});

test("saves only into a new or an empty directory", () => {
  const facts = loadFacts(join(captured, "trial"));
  const directory = fresh();
  mkdirSync(directory);
  writeFileSync(join(directory, "mine"), "");
  assert.throws(
    () => saveFacts(directory, facts),
    (error: Error) => error instanceof Refusal && /is not empty/.test(error.message),
  );
});

test("what the facts do not tell is said and taken to be sound", async () => {
  const directory = edited("trial", "cmdline", () => "init=/sbin/other\n");
  rmSync(join(directory, "data", "vda4.json"));
  const plan = await planBoot(loadFacts(directory));
  assert.is(plan.end.do, "hand-over");
  assert.match(plan.unknown.join("\n"), /whether \/sbin\/other can be executed/);
  assert.match(plan.unknown.join("\n"), /which generation slot b gets/);
  rmSync(join(directory, "images", "vda3.json"));
  rmSync(join(directory, "images", "vda3.control.json"));
  assert.match((await planBoot(loadFacts(directory))).unknown.join("\n"), /what is in slot b \(\/dev\/vda3\)/);
});

test("a machine that runs: the attempt is taken to end as by a power cut", async () => {
  const running = swap('"running": null', '"running": { "attempt": 4, "slot": "b" }');
  const plan = await planBoot(loadFacts(edited("rollback", "machine.json", running)));
  assert.match(plan.unknown.join("\n"), /how attempt 4 ends, which runs slot b now/);
});

/** Runs `slipway boot` as its own process. */
function slipway(...args: string[]) {
  const main = join(import.meta.dirname, "..", "..", "init", "main.ts");
  return spawnSync(process.execPath, [main, "boot", ...args], { encoding: "utf8" });
}

test("the verb: refused without --explain; text, JSON, another command line, captured facts", () => {
  const refused = slipway();
  assert.is(refused.status, 3);
  assert.match(refused.stderr, /only PID 1 of an initrd boots/);
  const trial = join(captured, "trial");
  const text = slipway("--explain", "--facts", trial);
  assert.is(text.status, 0, text.stderr);
  assert.match(text.stdout, /^Slot b boots, on trial, from \/dev\/vda3 with \/sbin\/init\.$/m);
  const copy = fresh();
  const other = slipway("--explain", "--facts", trial, "--command-line", "slipway.slot=a", "--save-facts", copy, "--json");
  assert.is(other.status, 0, other.stderr);
  const plan = JSON.parse(other.stdout);
  assert.is(plan.schema, 1);
  assert.is(plan.end.slot, "a");
  assert.is(loadFacts(copy).commandLine, "slipway.slot=a");
  const wrong = slipway("--explain", "--facts", join(temporary, "nowhere"));
  assert.is(wrong.status, 2);
});

test.run();
