import { test } from "uvu";
import * as assert from "uvu/assert";
import { Transcript } from "../../qemu/transcript.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function messageOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("nothing was thrown");
}

test("a text that comes in pieces is found", async () => {
  const console = new Transcript("console", () => 0);
  const found = console.expect("login:", 1000);
  for (const piece of ["\r\nlo", "gi", "n: "]) console.append(bytes(piece));
  assert.is((await found)[0], "login:");
});

test("each expectation searches behind the one before it", async () => {
  const console = new Transcript("console", () => 0);
  console.append(bytes("boot\nboot\n"));
  await console.expect("boot", 100);
  await console.expect("boot", 100);
  const message = await messageOf(console.expect("boot", 20));
  assert.match(message, /console: "boot" not seen: nothing like it after 20 ms/);
  console.append(bytes("boot\n"));
  await console.expect("boot", 100);
});

test("a late expectation does not eat what a waiting one wants", async () => {
  const console = new Transcript("console", () => 0);
  const order: string[] = [];
  const first = console.expect(/slot (\w)/, 1000).then((match) => order.push(`first ${match[1]}`));
  const second = console.expect("slot", 1000).then(() => order.push("second"));
  console.append(bytes("slot a\nslot b\n"));
  await Promise.all([first, second]);
  assert.equal(order, ["first a", "second"]);
});

test("a regular expression's own flags are kept, its position is not", async () => {
  const console = new Transcript("console", () => 0);
  console.append(bytes("Kernel PANIC\n"));
  const pattern = /panic/gi;
  pattern.lastIndex = 12;
  assert.is((await console.expect(pattern, 100))[0], "PANIC");
});

test("lines carry the time at which they began, and end without carriage returns", () => {
  let now = 5;
  const kept: string[] = [];
  const console = new Transcript(
    "console",
    () => now,
    (line) => kept.push(`${line.ms} ${line.text}`),
  );
  console.append(bytes("one"));
  now = 9;
  console.append(bytes(" more\r\ntwo\n\nthree"));
  assert.equal(kept, ["5 one more", "9 two", "9 "]);
  console.end();
  assert.equal(kept.at(-1), "9 three");
});

test("characters that are split over two reads are not broken", () => {
  const console = new Transcript("console", () => 0);
  const [first, ...rest] = bytes("…");
  console.append(new Uint8Array([first ?? 0]));
  console.append(new Uint8Array(rest));
  assert.is(console.text, "…");
});

test("a failure ends waiting and later expectations, but not those that were met", async () => {
  const console = new Transcript("console", () => 0);
  const waiting = messageOf(console.expect("never", 10_000));
  console.append(bytes("seen\n"));
  console.fail(new Error("Kernel panic"));
  assert.match(await waiting, "Kernel panic");
  assert.match(await messageOf(console.expect("later", 10_000)), "Kernel panic");
});

test("what came before a failure can still be expected after it", async () => {
  const console = new Transcript("console", () => 0);
  console.append(bytes("last words\n"));
  console.fail(new Error("the machine ended"));
  await console.expect("last words", 100);
});

test.run();
