/**
 * The environment block of GRUB against grub-editenv of Debian's grub-common. test/vectors/grubenv holds blocks that it made by
 * "create", "set" and "unset"; what is in them is said here.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { changeGrubenv, readGrubenv } from "../../boot/stores/grubenv.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-grubenv-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "grubenv");

const vector = (name: string) => new Uint8Array(readFileSync(new URL(`../vectors/grubenv/${name}`, import.meta.url)));
const latin = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
const padded = (text: string, padding = "#") => new Uint8Array(Buffer.from(text.padEnd(1024, padding), "latin1"));
const SIGNATURE = "# GRUB Environment Block\n";

/** What grub-editenv says of `bytes`. */
function editenv(bytes: Uint8Array, ...words: string[]): { status: number | null; text: string; bytes: Uint8Array } {
  writeFileSync(file, bytes);
  const { status, stdout } = spawnSync("grub-editenv", [file, ...words], { encoding: "latin1" });
  return { status, text: stdout, bytes: new Uint8Array(readFileSync(file)) };
}

function variables(bytes: Uint8Array): Record<string, string> {
  const reading = readGrubenv(bytes);
  if (reading.variables === null) throw new Error(reading.reason);
  return Object.fromEntries(reading.variables);
}

const changed = (bytes: Uint8Array | null, changes: Record<string, string | null>) =>
  changeGrubenv(bytes, new Map(Object.entries(changes)));

/** Where the two differ. */
function differences(one: Uint8Array, other: Uint8Array): number[] {
  return [...one.keys()].filter((at) => one[at] !== other[at]);
}

const vectors: Record<string, Record<string, string>> = {
  created: {},
  rauc: { ORDER: "A B", A_OK: "1", A_TRY: "0", B_OK: "1", B_TRY: "1" },
  slipway: { ORDER: "b a", a_OK: "1", a_TRY: "0", b_OK: "1", b_TRY: "2", slipway_nonce: "0123456789abcdef" },
  escapes: {
    saved_entry: "Debian GNU/Linux \\ with backslash",
    lines: "one\ntwo=2\nthree",
    end: "\\",
    ORDER: "A B",
    empty: "",
  },
  unset: { ORDER: "A B", A_OK: "0", B_OK: "0x1", B_TRY: "010" },
  "second-sector": { kernel: "x".repeat(430), ORDER: "A B", A_OK: "1", A_TRY: "0", B_OK: "1", B_TRY: "0" },
};

for (const [name, expected] of Object.entries(vectors)) {
  test(`reads what grub-editenv wrote, and writes it as it does: ${name}`, () => {
    const bytes = vector(name);
    assert.equal(variables(bytes), expected);
    assert.is(readGrubenv(bytes).reason, null);
    assert.equal(changed(bytes, {}), bytes);
    // The one thing that it does differently is to move what it changes into the first sector.
    if (name !== "second-sector") assert.equal(changed(vector("created"), expected), bytes);
    const text = Object.entries(expected).map(([key, value]) => `${key}=${value}\n`);
    assert.is(editenv(changed(null, expected), "list").text, text.join(""));
  });
}

test("changes as grub-editenv's set and unset make them", () => {
  const steps: [string[], Record<string, string | null>][] = [
    [["set", "A_TRY=1"], { A_TRY: "1" }],
    [["set", "A_TRY=12", "ORDER=B"], { A_TRY: "12", ORDER: "B" }],
    [["set", "text=a\\b\nc\\"], { text: "a\\b\nc\\" }],
    [["set", "text=", "after=1"], { text: "", after: "1" }],
    [["set", "text=again\n\n"], { text: "again\n\n" }],
    [["unset", "text", "A_OK"], { text: null, A_OK: null }],
    [["unset", "nothing"], { nothing: null }],
  ];
  let theirs: Uint8Array = vector("rauc");
  let ours = theirs;
  for (const [words, changes] of steps) {
    theirs = editenv(theirs, ...words).bytes;
    ours = changed(ours, changes);
    // grub-editenv fills with "#" whatever a shorter value leaves; so do we.
    assert.is(latin(ours), latin(theirs), words.join(" "));
  }
});

test("a value that keeps its length changes no other byte", () => {
  const before = vector("slipway");
  const after = changed(before, { ORDER: "a b", b_TRY: "3", a_OK: "1", slipway_nonce: "f123456789abcdef" });
  const at = (text: string) => latin(before).indexOf(text);
  const expected = [at("ORDER=b a") + 6, at("ORDER=b a") + 8, at("b_TRY=2") + 6, at("slipway_nonce=0") + 14];
  assert.equal(differences(before, after), expected);
});

test("what others wrote stays, in its order, comments and escapes too", () => {
  const others = `# mine\nsaved_entry=0\n# between\npath=a\\\\b\\\nc\nodd name=x=y\n`;
  const before = padded(`${SIGNATURE}${others}A_OK=1\nlast=1\n`);
  const after = changed(before, { A_OK: "0", A_TRY: "1" });
  assert.is(latin(after), latin(padded(`${SIGNATURE}${others}A_OK=0\nlast=1\nA_TRY=1\n`)));
});

test("variables that lie in the second sector are moved to the front, all in their order, and stay there", () => {
  const before = vector("second-sector");
  assert.ok(latin(before).indexOf("B_TRY=0") > 512);
  const ours = { ORDER: "A B", A_OK: "1", A_TRY: "0", B_OK: "1", B_TRY: "0" };
  const moved = changed(before, ours);
  assert.ok(latin(moved).startsWith(`${SIGNATURE}ORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\n# WARNING`));
  assert.equal(variables(moved), variables(before));
  const next = changed(moved, { ...ours, B_TRY: "1" });
  assert.equal(differences(moved, next), [latin(moved).indexOf("B_TRY=0") + 6]);
});

test("a new variable goes to the front where the end of the first sector has no room for it", () => {
  const rest = `rest=${"x".repeat(473)}\n`;
  const before = padded(`${SIGNATURE}A=1\n${rest}`);
  assert.is(latin(changed(before, { A: "1", B: "22" })), latin(padded(`${SIGNATURE}A=1\nB=22\n${rest}`)));
  // Just as long as it may be.
  const shorter = `rest=${"x".repeat(477)}\n`;
  assert.is(latin(changed(padded(`${SIGNATURE}${shorter}`), { B: "1" })), latin(padded(`${SIGNATURE}${shorter}B=1\n`)));
});

test("the WARNING line makes room, and no other comment; what does not fit then is told in bytes", () => {
  const warning = "# WARNING: Do not edit this file by tools other than grub-editenv!!!\n";
  const free = 1024 - SIGNATURE.length - warning.length;
  const value = "x".repeat(free - 3);
  const full = changed(null, { a: value });
  assert.is(latin(full), `${SIGNATURE}a=${value}\n${warning}`);
  assert.is(latin(changed(full, { a: `${value}y` })), latin(padded(`${SIGNATURE}a=${value}y\n`)));
  const fits = value.length + warning.length;
  assert.is(editenv(changed(full, { a: "y".repeat(fits) }), "list").status, 0);
  const tooSmall = (missing: number) => (error: unknown) => {
    assert.instance(error, RangeError);
    assert.match(String(error), `too small by ${missing} bytes`);
    return true;
  };
  assert.throws(() => changed(full, { a: "y".repeat(fits + 1) }), tooSmall(1));
  const other = padded(`${SIGNATURE}# theirs\n`);
  assert.throws(() => changed(other, { a: "y".repeat(1000) }), tooSmall(SIGNATURE.length + 9 + 1003 - 1024));
});

const unreadable: [string, Uint8Array, RegExp][] = [
  ["nothing", new Uint8Array(0), /has 0 bytes, not 1024/],
  ["half of it", vector("rauc").subarray(0, 512), /has 512 bytes, not 1024/],
  ["too much", padded(SIGNATURE.padEnd(2048, "#")), /has 2048 bytes, not 1024/],
  ["zeros", new Uint8Array(1024), /begins with NUL bytes/],
  ["another signature", padded("# GRUB Environment block\nA=1\n"), /begins with "# GRUB Environment block\\n", not/],
  ["a signature without its newline", padded("# GRUB Environment BlockX\n"), /begins with/],
];
for (const [what, bytes, reason] of unreadable) {
  test(`is no environment block, and is begun anew: ${what}`, () => {
    const reading = readGrubenv(bytes);
    assert.is(reading.variables, null);
    assert.match(reading.reason ?? "", reason);
    assert.equal(changed(bytes, { A_OK: "1" }), editenv(vector("created"), "set", "A_OK=1").bytes);
  });
}

const damaged: [string, Uint8Array, Record<string, string>, RegExp][] = [
  ["NUL padding", padded(`${SIGNATURE}A=1\n`, "\0"), { A: "1" }, /NUL bytes follow the variables/],
  ["no newline before the padding", padded(`${SIGNATURE}A=1\nB=2`), { A: "1" }, /byte 29 begins what is no line/],
  ["a torn name", padded(`${SIGNATURE}A=1\nORD`), { A: "1" }, /byte 29 begins/],
  ["a comment without an end", padded(`${SIGNATURE}A=1\n# half`), { A: "1" }, /byte 29 begins/],
  ["an escape at the end", padded(`${SIGNATURE}A=1\nB=2\\\n`), { A: "1" }, /byte 29 begins/],
  ["no equals sign", padded(`${SIGNATURE}A=1\nword\nB=2\n`), { A: "1", "word\nB": "2" }, /line without "=" .*"word\\nB"/],
  ["an empty line", padded(`${SIGNATURE}\nA=1\n`), { "\nA": "1" }, /line without "="/],
  ["one twice", padded(`${SIGNATURE}A=1\nB=1\nA=2\n`), { A: "2", B: "1" }, /A is there twice/],
];
for (const [what, bytes, expected, reason] of damaged) {
  test(`is read as far as GRUB reads it, with a reason, and made whole by a change: ${what}`, () => {
    assert.equal(variables(bytes), expected);
    assert.match(readGrubenv(bytes).reason ?? "", reason);
    const whole = changed(bytes, { A: "5" });
    assert.is(variables(whole).A, "5");
    assert.is(editenv(whole, "set", "A=6").status, 0);
    if (what !== "no equals sign" && what !== "an empty line") assert.is(readGrubenv(whole).reason, null);
  });
}

test("names and values that cannot stand in the block are refused", () => {
  for (const name of ["", "a=b", "a\nb", "#a", "a\0"]) assert.throws(() => changed(null, { [name]: "1" }), /no variable of an/);
  assert.throws(() => changed(null, { a: "1\0" }), /no variable of an/);
});

test("each torn write of one sector leaves old or new where our variables lie in the first", () => {
  const before = vector("slipway");
  const names = ["ORDER", "a_OK", "a_TRY", "b_OK", "b_TRY", "slipway_nonce"];
  const after = changed(before, {
    ORDER: "a b",
    a_OK: "1",
    a_TRY: "1",
    b_OK: "0",
    b_TRY: "0",
    slipway_nonce: "fedcba9876543210",
  });
  const ours = (bytes: Uint8Array) => names.map((name) => variables(bytes)[name]);
  const firstOnly = new Uint8Array([...after.subarray(0, 512), ...before.subarray(512)]);
  const secondOnly = new Uint8Array([...before.subarray(0, 512), ...after.subarray(512)]);
  assert.equal(ours(firstOnly), ours(after));
  assert.equal(ours(secondOnly), ours(before));
});

test.run();
