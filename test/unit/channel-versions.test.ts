/** The order of versions. */
import { spawnSync } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareVersions } from "../../boot/channel/version-order.ts";
import { randomNumbers } from "../samples/random.ts";

/** Each line from the oldest to the newest. */
const ascending = [
  ["1", "2", "9", "10", "100"],
  ["1.9", "1.10", "2.0", "2.0.1", "10.0"],
  ["2.0~", "2.0~beta", "2.0~beta2", "2.0~rc1", "2.0", "2.0-1", "2.0.1"],
  ["2.0", "2.0-rc1"],
  ["1.0", "1.0a", "1.0b", "1.0b1", "1.0b2"],
  ["A", "B", "a", "b", "0", "1"],
  ["1-2", "1.2", "1a", "12"],
  ["2026.9.30", "2026.11.2", "2026.11.2.1", "2027.1"],
  ["20261127", "20261128"],
  ["5", "5+build1", "5+build2"],
  ["1^20260101", "1.1"],
  ["9999999999999999999998", "9999999999999999999999", "10000000000000000000000"],
];
const equal = [
  ["1", "01"],
  ["1.0", "1.00"],
  ["1_2", "1+2"],
  ["1", "1_"],
  ["007", "7"],
] as const;

test("older and newer", () => {
  for (const line of ascending) {
    for (const [index, left] of line.entries()) {
      for (const [other, right] of line.entries()) {
        assert.is(compareVersions(left, right), Math.sign(index - other), `${left} and ${right}`);
      }
    }
  }
});

test("neither is newer", () => {
  for (const [left, right] of equal) {
    assert.is(compareVersions(left, right), 0, `${left} and ${right}`);
    assert.is(compareVersions(right, left), 0, `${right} and ${left}`);
  }
});

const pieces = ["1", "2", "10", "01", "0", "a", "b", "rc", "B", "~", "-", "^", ".", "_", "+", "9".repeat(22)];

function someVersions(count: number, seed: number): string[] {
  const random = randomNumbers(seed);
  const piece = () => pieces[Math.floor(random() * pieces.length)] ?? "";
  return Array.from({ length: count }, () => Array.from({ length: 1 + Math.floor(random() * 5) }, piece).join(""));
}

test("the other way round is the opposite", () => {
  const versions = someVersions(120, 1);
  for (const left of versions) {
    for (const right of versions)
      assert.is(compareVersions(left, right) + compareVersions(right, left), 0, `${left} and ${right}`);
  }
});

if (spawnSync("systemd-analyze", ["compare-versions", "1", "2"]).status === 12) {
  test("systemd says the same", () => {
    const versions = someVersions(160, 2);
    for (const [index, left] of versions.entries()) {
      const right = versions[(index + 1) % versions.length] ?? "";
      const { status } = spawnSync("systemd-analyze", ["compare-versions", "--", left, right]);
      assert.is(compareVersions(left, right), { 0: 0, 11: 1, 12: -1 }[status ?? 1], `${left} and ${right}`);
    }
  });
}

test.run();
