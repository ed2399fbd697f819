/** `bootloader:` of system.yaml: what is compiled, what PID 1 reads, and what is refused where. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import type { ControlBootloader } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { isPlainRecord, readControlWith } from "../../state-ops/read-plain-control.ts";
import { compileTexts, problemsOf, sampleSystem } from "../samples/compile.ts";
import { sampleControl } from "../samples/control-file.ts";

const [one, two] = [
  { device: "PARTLABEL=esp-a", directory: "EFI/slipway-a" },
  { device: "PARTLABEL=esp-b", directory: "EFI/slipway-b" },
];

/** system.yaml with the boot directories in lines 10 and 11, and the program in line 12. */
function systemWith(first: string, second: string, program = "grubx64.efi"): string {
  return `${sampleSystem}bootloader:\n  directories:\n    - { ${first} }\n    - { ${second} }\n  program: ${program}\n`;
}

const good: [first: string, second: string] = [
  "device: PARTLABEL=esp-a, directory: EFI/slipway-a",
  "device: PARTLABEL=esp-b, directory: EFI/slipway-b",
];

test("two boot directories and a program reach the control file, and PID 1 reads them", () => {
  const { control, text } = compileTexts({ system: systemWith(...good, "systemd-bootx64.efi") });
  const bootloader: ControlBootloader = { directories: [one, two], program: "systemd-bootx64.efi" };
  assert.equal(control.bootloader, bootloader);
  assert.equal(readControl(text).bootloader, bootloader);
});

test("without the key a control file is what it was, and is read as before", () => {
  const { control, text } = compileTexts({});
  assert.not(Object.hasOwn(control, "bootloader"));
  assert.ok(isPlainRecord(text));
  const other = canonicalJsonWithDigest(sampleControl({ bootloader: { directories: [one, two], program: "grubx64.efi" } }));
  assert.not(isPlainRecord(other));
  assert.throws(() => readControlWith(other, null), /bootloader is not known/);
});

test("both may lie on one EFI system partition, apart from each other", () => {
  const { control } = compileTexts({ system: systemWith(good[0], "device: PARTLABEL=esp-a, directory: EFI/slipway-aa") });
  assert.is(control.bootloader?.directories.length, 2);
});

const refused: [what: string, system: string, problem: RegExp][] = [
  ["a slot", systemWith(good[0], "device: PARTLABEL=root-a, directory: EFI/b"), /system\.yaml:11:17: PARTLABEL=root-a is slot a/],
  [
    "the boot record",
    systemWith("device: PARTLABEL=boot-record, directory: EFI/a", good[1]),
    /system\.yaml:10:17: PARTLABEL=boot-record is slipway's own boot record/,
  ],
  [
    "the data",
    systemWith(good[0], "device: PARTLABEL=sys-data, directory: EFI/b"),
    /system\.yaml:11:17: PARTLABEL=sys-data is the data filesystem/,
  ],
  ["no device", systemWith("device: esp, directory: EFI/a", good[1]), /system\.yaml:10:17: "device" must be a device reference/],
  [
    "the firmware's last resort",
    systemWith(good[0], "device: PARTLABEL=esp-b, directory: efi/Boot"),
    /system\.yaml:11:45: efi\/Boot is the firmware's last resort/,
  ],
  ["the whole filesystem", systemWith(good[0], 'device: PARTLABEL=esp-b, directory: "."'), /system\.yaml:11:45: "\." is no path/],
  [
    "too deep",
    systemWith(good[0], "device: PARTLABEL=esp-b, directory: EFI/a/b"),
    /system\.yaml:11:45: "EFI\/a\/b" is no boot directory/,
  ],
  [
    "a dot at the end",
    systemWith(good[0], "device: PARTLABEL=esp-b, directory: EFI/a."),
    /system\.yaml:11:45: "EFI\/a\." is no boot directory/,
  ],
  [
    "one directory twice",
    systemWith(good[0], "device: PARTLABEL=esp-a, directory: EFI/Slipway-A"),
    /system\.yaml:11:45: EFI\/Slipway-A and EFI\/slipway-a are not apart/,
  ],
  ["a program in a directory", systemWith(...good, "a/grubx64.efi"), /system\.yaml:12:12: "a\/grubx64\.efi" is no program/],
  ["a program of another kind", systemWith(...good, "vmlinuz"), /system\.yaml:12:12: "vmlinuz" is no program/],
  [
    "one directory",
    `${sampleSystem}bootloader:\n  directories: [{ ${good[0]} }]\n  program: a.efi\n`,
    /system\.yaml:9:16: there are 1 boot directories/,
  ],
  ["an unknown key", systemWith(`${good[0]}, mount: /boot`, good[1]), /system\.yaml:10:.*mount/],
  ["no program", `${sampleSystem}bootloader: { directories: [] }\n`, /system\.yaml:8:.*program/],
];

for (const [what, system, problem] of refused) {
  test(`refused with its line: ${what}`, () => {
    const problems = problemsOf({ system });
    assert.ok(
      problems.some((text) => problem.test(text)),
      problems.join("\n"),
    );
  });
}

test("PID 1 refuses what the compiler would have refused, and what is no bootloader at all", () => {
  const wrong: unknown[] = [
    null,
    [],
    { directories: [one, two] },
    { directories: [one, two], program: "grubx64.efi", more: 1 },
    { directories: [one], program: "grubx64.efi" },
    { directories: [one, two, two], program: "grubx64.efi" },
    { directories: [one, one], program: "grubx64.efi" },
    { directories: [one, { device: "PARTLABEL=root-a", directory: "EFI/b" }], program: "grubx64.efi" },
    { directories: [one, { device: "esp", directory: "EFI/b" }], program: "grubx64.efi" },
    { directories: [one, { device: "LABEL=esp", directory: "../b" }], program: "grubx64.efi" },
    { directories: [one, { device: "LABEL=esp" }], program: "grubx64.efi" },
    { directories: "both", program: "grubx64.efi" },
    { directories: [one, two], program: "" },
    { directories: [one, two], program: "grub" },
  ];
  for (const bootloader of wrong) {
    const text = canonicalJsonWithDigest({ ...sampleControl(), bootloader });
    assert.throws(
      () => readControl(text),
      (error: unknown) => error instanceof BadInput && /bootloader/.test(error.message),
      JSON.stringify(bootloader),
    );
  }
});

test.run();
