/** UEFI's variables through efivarfs: one write each, immutable files, and a firmware that refuses. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EFI_VARIABLE, encodeBootOrder, encodeText, KEPT_VARIABLE } from "../../boot/stores/efi-variables.ts";
import { EfivarsFilesystem } from "../../init/kernel/recording/memory-efivars.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { EfiVariables, mountEfiVariables } from "../../init/store/efi-variables.ts";
import { Refusal } from "../../state-ops/outcome.ts";

const DIRECTORY = "/sys/firmware/efi/efivars";
const ORDER = { attributes: KEPT_VARIABLE, value: encodeBootOrder([1, 2]) };

function mounted() {
  const efivars = new EfivarsFilesystem();
  const kernel = new RecordingKernel({ efivars });
  mountEfiVariables(kernel, DIRECTORY);
  kernel.beginTrace();
  return { efivars, kernel, variables: new EfiVariables(kernel, DIRECTORY) };
}

function refusal(work: () => unknown, why: RegExp): void {
  assert.throws(work, (error: unknown) => error instanceof Refusal && why.test(error.message), String(why));
}

test("efivarfs is mounted where it is not, and only there", () => {
  const { kernel } = mounted();
  mountEfiVariables(kernel, DIRECTORY);
  assert.is(kernel.trace, "");
  assert.ok(
    kernel.mounts().some((line) => line.startsWith(`${DIRECTORY} efivarfs efivarfs`)),
    kernel.mounts().join("\n"),
  );
});

test("a machine without UEFI, and a kernel without efivarfs, are refused with what to do", () => {
  refusal(() => mountEfiVariables(new RecordingKernel(), DIRECTORY), /was not started by UEFI/);
  for (const [code, why] of [
    ["ENODEV", /is the module efivarfs there/],
    ["EPERM", /run this as root/],
  ] as const) {
    const kernel = new RecordingKernel({ efivars: new EfivarsFilesystem() });
    kernel.failOn({ call: "mount", code });
    refusal(() => mountEfiVariables(kernel, DIRECTORY), why);
  }
});

test("a variable is set by one write of attributes and value, whatever was there, and read back", () => {
  const { kernel, variables } = mounted();
  assert.is(variables.read(EFI_VARIABLE.bootOrder), null);
  variables.write(EFI_VARIABLE.bootOrder, { ...ORDER, value: encodeBootOrder([1, 2, 3, 4]) });
  variables.write(EFI_VARIABLE.bootOrder, ORDER);
  assert.equal(variables.read(EFI_VARIABLE.bootOrder), ORDER);
  assert.equal(variables.names(), [EFI_VARIABLE.bootOrder]);
  const writes = kernel.trace.split("\n").filter((line) => line.startsWith("write"));
  assert.is(writes.length, 2, kernel.trace);
  variables.remove(EFI_VARIABLE.bootOrder);
  variables.remove(EFI_VARIABLE.bootOrder);
  assert.is(variables.read(EFI_VARIABLE.bootOrder), null);
});

test("an immutable variable is changed, and is immutable again", () => {
  const { efivars, kernel, variables } = mounted();
  const first = { attributes: KEPT_VARIABLE, value: encodeText("a.conf") };
  const second = { attributes: KEPT_VARIABLE, value: encodeText("b.conf") };
  variables.write(EFI_VARIABLE.loaderEntryDefault, first);
  kernel.beginTrace();
  variables.write(EFI_VARIABLE.loaderEntryDefault, second);
  assert.equal(variables.read(EFI_VARIABLE.loaderEntryDefault), second);
  assert.is(kernel.trace.split("\n").filter((line) => line.includes("FS_IOC_SETFLAGS")).length, 2, kernel.trace);
  const node = efivars.root.node.directory?.find(EFI_VARIABLE.loaderEntryDefault)?.node;
  assert.is(node === undefined ? null : efivars.flagsOf(node), 0x10);
  efivars.refused.set(EFI_VARIABLE.loaderEntryDefault, "EIO");
  refusal(() => variables.write(EFI_VARIABLE.loaderEntryDefault, first), /cannot be set \(EIO\); the firmware failed/);
  assert.is(node === undefined ? null : efivars.flagsOf(node), 0x10, "also when it was refused");
  variables.remove(EFI_VARIABLE.loaderEntryDefault);
  assert.is(variables.read(EFI_VARIABLE.loaderEntryDefault), null);
});

test("a new variable that the firmware refuses leaves no empty file", () => {
  for (const [code, why] of [
    ["ENOSPC", /the firmware's memory is full; remove entries/],
    ["EINVAL", /the firmware refuses it/],
    ["EROFS", /mount -o remount,rw/],
  ] as const) {
    const { efivars, variables } = mounted();
    efivars.refused.set(EFI_VARIABLE.bootOrder, code);
    refusal(() => variables.write(EFI_VARIABLE.bootOrder, ORDER), why);
    assert.equal(variables.names(), []);
  }
});

test("a firmware that takes a variable and keeps something else is caught", () => {
  const { efivars, kernel, variables } = mounted();
  const store = efivars.store.bind(efivars);
  efivars.store = (node, bytes) => store(node, bytes.slice(0, -2));
  assert.throws(
    () => variables.write(EFI_VARIABLE.bootOrder, ORDER),
    /took the variable BootOrder-\S+ and has something else there/,
  );
  assert.ok(kernel.trace.length > 0);
});

test("a file that is too short for a variable is told from one that is not there", () => {
  const { efivars, variables } = mounted();
  efivars.root.node.directory?.make(EFI_VARIABLE.bootOrder, "file", 0o644).node.bytes.write(0, Uint8Array.of(7, 0));
  assert.match(String(variables.read(EFI_VARIABLE.bootOrder)), /2 bytes, a variable's file begins with 4/);
});

test("what cannot be read is refused with the kernel's answer", () => {
  const { kernel, variables } = mounted();
  variables.write(EFI_VARIABLE.bootOrder, ORDER);
  kernel.failOn({ call: "open", match: /BootOrder/, code: "EACCES", times: 1 });
  refusal(() => variables.read(EFI_VARIABLE.bootOrder), /cannot be read \(EACCES\); run this as root/);
  kernel.failOn({ call: "readDirectory", code: "EIO", times: 1 });
  refusal(() => variables.names(), /cannot be listed \(EIO\)/);
});

test.run();
