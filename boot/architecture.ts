/** The machines that slipway is built for, and what each project calls them. */
import { BadInput } from "../state-ops/outcome.ts";

export const architectures = ["x86-64", "arm64"] as const;

/** As `--arch` takes it. */
export type Architecture = (typeof architectures)[number];

interface Names {
  /** e_machine of its ELF files. */
  elfMachine: number;
  /** e_machine of the 32-bit programs that most of its kernels run too. */
  elfMachine32: number;
  /** Debian's name, in package names too. */
  debian: string;
  /** First part of GNU's triplet, and of Debian's library directory with "-linux-gnu" behind it. */
  gnu: string;
  /** `process.arch` of a runtime on it. */
  runtime: "x64" | "arm64";
}

export const ARCHITECTURE: Record<Architecture, Names> = {
  "x86-64": { elfMachine: 62, elfMachine32: 3, debian: "amd64", gnu: "x86_64", runtime: "x64" },
  arm64: { elfMachine: 183, elfMachine32: 40, debian: "arm64", gnu: "aarch64", runtime: "arm64" },
};

/** The architecture that a runtime calls `name`. Throws Error for one that slipway is not built for. */
export function architectureOfRuntime(name: string): Architecture {
  const found = architectures.find((architecture) => ARCHITECTURE[architecture].runtime === name);
  if (!found) throw new Error(`slipway is built for ${architectures.join(" and ")}, this runtime says "${name}"`);
  return found;
}

/** The value of an option `--arch`. Throws BadInput. */
export function parseArchitecture(word: string): Architecture {
  const found = architectures.find((architecture) => architecture === word);
  if (!found) throw new BadInput(`--arch is ${architectures.join(" or ")}, got "${word}"`);
  return found;
}

/** The architecture whose 64-bit programs have this ELF machine; null for one that slipway is not built for. */
export function architectureOfMachine(elfMachine: number): Architecture | null {
  return architectures.find((architecture) => ARCHITECTURE[architecture].elfMachine === elfMachine) ?? null;
}

/** Whether programs of this ELF machine run on `architecture`. 32-bit programs are the kernel's choice. */
export function runsOn(architecture: Architecture, elfMachine: number): boolean {
  const { elfMachine: own, elfMachine32 } = ARCHITECTURE[architecture];
  return elfMachine === own || elfMachine === elfMachine32;
}
