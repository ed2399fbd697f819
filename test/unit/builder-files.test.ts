/** What the builder's verbs read and write: nothing half-written, nothing left behind, devices never replaced. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTextInput } from "../../init/builder/input.ts";
import { checkOutput, replaceFile, writePieces } from "../../init/builder/output.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const repository = join(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "slipway-builder-"));
const place = join(directory, "place");
test.before.each(() => mkdirSync(place));
test.after.each(() => rmSync(place, { recursive: true, force: true }));
test.after(() => rmSync(directory, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("only files are written to, in directories that exist; a device is never replaced", () => {
  const message = (output: string): string => {
    try {
      checkOutput(output);
    } catch (error) {
      assert.instance(error, BadInput);
      return String(error);
    }
    return "";
  };
  assert.is(spawnSync("mkfifo", [join(place, "pipe")]).status, 0);
  for (const path of ["/dev/null", place, join(place, "pipe")]) assert.match(message(path), `${path} is no regular file`);
  assert.match(message(join(place, "none/x")), `${join(place, "none")} is no directory`);
  assert.is(checkOutput(join(place, "new")), join(place, "new"));
});

test("a failure names the output, and leaves the old one and nothing else", async () => {
  const output = join(place, "output");
  writeFileSync(output, "old");
  let message = "";
  await replaceFile(output, (file) => {
    writePieces(file, [bytes("half")]);
    throw new Error("ENOSPC: no space left on device, write");
  }).catch((error: Error) => {
    message = error.message;
  });
  assert.is(message, `cannot write ${output}: no space left on device`);
  assert.is(readFileSync(output, "utf8"), "old");
  assert.equal(readdirSync(place), ["output"]);
});

test("behind a link the file is replaced, and the link stays", async () => {
  writeFileSync(join(place, "one"), "old");
  symlinkSync("one", join(place, "latest"));
  await replaceFile(checkOutput(join(place, "latest")), (file) => writePieces(file, [bytes("n"), bytes("ew")]));
  assert.ok(lstatSync(join(place, "latest")).isSymbolicLink());
  assert.is(readFileSync(join(place, "one"), "utf8"), "new");
});

test("what may not be read is named", () => {
  const file = join(place, "secret");
  writeFileSync(file, "x");
  chmodSync(file, 0);
  chmodSync(directory, 0o755);
  const script = "import { regularFile } from './init/builder/input.ts'; regularFile('--extra /x=secret', process.argv[1])";
  const user = ["--reuid", "65534", "--regid", "65534", "--clear-groups", process.execPath, "-e", script, file];
  const { status, stderr } = spawnSync("setpriv", user, { cwd: repository, encoding: "utf8" });
  assert.is(status, 1);
  assert.match(stderr, "--extra /x=secret cannot be read: permission denied");
});

test("what is no UTF-8 has a place", () => {
  const file = join(place, "x.yaml");
  writeFileSync(file, Buffer.concat([Buffer.from("a: 1\nä: "), Buffer.of(0xff, 0xfe)]));
  assert.throws(
    () => readTextInput("--system", file),
    (error: unknown) => error instanceof BadInput && error.message.startsWith(`${file}:2:4: not UTF-8`),
  );
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`${signal} in the middle leaves the old disk and nothing else`, async () => {
    const disk = join(place, "disk");
    writeFileSync(disk, "old");
    const system = join(directory, "system.yaml");
    writeFileSync(
      system,
      [
        "system: acme",
        "slots: { a: { device: PARTLABEL=root-a } }",
        "data: { device: PARTLABEL=sys-data, filesystem: ext4 }",
        "boot-record: { store: record, device: PARTLABEL=boot-record }\n",
      ].join("\n"),
    );
    const started = join(directory, "started");
    rmSync(started, { force: true });
    writeFileSync(
      join(directory, "mkfs.ext4"),
      `#!/bin/sh\necho $$ >${started}.new; mv ${started}.new ${started}; exec sleep 60\n`,
    );
    chmodSync(join(directory, "mkfs.ext4"), 0o755);
    const words = ["init/main.ts", "disk", "build", "--system", system, "--size", "64M", "--slot-size", "8M", "-o", disk];
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
    const child = spawn(process.execPath, words, { cwd: repository, env, stdio: "ignore" });
    const ended = once(child, "exit");
    while (!existsSync(started)) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.is(readdirSync(place).length, 2);
    child.kill(signal);
    assert.equal(await ended, [null, signal]);
    assert.is(readFileSync(disk, "utf8"), "old");
    assert.equal(readdirSync(place), ["disk"]);
    const program = Number(readFileSync(started, "utf8"));
    const state = existsSync(`/proc/${program}/status`) ? readFileSync(`/proc/${program}/status`, "utf8") : "State:\tZ";
    assert.match(state, /State:\tZ/, "the program that it ran has ended");
  });
}

test.run();
