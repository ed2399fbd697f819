/** What somebody sees who stands before a machine that no slot boots. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Terminal } from "../samples/terminal.ts";
import { smallSystem } from "./support/small-image.ts";
import { smallMachine, startSmall } from "./support/small-machine.ts";

const QUESTION = "\x1b[6n";
const machine = await smallMachine({
  system: smallSystem(["a", "b"], "ext4", "recovery: { media: false }\n"),
  slots: {},
  slotSize: "8M",
});

test("a terminal on the serial line gets a screen of its size, drawn over what the kernel says meanwhile", async () => {
  const terminal = new Terminal(90, 28);
  let received = "";
  let isAsked = false;
  const running = await startSmall(machine, {
    onOutput: (bytes) => {
      received += new TextDecoder("latin1").decode(bytes);
      if (!isAsked) {
        const asked = received.indexOf(QUESTION);
        if (asked < 0) return;
        isAsked = true;
        running.send("\x1b[28;90R");
        received = received.slice(asked + QUESTION.length);
      }
      terminal.feed(received.replaceAll("\t", " "));
      received = "";
    },
  });
  const isHeld = () => /next attempt in/.test(terminal.lines.join("\n"));
  await running.expect(/recovery could not help/);
  for (let left = 100; left > 0 && !isHeld(); left--) await Bun.sleep(100);
  const told = terminal.lines.join("\n");
  assert.match(terminal.lines[0] ?? "", /^slipway recovery: no slot boots/);
  assert.match(told, /\n {2}slot a {2}.*no image/);
  assert.match(told, /\n {2}slot b {2}.*no image/);
  assert.match(told, /\n {2}next attempt in \d+:\d\d\n/);
  await running.cutPower();
});

test("a line where nobody answers is asked once and gets plain lines", async () => {
  const running = await startSmall(machine);
  await running.expect(/slipway: no slot boots\n/);
  await running.expect(/slipway: slot a: .*no image/);
  await running.expect(/slipway: next attempt in \d+:\d\d/);
  assert.is(running.console.text.split(QUESTION).length, 2);
  assert.not.match(running.console.text, "\x1b[1;1H");
  await running.cutPower();
});

test.run();
