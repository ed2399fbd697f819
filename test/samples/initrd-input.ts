import * as assert from "uvu/assert";
import { buildInitrd, type InitrdInput } from "../../init/builder/initrd/build.ts";
import { BadInput } from "../../state-ops/outcome.ts";

/** What every test says itself. */
type Given = Pick<InitrdInput, "control" | "modules" | "executable" | "preinit" | "output"> & Partial<InitrdInput>;

/** Input of {@link buildInitrd} without anything that may be left out, compressed for soon. */
export function sampleInitrdInput(given: Given): InitrdInput {
  const options = { named: [], extra: [], debug: false, architecture: null, sysroot: "/", hot: null, blockSize: null, level: 1 };
  return { ...options, ...given };
}

/** Asserts that the initrd is refused as bad input, by an error with all of `words` in it. */
export async function refusesInitrd(input: InitrdInput, ...words: string[]): Promise<void> {
  try {
    await buildInitrd(input);
  } catch (error) {
    assert.instance(error, BadInput, String(error));
    for (const word of words) assert.ok(String(error).includes(word), `"${word}" in: ${error}`);
    return;
  }
  assert.unreachable("was not refused");
}
