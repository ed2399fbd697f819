import { dirname, isAbsolute, join } from "node:path";
import { readPublicKeyPem } from "../../../boot/image/keys.ts";
import type { ReadKey } from "../../../state-ops/compile-trust.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readTextInput } from "../input.ts";

/** Reads the keys that the system definition `systemFile` names, relative to its directory. */
export function keysBeside(systemFile: string): ReadKey {
  return (file) => {
    const path = isAbsolute(file) ? file : join(dirname(systemFile), file);
    try {
      return { key: readPublicKeyPem(path, readTextInput(path, path)).raw.toHex() };
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      return { fault: error.message };
    }
  };
}
