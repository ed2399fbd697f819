import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { lock, lockOneOf, makeOnce } from "../../qemu/lock.ts";
import { project } from "../../qemu/places.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-lock-"));
test.after(() => rmSync(directory, { recursive: true }));

const within = <Value>(work: Promise<Value>, ms: number) =>
  Promise.race([work, new Promise<"late">((resolve) => setTimeout(() => resolve("late"), ms))]);

test("a held lock keeps others out until it is released", async () => {
  const path = `${directory}/a`;
  const first = await lock(path);
  const second = lock(path);
  assert.is(await within(second, 200), "late");
  first.release();
  (await second).release();
});

test("a lock ends with the process that held it, also when it is killed", async () => {
  const path = `${directory}/b`;
  const script = `import { lock } from "${project}/qemu/lock.ts"; await lock(${JSON.stringify(path)}); console.log("held"); setInterval(() => {}, 1000);`;
  writeFileSync(`${directory}/holder.ts`, script);
  const holder = spawn(process.execPath, [`${directory}/holder.ts`], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  const waiting = lock(path);
  assert.is(await within(waiting, 200), "late");
  holder.kill("SIGKILL");
  const got = await within(waiting, 5000);
  if (got === "late") throw new Error("the lock outlived the process that held it");
  got.release();
});

test("the first free lock of several is taken, and only that", async () => {
  const paths = [`${directory}/c0`, `${directory}/c1`];
  const held = await lock(`${directory}/c0`);
  const one = await lockOneOf(paths);
  assert.is(one.path, `${directory}/c1`);
  const next = lockOneOf(paths);
  assert.is(await within(next, 200), "late");
  held.release();
  const two = await next;
  assert.is(two.path, `${directory}/c0`);
  one.lock.release();
  two.lock.release();
});

test("two that ask at once make it once", async () => {
  let made = 0;
  const make = async (aside: string) => {
    made += 1;
    await new Promise((resolve) => setTimeout(resolve, 50));
    writeFileSync(`${aside}/file`, "content");
  };
  await Promise.all([makeOnce(`${directory}/d`, make), makeOnce(`${directory}/d`, make)]);
  assert.is(made, 1);
  assert.ok(existsSync(`${directory}/d/file`));
});

test("what could not be made leaves nothing behind and can be tried again", async () => {
  const path = `${directory}/e`;
  let message = "";
  await makeOnce(path, () => Promise.reject(new Error("no space"))).catch((error: Error) => {
    message = error.message;
  });
  assert.is(message, "no space");
  assert.equal(
    readdirSync(directory).filter((name) => name.startsWith("e")),
    ["e.lock"],
  );
  await makeOnce(path, async (aside) => writeFileSync(`${aside}/result`, "x"), "result");
  assert.ok(existsSync(path));
});

test.run();
