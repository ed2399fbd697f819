import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareLeaves } from "../../qemu/missing-blocks.ts";

/** Leaves of blocks whose contents are called by letters. */
function leavesOf(contents: string): Uint8Array {
  const leaves = new Uint8Array(contents.length * 32);
  for (const [index, content] of [...contents].entries()) leaves.fill(content.charCodeAt(0), index * 32, (index + 1) * 32);
  return leaves;
}

const cases: [older: string, newer: string, missing: number, distinct: number, runs: number][] = [
  ["abcd", "abcd", 0, 0, 0],
  ["abcd", "dcba", 0, 0, 0],
  ["abcd", "abxd", 1, 1, 1],
  ["abcd", "xbcx", 2, 1, 2],
  ["abcd", "xxcxy", 4, 2, 2],
  ["a", "xyz", 3, 3, 1],
  ["abcd", "a", 0, 0, 0],
];

for (const [older, newer, missing, distinct, runs] of cases) {
  test(`of ${newer}, ${older} lacks ${missing} blocks, ${distinct} of them different, in ${runs} runs`, () => {
    assert.equal(compareLeaves(leavesOf(older), leavesOf(newer)), { blocks: newer.length, missing, distinct, runs });
  });
}

test.run();
