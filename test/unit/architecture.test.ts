import { test } from "uvu";
import * as assert from "uvu/assert";
import { ARCHITECTURE, architectureOfRuntime, architectures, parseArchitecture } from "../../boot/architecture.ts";
import { MACHINE } from "../../boot/elf.ts";

test("each architecture is what --arch and the runtime call it, and its ELF machine has that name", () => {
  for (const architecture of architectures) {
    assert.is(parseArchitecture(architecture), architecture);
    assert.is(architectureOfRuntime(ARCHITECTURE[architecture].runtime), architecture);
    assert.is(MACHINE[ARCHITECTURE[architecture].elfMachine], architecture);
  }
});

test("other words are refused with those that are known", () => {
  for (const word of ["", "amd64", "aarch64", "X86-64", "toString"]) {
    assert.throws(() => parseArchitecture(word), /--arch is x86-64 or arm64, got/);
  }
  assert.throws(() => architectureOfRuntime("riscv64"), /this runtime says "riscv64"/);
});

test.run();
