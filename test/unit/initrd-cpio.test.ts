import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CpioEntry, readCpio, writeCpio } from "../../init/builder/initrd/cpio.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const entries: CpioEntry[] = [
  { path: "dev", kind: "directory", mode: 0o755 },
  { path: "dev/console", kind: "character", mode: 0o600, major: 5, minor: 1 },
  { path: "init", kind: "file", mode: 0o755, content: new TextEncoder().encode("#!/bin/sh\n") },
  { path: "lib", kind: "symlink", target: "usr/lib" },
  { path: "ünïcode name", kind: "file", mode: 0o644, content: new Uint8Array(0) },
];

test("cpio(1) reads what is written", () => {
  const archive = Buffer.concat(writeCpio(entries));
  const listed = spawnSync("busybox", ["cpio", "-tv"], { input: archive, encoding: "utf8", env: { TZ: "UTC" } });
  assert.is(listed.status, 0, listed.stderr);
  const lines = listed.stdout.trim().split("\n");
  assert.is(lines.length, entries.length);
  assert.match(lines[0] ?? "", /^drwxr-xr-x .*root\/root|^drwxr-xr-x +0\/0/);
  assert.match(lines[1] ?? "", /^crw------- .* dev\/console$/);
  assert.match(lines[2] ?? "", /^-rwxr-xr-x .* 10 1970-01-01 00:00:00 init$/);
  assert.match(lines[3] ?? "", /^lrwxrwxrwx .* lib -> usr\/lib$/);
});

test("everything is aligned to 4 bytes, and the archive to 512", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.stringMatching(/^[a-z]{1,9}$/), fc.uint8Array({ maxLength: 9 }))), (files) => {
      const archive = Buffer.concat(
        writeCpio(files.map(([path, content]): CpioEntry => ({ path, kind: "file", mode: 0o644, content }))),
      );
      assert.is(archive.length % 512, 0);
      const read = readCpio(archive);
      assert.is(read.length, files.length);
      for (const [index, { path, size, start, mode }] of read.entries()) {
        assert.is(start % 4, 0);
        assert.is(mode, 0o100644);
        assert.is(path, files[index]?.[0]);
        assert.equal(new Uint8Array(archive.subarray(start, start + size)), files[index]?.[1]);
      }
    }),
    { numRuns: 200 },
  );
});

test("every cut is refused by name", () => {
  const archive = Buffer.concat(writeCpio(entries));
  const end = archive.lastIndexOf("TRAILER!!!");
  for (let length = 0; length < end; length++) {
    assert.throws(
      () => readCpio(archive.subarray(0, length)),
      (error: unknown) => error instanceof BadInput,
      `${length} bytes`,
    );
  }
});

test("a compressed archive is refused with what is wanted", () => {
  assert.throws(
    () => readCpio(new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0])),
    (error: unknown) => error instanceof BadInput && error.message.includes("an uncompressed newc cpio is wanted"),
  );
});

test.run();
