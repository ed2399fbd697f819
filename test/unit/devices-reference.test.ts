import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseReference, printReference } from "../../boot/devices/reference.ts";
import { BadInput } from "../../state-ops/outcome.ts";

test("every form is read and printed", () => {
  for (const [text, by, value] of [
    ["PARTLABEL=root-a", "partlabel", "root-a"],
    ["PARTLABEL=a = b", "partlabel", "a = b"],
    ["PARTUUID=0A1B2C3D-01", "partuuid", "0a1b2c3d-01"],
    ["UUID=9F2E8C6B-1D3A-4F5E-8B7C-0A1B2C3D4E5F", "uuid", "9f2e8c6b-1d3a-4f5e-8b7c-0a1b2c3d4e5f"],
    ["LABEL=Größe", "label", "Größe"],
    ["/dev/vda2", "path", "/dev/vda2"],
    ["/dev/mapper/x", "path", "/dev/mapper/x"],
  ] as const) {
    const reference = parseReference(text);
    assert.equal(reference, { by, value });
    assert.equal(parseReference(printReference(reference)), reference);
  }
});

test("anything else is bad input that quotes it", () => {
  const bad = [
    "",
    "vda2",
    "root-a",
    "partlabel=x",
    "PARTLABEL=",
    "UUID=",
    "UUID=xyz",
    "PARTUUID=-1",
    "/dev",
    "/dev/",
    "/dev//vda",
  ];
  for (const text of [...bad, "/dev/../etc", "/etc/passwd", "PARTLABEL=é", `PARTLABEL=${"x".repeat(37)}`, "PARTLABEL=a\nb"]) {
    assert.throws(
      () => parseReference(text),
      (error: unknown) => error instanceof BadInput && error.message.includes(`"${text}"`),
      text,
    );
  }
});

test("udev's names are refused with the word to write instead", () => {
  assert.throws(() => parseReference("/dev/disk/by-partlabel/root-a"), /write PARTLABEL=root-a/);
});

test.run();
