import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compileProgram } from "../../qemu/c-program.ts";

/** The bench's next init, in the image. */
export const nextInit = "/usr/sbin/bench-init";

const source = fileURLToPath(new URL("next-init.c", import.meta.url));

/** What it is made from. */
export const nextInitText = (): string => readFileSync(source, "utf8");

export async function compileNextInit(output: string): Promise<void> {
  await compileProgram(source, output);
}
