import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { readImageControlText } from "../../init/sequence/image.ts";
import { findNextInit } from "../../init/sequence/next-init.ts";
import { program } from "./golden-machine.ts";

const kernel = linuxKernel();

/** Runs `use` with the root of a tree that the real kernel holds. */
function inTree<Result>(make: (path: string) => void, use: (root: number) => Result): Result {
  const path = mkdtempSync(join(tmpdir(), "slipway-root-"));
  try {
    for (const directory of ["sbin", "bin", "etc", "usr/lib/slipway"]) mkdirSync(join(path, directory), { recursive: true });
    make(path);
    return withOpen(kernel, path, O.RDONLY | O.DIRECTORY, use);
  } finally {
    rmSync(path, { recursive: true });
  }
}

function makeFifo(path: string): void {
  kernel.makeNode(path, "fifo", 0o755, { major: 0, minor: 0 });
}

test("a shell is no init: a root without one is left, unless init= asks for it", () => {
  const make = (path: string) => writeFileSync(join(path, "bin/sh"), program(null), { mode: 0o755 });
  inTree(make, (root) => {
    assert.throws(() => findNextInit(kernel, root, null), /no init in the root: \/sbin\/init: ENOENT;/);
    assert.equal(findNextInit(kernel, root, "/bin/sh"), { path: "/bin/sh", warnings: [] });
  });
});

test("links are followed inside the root only, and a script needs its interpreter there", () => {
  const make = (path: string) => {
    symlinkSync("../../../../bin/sh", join(path, "sbin/init"));
    writeFileSync(join(path, "bin/sh"), "#!/bin/busybox sh\n");
    chmodSync(join(path, "bin/sh"), 0o755);
  };
  inTree(make, (root) => {
    assert.throws(
      () => findNextInit(kernel, root, null),
      /\/sbin\/init needs its interpreter \/bin\/busybox: \/bin\/busybox: ENOENT/,
    );
  });
});

test("a program whose headers were moved to its end is read as a whole", () => {
  const start = program("/lib/ld.so");
  const end = 100_000;
  const bytes = new Uint8Array(end + start.length);
  bytes.set(start);
  new DataView(bytes.buffer).setBigUint64(32, BigInt(end), true);
  bytes.set(start.subarray(64), end);
  inTree(
    (path) => {
      writeFileSync(join(path, "sbin/init"), bytes);
      chmodSync(join(path, "sbin/init"), 0o755);
    },
    (root) => assert.throws(() => findNextInit(kernel, root, null), /\/sbin\/init needs its interpreter \/lib\/ld.so: .*ENOENT/),
  );
});

test("a fifo in place of an init or a control file does not hold PID 1", () => {
  const make = (path: string) => {
    makeFifo(join(path, "sbin/init"));
    makeFifo(join(path, "usr/lib/slipway/control.json"));
  };
  inTree(make, (root) => {
    assert.throws(() => findNextInit(kernel, root, "/sbin/init"), /\/sbin\/init is a fifo, not a program/);
    assert.is(readImageControlText(kernel, root), "");
  });
});

test("a control file that cannot be read is not taken for none", () => {
  const make = (path: string) => mkdirSync(join(path, "usr/lib/slipway/control.json"));
  inTree(make, (root) => assert.throws(() => readImageControlText(kernel, root), /EISDIR/));
  inTree(
    () => {},
    (root) => assert.is(readImageControlText(kernel, root), null),
  );
});

test.run();
