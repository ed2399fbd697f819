/** activate --kexec from a running system, which the kernel of another slot replaces without the firmware's reboot. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { commitA, control, generic, machineWith, memory, script, v1, v2, v2File } from "./support/kexec-ground.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { smallImage } from "./support/small-image.ts";
import { boot, part, partsOf, startSmall } from "./support/small-machine.ts";

/** Slipway's own verb in slot a, asked for on the command line; what it says goes to the results. */
const asking = `if grep -q try-kexec /proc/cmdline && [ ! -e /run/asked ]; then
  touch /run/asked
  report asked sh -c 'slipway activate b --kexec; echo "exit $?"'
fi
`;

test("activate --kexec starts the other slot's kernel and initrd; where it has none the activation stands", async () => {
  const a = await smallImage({ ...v1, facts: "asking", slipway: true, script: `${script}${asking}` }, control);
  const machine = await machineWith(a, v2File);
  await boot(machine, memory);
  commitA(machine.disk, a);
  const running = await startSmall(machine, { ...memory, append: "try-kexec a.word=kept" });
  await running.expectResult(/small root up: asking\n/);
  await running.expectResult(/small root up: v2\n/);
  await running.exited;
  const parts = partsOf(running.results.text);
  assert.is(parts.get("uname"), generic.version);
  const line = parts.get("line") ?? "";
  assert.match(line, /a\.word=kept panic=10 slipway\.slot=b$/);
  assert.not.match(running.console.text, /starting its own kernel/, "the one that is wanted runs already");
  const report = JSON.parse(parts.get("boot") ?? "{}");
  assert.equal([report.slot, report.attempt, report.trial, report.proof], ["b", 3, true, "signed"]);
  assert.equal(report.warnings, []);
  assert.is(validRecord(machine.disk).slots.b?.tries, 2, "a boot like any other: counted once");
});

test("activate --kexec of an image without a kernel: refused by the kexec alone, exit 3, and a reboot goes there", async () => {
  const a = await smallImage({ ...v1, facts: "asking", slipway: true, script: `${script}${asking}` }, control);
  const { kernel: _, ...plain } = v2;
  const b = await smallImage({ ...plain, facts: "plain" }, control);
  const machine = await machineWith(a, b);
  await boot(machine, memory);
  commitA(machine.disk, a);
  const told = await boot(machine, { ...memory, append: "try-kexec" });
  const said = part(told, "asked");
  assert.match(said, /The next boot is slot b/);
  assert.match(said, /--kexec: slot b: the image has no kernel of its own at .*; what was done stands: reboot/);
  assert.match(said, /exit 3$/);
  const next = await boot(machine, memory);
  assert.is(next.root, "plain");
  assert.ok(next.report.warnings.some((text) => text.startsWith("the image in slot b has no kernel of its own")));
});

test.run();
