/** What a recovery's screen says, at several sizes and with names that mean harm. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Progress } from "../../boot/converge/progress-text.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { plainText, withoutSecrets, wrapped } from "../../boot/recovery/plain-text.ts";
import {
  changeLines,
  NOTHING_SHOWN,
  plainLine,
  type ScreenState,
  screenLines,
  statusLine,
} from "../../boot/recovery/screen-text.ts";
import { matchesGolden } from "../golden.ts";

const MiB = (1024 * 1024) / BLOCK;
const progress: Progress = {
  phase: "write",
  done: 13.5 * MiB,
  total: 30 * MiB,
  there: 3 * MiB,
  arrived: { zero: 0, target: 0, donor: MiB, source: 12 * MiB },
  network: 12 * 1024 * 1024,
  rate: 1.25 * 1024 * 1024,
};

const full: ScreenState = {
  title: "no slot of this machine boots",
  slots: [
    {
      slot: "a",
      reason: "damaged: the footer of /dev/vda2 begins with zeros, and no seal was found behind the filesystem's size",
    },
    { slot: "b", reason: "its trial was used up after 3 tries" },
  ],
  trying: "repair of slot a from https://updates.example/gateway/stable (gateway 1.4.2)",
  progress,
  addresses: ["192.0.2.10/24 on eth0", "2001:db8::10/64 on eth0"],
  nextAttemptSeconds: null,
};
const said = [
  "no removable medium has an image",
  "mirror https://one.example/stable: connection refused; trying again in 4 s",
  "mirror https://updates.example/gateway/stable: gateway 1.4.2 is signed by release",
];
const waiting: ScreenState = { ...full, trying: null, progress: null, addresses: [], nextAttemptSeconds: 45 };

const SIZES = [
  [80, 24],
  [132, 43],
  [80, 12],
  [40, 12],
  [40, 8],
  [20, 5],
] as const;

/** Between the lines of a frame, so that blanks at their ends show. */
function framed(lines: readonly string[], columns: number, rows: number): string {
  const bar = `+${"-".repeat(columns)}+ ${columns} x ${rows}`;
  return [bar, ...lines.map((line) => `|${line.padEnd(columns)}|`), bar, ""].join("\n");
}

test("the screen at several sizes", () => {
  const screens = SIZES.flatMap(([columns, rows]) => [
    framed(screenLines(full, said, columns, rows), columns, rows),
    framed(screenLines(waiting, said, columns, rows), columns, rows),
  ]);
  matchesGolden("recovery-screen", screens.join("\n"));
});

test("what a person needs most is there on the smallest terminal", () => {
  const lines = screenLines(full, said, 40, 4);
  assert.match(lines.join("\n"), "slipway recovery");
  assert.match(lines.join("\n"), "repair of slot a");
  assert.match(screenLines(waiting, said, 40, 4).join("\n"), "next attempt in 0:45");
});

test("names that mean harm are shown and obeyed by nobody", () => {
  const hostile = "x\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\u202e\u200bgnp.ěé\u{1f4a9}\ud800";
  const state: ScreenState = {
    title: hostile,
    slots: [
      { slot: hostile, reason: hostile },
      { slot: "s".repeat(500), reason: "y".repeat(5000) },
    ],
    trying: hostile,
    progress: null,
    addresses: [hostile],
    nextAttemptSeconds: 5,
  };
  const lines = screenLines(state, [hostile], 80, 24);
  assert.match(lines.join("\n"), "recovery: x [2J ]0;owned");
  for (const line of [...lines, ...changeLines(NOTHING_SHOWN, state), statusLine(state) ?? "", plainLine(hostile)]) {
    assert.match(line, /^[\x20-\x7e]*$/);
  }
});

const anyText = fc.string({
  unit: fc.oneof(fc.constantFrom("\x1b", "[", "\n", "é", " ", "a"), fc.string({ unit: "binary", maxLength: 1 })),
});
const anyState: fc.Arbitrary<ScreenState> = fc.record({
  title: anyText,
  slots: fc.array(fc.record({ slot: anyText, reason: anyText }), { maxLength: 9 }),
  trying: fc.option(anyText),
  progress: fc.option(
    fc.record({
      phase: fc.constantFrom("tree", "compare", "write", "verify"),
      done: fc.nat(),
      total: fc.nat(),
      there: fc.nat(),
      arrived: fc.constant(progress.arrived),
      network: fc.maxSafeNat(),
      rate: fc.option(fc.double({ min: 0, noNaN: true })),
    }),
  ),
  addresses: fc.array(anyText, { maxLength: 5 }),
  nextAttemptSeconds: fc.option(fc.nat()),
});

test("whatever is shown, and however small the terminal: printable lines that fit", () => {
  fc.assert(
    fc.property(
      anyState,
      fc.array(anyText),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 60 }),
      (state, texts, columns, rows) => {
        const lines = screenLines(state, texts, columns, rows);
        assert.ok(lines.length >= 1 && lines.length <= rows);
        for (const line of lines) assert.ok(/^[\x20-\x7e]*$/.test(line) && line.length <= Math.max(1, columns - 1), line);
        for (const line of changeLines(NOTHING_SHOWN, state)) assert.match(line, /^slipway: [\x20-\x7e]{0,231}$/);
      },
    ),
    { numRuns: 500 },
  );
});

test("no secret of a URL is shown", () => {
  const text = "from https://user:pa%20ss@mirror.example/stable?token=abc&x=1 (HTTPS://k@h/?q) and http://plain.example/a b";
  assert.is(withoutSecrets(text), "from https://…@mirror.example/stable?… (HTTPS://…@h/?…) and http://plain.example/a b");
  assert.is(plainText("http://[2001:db8::1]:8080/a?b"), "http://[2001:db8::1]:8080/a?...");
  assert.is(plainText("who is there? a@b"), "who is there? a@b");
});

test("long texts are broken at blanks, and cut where they end", () => {
  assert.equal(wrapped("one two three four", 9, 3), ["one two", "three", "four"]);
  assert.equal(wrapped("one two three four", 9, 2), ["one two", "three ..."]);
  assert.equal(wrapped("abcdefghijkl", 5, 2), ["abcde", "fg..."]);
  assert.equal(wrapped("", 5, 2), [""]);
});

test("a console that is no terminal is told what is new, and then what goes on", () => {
  assert.equal(changeLines({ ...NOTHING_SHOWN, title: "" }, { ...full, trying: "repair of slot a" }), [
    "slipway: no slot of this machine boots",
    "slipway: slot a: damaged: the footer of /dev/vda2 begins with zeros, and no seal was found behind the filesystem's size",
    "slipway: slot b: its trial was used up after 3 tries",
    "slipway: repair of slot a",
    "slipway: addresses 192.0.2.10/24 on eth0, 2001:db8::10/64 on eth0",
  ]);
  assert.equal(changeLines(full, full), []);
  assert.equal(changeLines(full, waiting), ["slipway: next attempt in 0:45"]);
  assert.equal(changeLines(waiting, { ...waiting, nextAttemptSeconds: 44 }), [], "a clock that runs is no news");
  assert.equal(changeLines({ ...waiting, nextAttemptSeconds: 1 }, waiting), ["slipway: next attempt in 0:45"]);
  const changed = { ...full, slots: [{ slot: "a", reason: "repaired" }] };
  assert.equal(changeLines(full, changed), ["slipway: slot a: repaired"]);
  assert.is(statusLine(full), "slipway: writing 45 %, 14 MiB of 30 MiB, 1.3 MiB/s, network 12 MiB, 0:14 left");
  assert.is(statusLine({ ...full, progress: null, trying: "waiting for a link" }), "slipway: still at it: waiting for a link");
  assert.is(statusLine(waiting), "slipway: next attempt in 0:45");
  assert.is(statusLine(NOTHING_SHOWN), null);
});

test.run();
