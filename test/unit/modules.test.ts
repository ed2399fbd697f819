import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  filesForAlias,
  type ModuleIndex,
  matchesAlias,
  moduleName,
  normalizeAlias,
  readModuleIndex,
  writeModuleIndex,
} from "../../boot/modules.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const index: ModuleIndex = {
  schema: 1,
  kernel: "6.1.0-test",
  load: ["virtio.ko", "virtio_blk.ko"],
  depends: { "virtio.ko": [], "virtio_blk.ko": ["virtio.ko"], "crc32c.ko": [], "xfs.ko": ["crc32c.ko"] },
  aliases: [
    ["virtio:d00000002v*", "virtio_blk.ko"],
    ["pci:v00001AF4d*sv*sd*bc*sc*i*", "virtio_blk.ko"],
    ["fs_xfs", "xfs.ko"],
  ],
  recovery: [],
};

test("patterns fit as fnmatch(3) says", () => {
  for (const [pattern, text, fits] of [
    ["virtio:d00000002v*", "virtio:d00000002v00001AF4", true],
    ["virtio:d00000002v*", "virtio:d00000008v00001AF4", false],
    ["pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true],
    ["pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc08i02", false],
    ["usb:v05DCpB75[0-9A]d*", "usb:v05DCpB75Ad0100", true],
    ["usb:v05DCpB75[0-9A]d*", "usb:v05DCpB75Bd0100", false],
    ["a[!b]c", "adc", true],
    ["a[!b]c", "abc", false],
    ["a[]x]c", "a]c", true],
    ["a[b", "a[b", true],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["a\\*c", "a*c", true],
    ["a\\*c", "abc", false],
    ["*", "", true],
    ["", "", true],
    ["", "a", false],
    ["a*b*c", "aXbYbZc", true],
    ["a*b*c", "aXbYbZ", false],
  ] as const) {
    assert.is(matchesAlias(pattern, text), fits, `${pattern} ${text}`);
  }
});

test("stars and question marks fit whatever a regular expression fits", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "b", "*", "?") }),
      fc.string({ unit: fc.constantFrom("a", "b") }),
      (pattern, text) => {
        const same = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`);
        assert.is(matchesAlias(pattern, text), same.test(text));
      },
    ),
    { numRuns: 2000 },
  );
});

test("a pattern of many stars ends soon", () => {
  const started = performance.now();
  assert.not(matchesAlias(`${"*a".repeat(30)}b`, "a".repeat(2000)));
  assert.ok(performance.now() - started < 1000);
});

test("names and aliases compare with - as _, but not inside brackets", () => {
  assert.is(moduleName("kernel/drivers/mmc/host/sdhci-pci.ko.xz"), "sdhci_pci");
  assert.is(moduleName("loop.ko"), "loop");
  assert.is(normalizeAlias("usb:v05DCpB75[0-9A]d-*"), "usb:v05DCpB75[0-9A]d_*");
});

test("an alias loads what it needs first", () => {
  assert.equal(filesForAlias(index, "virtio:d00000002v00001AF4"), ["virtio.ko", "virtio_blk.ko"]);
  assert.equal(filesForAlias(index, "fs-xfs"), ["crc32c.ko", "xfs.ko"]);
  assert.equal(filesForAlias(index, "fs-btrfs"), []);
});

test("the index is read as it was written", () => {
  assert.equal(readModuleIndex(writeModuleIndex(index)), index);
});

test("a damaged index is refused by name", () => {
  for (const text of ["", "{}", '{"schema":2}', writeModuleIndex(index).replace('"fs_xfs"', "7"), "[]"]) {
    assert.throws(
      () => readModuleIndex(text),
      (error: unknown) => error instanceof BadInput && error.message.includes("build the initrd again"),
    );
  }
});

test.run();
