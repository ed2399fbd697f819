import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BOARD, consoleWord, guestArchitecture } from "../../qemu/architecture.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { startMachine } from "../../qemu/machine.ts";
import { project } from "../../qemu/places.ts";
import { markerOf, smallRootTree } from "../../qemu/roots.ts";
import { treeInitrd } from "../../qemu/tree-initrd.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-machine-"));
test.after(() => rmSync(directory, { recursive: true }));

const initrd = `${directory}/initrd`;
const append = `${consoleWord()} quiet`;
const { kernel } = await guestKernel();

async function messageOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("nothing was thrown");
}

test.before(async () => {
  const tree = mkdtempSync(join(tmpdir(), "slipway-machine-tree-"));
  await smallRootTree(tree, { facts: "v7", ending: "shell", script: "say memory: $(grep -c MemTotal /proc/meminfo)\n" });
  symlinkSync("/sbin/init", `${tree}/init`);
  await treeInitrd(tree, initrd);
  rmSync(tree, { recursive: true });
});

test("a small root speaks on both channels, hears the console, restarts and loses its power", async () => {
  const machine = await startMachine({ kernel, initrd, append });
  await machine.expect(markerOf({ facts: "v7" }));
  await machine.expectResult(markerOf({ facts: "v7" }));
  await machine.expectResult("memory: 1");
  await machine.expect("small root ends: shell");
  machine.send("echo a$((40 + 2))b\n");
  await machine.expect("a42b");
  machine.send("reboot -f\n");
  await machine.expect(markerOf({ facts: "v7" }));
  assert.is(machine.boots, 2);
  const end = await machine.cutPower();
  assert.equal({ ...end }, { code: null, signal: "SIGKILL", reason: "killed", boots: 2 });
  const log = readFileSync(machine.log, "utf8");
  assert.match(log, /^ +\d+\.\d{3} small root up: v7$/m);
  assert.match(log, /^ +\d+\.\d{3} results: small root up: v7$/m);
  assert.match(await messageOf(machine.expect("more")), "the machine ended (killed");
});

test("a kernel panic fails what is awaited at once, and shows the console and the log", async () => {
  const machine = await startMachine({ kernel, append: `${consoleWord()} panic=0`, timeoutMs: 60_000 });
  const message = await messageOf(machine.expect("never"));
  assert.match(message, "Kernel panic - not syncing: VFS: Unable to mount root fs");
  assert.match(message, machine.log);
  await machine.exited;
  assert.ok(machine.ms < 50_000, `took ${machine.ms} ms`);
});

test("the time limit counts from QEMU's start and ends it", async () => {
  const machine = await startMachine({ kernel, initrd, append, timeoutMs: 700 });
  assert.match(await messageOf(machine.expect("never")), "still running after its time limit of 0.7 s");
  assert.is((await machine.exited).signal, "SIGKILL");
});

test("what QEMU says when it cannot start is in the error", async () => {
  const machine = await startMachine({ kernel, extra: ["-nonsense"] });
  assert.match(await messageOf(machine.expect("never")), "-nonsense: invalid option");
});

test("QEMU ends when the process that started it is killed", async () => {
  const script = `
import { startMachine } from "${project}/qemu/machine.ts";
const machine = await startMachine(${JSON.stringify({ kernel, initrd, append, extra: ["-pidfile", `${directory}/pid`] })});
await machine.expect("small root up");
console.log("up");
await machine.exited;`;
  writeFileSync(`${directory}/parent.ts`, script);
  const parent = spawn(process.execPath, [`${directory}/parent.ts`], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => parent.stdout.once("data", resolve));
  const pid = readFileSync(`${directory}/pid`, "utf8").trim();
  assert.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"), BOARD[guestArchitecture].program);
  parent.kill("SIGKILL");
  const gone = () => !existsSync(`/proc/${pid}`) || /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  for (let waited = 0; waited < 5000 && !gone(); waited += 50) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(gone(), `QEMU ${pid} lives 5 s after its parent`);
});

test.run();
