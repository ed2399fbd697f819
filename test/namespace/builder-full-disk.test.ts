/** The builder's verbs on a filesystem without room: exit code 1, one line, the old file untouched, nothing left behind. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { sampleControlText } from "../samples/control-file.ts";

const repository = join(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "slipway-full-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));

const labels = ["--system", "acme", "--version", "1"];
const system = join(directory, "system.yaml");
const tree = join(directory, "tree");
const image = join(directory, "image");
const full = join(directory, "full");
const random = join(directory, "random");
const control = join(directory, "control.json");
const sealed = join(directory, "sealed");
test.before(() => {
  mkdirSync(random);
  writeFileSync(`${random}/content`, randomBytes(3 << 20));
  writeFileSync(control, sampleControlText({ system: "acme" }));
  const words = ["image", "build", "--root", random, ...labels, "-o", sealed];
  assert.is(spawnSync(process.execPath, [join(repository, "init/main.ts"), ...words]).status, 0);
  for (const path of [full, `${tree}/usr/share/slipway/state.d`]) mkdirSync(path, { recursive: true });
  writeFileSync(
    system,
    "system: acme\nslots: { a: { device: PARTLABEL=root-a } }\nboot-record: { store: record, device: PARTLABEL=boot-record }\n",
  );
  const operators = Array.from({ length: 50 }, (_, index) => `  - { path: /run/directory-${index}, state: ephemeral }\n`);
  writeFileSync(`${tree}/usr/share/slipway/state.d/x.yaml`, `package: x\noperators:\n${operators.join("")}`);
  writeFileSync(image, Buffer.alloc(4 << 20, 7));
});

/** `slipway WORDS… -o full/output` on a tmpfs of `bytes`, on which an old output lies; what is there afterwards comes last. */
function build(bytes: number, ...words: string[]) {
  const script = `mount -t tmpfs -o size=${bytes} none ${full} && echo old >${full}/output && "$@" -o ${full}/output
    status=$?; ls -A ${full}; cat ${full}/output; exit $status`;
  const program = [process.execPath, join(repository, "init/main.ts"), ...words];
  const args = ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...program];
  const { status, stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

for (const [name, bytes, words] of [
  ["state compile", 8192, ["--system", system, "--root", tree]],
  ["disk build", 2 << 20, ["--system", system, "--slot", `a=${image}`, "--size", "32M"]],
] as const) {
  test(`slipway ${name}`, () => {
    const { status, stdout, stderr } = build(bytes, ...name.split(" "), ...words);
    assert.is(status, 1, stderr);
    const last = stderr.trim().split("\n").at(-1);
    assert.is(last, `slipway: cannot write ${full}/output: no space left on device`);
    assert.is(stdout, "output\nold\n");
  });
}

for (const [name, bytes, words] of [
  ["image build", 1 << 20, ["--root", random, ...labels]],
  ["image build", 1 << 20, ["--root", random, ...labels, "--control", control]],
  ["image seal", 1 << 20, [sealed, ...labels, "--reseal"]],
  ["image index", 4096, [sealed]],
] as const) {
  test(`slipway ${name} ${words.at(-1)}`, () => {
    const { status, stdout, stderr } = build(bytes, ...name.split(" "), ...words);
    assert.is(status, 1, stderr);
    // The one of our own calls, or of the tool that ran into it.
    assert.match(stderr, new RegExp(`^slipway: cannot write ${full}/output: (?:.*\\n)*?.*no space left on device`, "im"));
    assert.is(stdout, "output\nold\n");
  });
}

test.run();
