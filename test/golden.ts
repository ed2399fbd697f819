import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";

const folder = join(import.meta.dirname, "golden");

/**
 * Compares `text` with test/golden/NAME.trace, or a file of another kind. With SLIPWAY_UPDATE_GOLDEN=1 the file is written instead; a missing file
 * is a failure otherwise.
 */
export function matchesGolden(name: string, text: string, kind: "trace" | "txt" | "svg" = "trace"): void {
  const path = join(folder, `${name}.${kind}`);
  if (process.env.SLIPWAY_UPDATE_GOLDEN === "1") {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, text);
    return;
  }
  const remedy = "run the test with SLIPWAY_UPDATE_GOLDEN=1 and read the diff";
  if (!existsSync(path)) throw new Error(`no golden file ${path}: ${remedy}`);
  assert.fixture(text, readFileSync(path, "utf8"), `${name} differs from its golden file; where that is meant, ${remedy}`);
}
