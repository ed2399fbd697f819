import { statSync } from "node:fs";
import { ARCHITECTURE } from "../../boot/architecture.ts";
import { hostArchitecture } from "../../qemu/architecture.ts";
import { project } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { checkMachine, type Target } from "./target.ts";

const limit = 16 * 1024;

/** It lives in the address space of other programs: behind Bun's executable, below where Linux loads what may lie anywhere. */
const interpreterAddress = "0x70000000";

/** Compiles init/NAME/NAME.c, a program without libc, to NAME in the target's dist. `strings` become macros of C strings. */
export async function buildStatic(
  { architecture, dist }: Target,
  name: "preinit" | "launcher" | "interpreter" | "system-shutdown",
  strings: Record<string, string>,
): Promise<string> {
  const machine = { "x86-64": "-fcf-protection=none", arm64: "-mcpu=generic -mbranch-protection=none -mno-outline-atomics" };
  const flags = [
    `${name === "interpreter" ? "-O2" : "-Os"} -static -nostdlib -nostartfiles -ffreestanding -fno-pie -no-pie -fno-stack-protector`,
    "-fno-asynchronous-unwind-tables -fno-unwind-tables -fno-tree-loop-distribute-patterns -Wall -Wextra -Werror -s",
    `-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,noexecstack ${machine[architecture]}`,
    ...(name === "interpreter" ? [`-Wl,-Ttext-segment=${interpreterAddress}`] : []),
  ].flatMap((line) => line.split(" "));
  const compiler = architecture === hostArchitecture ? "gcc" : `${ARCHITECTURE[architecture].gnu}-linux-gnu-gcc`;
  const macros = Object.entries(strings).map(([macro, value]) => `-D${macro}="${value}"`);
  await runProgram(compiler, [...flags, ...macros, "-o", `${dist}/${name}`, `${project}/init/${name}/${name}.c`]);
  const size = statSync(`${dist}/${name}`).size;
  if (size > limit) throw new Error(`${dist}/${name} has ${size} bytes, ${limit} are allowed`);
  checkMachine(`${dist}/${name}`, architecture);
  return `${size} bytes`;
}
