import { readFileSync } from "node:fs";
import { ARCHITECTURE, type Architecture } from "../../boot/architecture.ts";
import { MACHINE, readElfStart } from "../../boot/elf.ts";

/** Where the products go. */
export interface Target {
  architecture: Architecture;
  dist: string;
}

/** Throws Error where `file` is a program for another machine. */
export function checkMachine(file: string, architecture: Architecture): void {
  const { machine } = readElfStart(readFileSync(file));
  if (machine === ARCHITECTURE[architecture].elfMachine) return;
  throw new Error(`${file} was made for ${MACHINE[machine] ?? `ELF machine ${machine}`} instead of ${architecture}`);
}
