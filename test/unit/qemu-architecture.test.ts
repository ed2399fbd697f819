import { test } from "uvu";
import * as assert from "uvu/assert";
import { consoleWord } from "../../qemu/architecture.ts";
import { machineWords } from "../../qemu/machine-options.ts";
import { project } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";

test("each board has a console of its own, and the results channel as the second PC serial port", () => {
  const words = (architecture: "x86-64" | "arm64") => machineWords({ architecture, kernel: "/k" }, "/s").join(" ");
  assert.is(consoleWord("x86-64"), "console=ttyS0");
  assert.match(words("x86-64"), /^-machine q35 .* -serial chardev:console .* -serial chardev:results /);
  assert.is(consoleWord("arm64"), "console=ttyAMA0");
  const arm = words("arm64");
  assert.match(arm, /^-machine virt .* -serial chardev:console /);
  assert.is(arm.match(/-serial /g)?.length, 1);
  assert.ok(arm.indexOf("pci-serial,chardev=unheard") < arm.indexOf("pci-serial,chardev=results"));
});

test("SLIPWAY_ARCH says what machines are made for, and an unknown word is refused", async () => {
  const script = `import { guestArchitecture } from "${project}/qemu/architecture.ts"; console.log(guestArchitecture)`;
  const ask = (word: string) => runProgram(process.execPath, ["-e", script], { environment: { SLIPWAY_ARCH: word } });
  assert.is(await ask("arm64"), "arm64\n");
  assert.is(await ask("x86-64"), "x86-64\n");
  const refused = await ask("aarch64").catch((error: Error) => error.message);
  assert.match(refused, 'is x86-64 or arm64, got "aarch64"');
});

test.run();
