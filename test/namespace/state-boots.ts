/** What a boot does with state, on real filesystems: an image, a data filesystem, /run, and what is seen afterwards. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { applyState, type StateResult } from "../../init/state/apply.ts";
import { layOut } from "../../init/state/data-filesystem.ts";
import type { DataFilesystem, Operator } from "../../state-ops/control.ts";
import { planState } from "../../state-ops/state-plan.ts";
import { sampleOperator } from "../samples/operator.ts";
import { attach, countingKernel, detach, kernel, mountDisk, mountTmpfs, program, scratch, unmountAll } from "./state-machine.ts";

export const root = `${scratch}/root`;
export const run = `${scratch}/run`;

/** A read-only image as they are shipped: erofs on a loop device. */
function makeImage(file: string, version: string): void {
  const tree = `${scratch}/tree-${version}`;
  const directories = ["etc/inner", "var/log", "var/lib/app", "var/empty", "srv", "home", "usr", "run", "opt"];
  for (const name of [...directories, "etc/secret.d", "var/vendor/inner"]) {
    mkdirSync(`${tree}/${name}`, { recursive: true });
  }
  writeFileSync(`${tree}/etc/machine-id`, "");
  writeFileSync(`${tree}/etc/hosts`, `hosts ${version}`);
  writeFileSync(`${tree}/etc/motd`, `motd ${version}`);
  writeFileSync(`${tree}/var/lib/app/shipped`, `shipped ${version}`);
  writeFileSync(`${tree}/var/log/first`, `log ${version}`);
  writeFileSync(`${tree}/opt/note`, `note ${version}`);
  writeFileSync(`${tree}/usr/program`, "#!/bin/sh\n");
  writeFileSync(`${tree}/etc/secret`, "shipped secret");
  writeFileSync(`${tree}/etc/secret.d/key`, "shipped key");
  writeFileSync(`${tree}/etc/seal`, `seal ${version}`);
  writeFileSync(`${tree}/var/vendor/inner/blob`, `vendor ${version}`);
  symlinkSync("/run/resolv.conf", `${tree}/etc/resolv.conf`);
  symlinkSync("/tmp", `${tree}/linked`);
  chmodSync(`${tree}/var/lib/app`, 0o2751);
  program("chown", "12:34", `${tree}/var/lib/app`);
  program("mkfs.erofs", "--quiet", file, tree);
}

export const images = { v1: `${scratch}/v1.erofs`, v2: `${scratch}/v2.erofs` };
makeImage(images.v1, "v1");
makeImage(images.v2, "v2");

export const operator = (path: string, words: Partial<Operator> = {}) =>
  sampleOperator(path, { origin: "test/state.yaml:1", ...words });

export const machineId = operator("/etc/machine-id", { kind: "file", state: "identity", seed: "none", generate: "machine-id" });

export interface Boot {
  type?: DataFilesystem;
  disk: string | null;
  image?: string;
  generation?: string;
  operators: Operator[];
  /** Looks at, or breaks, the data filesystem before the state is laid. */
  prepare?: (data: string) => void;
}

/** Does what a boot does with state, hands the result to `look`, and takes everything away. */
export function boot(boot: Boot, look: (result: StateResult) => void): void {
  const type = boot.type ?? "ext4";
  const counting = countingKernel();
  const device = attach(boot.image ?? images.v1);
  mkdirSync(root, { recursive: true });
  kernel.mount(device, root, "erofs", 1, "");
  mountTmpfs(run);
  const disk = boot.disk === null ? null : mountDisk(type, boot.disk);
  const newRoot = kernel.open(root, O.RDONLY | O.DIRECTORY);
  try {
    if (disk !== null) {
      layOut(kernel, disk.data, "3f1c2a44-9d0e-4e59-8a67-1b2c3d4e5f60");
      mkdirSync(`${disk.place}/gens/000001/tree`, { recursive: true });
      boot.prepare?.(disk.place);
    }
    const generation = disk === null ? null : (boot.generation ?? "gens/000001");
    const steps = planState(boot.operators, { generation });
    look(applyState(counting.kernel, { steps, newRoot, data: disk?.data ?? null, run, onProgress: () => {} }));
  } finally {
    const seen = existsSync(`${run}/slipway`) ? readdirSync(`${run}/slipway`) : [];
    kernel.close(newRoot);
    unmountAll(root);
    unmountAll(run);
    disk?.close();
    detach(device);
    assert.equal([...counting.open], [], "a descriptor was left open");
    assert.equal(seen, [], "nothing of PID 1's own stays below /run");
  }
}

export const read = (path: string): string => readFileSync(`${root}${path}`, "utf8");
export const write = (path: string, text: string): void => writeFileSync(`${root}${path}`, text);

export function codeOf(work: () => void): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Error && "code" in error) return String(error.code);
    throw error;
  }
  return "done";
}

/** Flags and options of what is mounted on a path of the new root. */
export function mountOf(path: string): { filesystem: string; flags: string[]; options: string[] } {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const line = lines.findLast((text) => text.split(" ")[4] === path) ?? "";
  const [before = "", after = ""] = line.split(" - ");
  const [filesystem = "", , options = ""] = after.split(" ");
  return { filesystem, flags: (before.split(" ")[5] ?? "").split(","), options: options.split(",") };
}
