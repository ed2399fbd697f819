/** Files of a boot directory on a real filesystem: read past the page cache, whatever their lengths, and written, read back and removed. */
import { readdirSync, statfsSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MANIFEST } from "../../boot/bootloader/edition.ts";
import { hashFile, hashOnDisk } from "../../init/bootloader/hash-file.ts";
import { filesFault } from "../../init/bootloader/read-editions.ts";
import { EditionFault, removeEdition, writeEdition } from "../../init/bootloader/write-edition.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import type { Kernel } from "../../init/kernel/kernel.ts";
import { withDirectory } from "../../init/state/beneath.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";
import { attach, cleanUp, kernel, makeFilesystem, program, scratch } from "./state-machine.ts";

test.after(cleanUp);

const disk = attach(makeFilesystem("ext4", `${scratch}/esp.disk`));
const place = `${scratch}/esp`;
program("mkdir", "-p", place, `${scratch}/source/x86_64-efi`);
kernel.mount(disk, place, "ext4", MS.NOATIME, "");
const root = kernel.open(place, O.RDONLY | O.DIRECTORY);
const source = kernel.open(`${scratch}/source`, O.RDONLY | O.DIRECTORY);

const MiB = 1024 * 1024;
const sizes: Record<string, number> = {
  "empty.cfg": 0,
  "one.cfg": 1,
  "sector.cfg": 512,
  "odd.efi": MiB + 1000,
  "x86_64-efi/whole.mod": 2 * MiB,
  "x86_64-efi/less.mod": 2 * MiB - 1,
};

const files = Object.entries(sizes).map(([path, size]) => {
  const bytes = new Uint8Array(size).map((_, index) => (index * 31 + (index >> 9)) & 0xff);
  writeFileSync(`${scratch}/source/${path}`, bytes);
  return { path, size, sha256: sha256Hex(bytes) };
});
const manifest = { schema: 1, version: "1", files } as const;

test("an edition is written, read back past the cache, and removed; its room is free again", () => {
  const free = () => statfsSync(place).bfree;
  program("mkdir", "-p", `${place}/EFI/slipway-b`);
  kernel.syncFilesystem(root);
  const before = free();
  writeEdition(kernel, root, "EFI/slipway-b", "000001", source, { ...manifest, files: [...files] });
  withDirectory(kernel, root, "EFI/slipway-b/000001", (edition) => {
    for (const { path, sha256 } of files) {
      assert.is(hashOnDisk(kernel, edition, path), sha256, path);
      assert.is(hashFile(kernel, edition, path), sha256, path);
    }
    assert.is(filesFault(kernel, edition, { ...manifest, files: [...files] }, "whole"), null);
  });
  assert.ok(readdirSync(`${place}/EFI/slipway-b/000001`).includes(MANIFEST));
  assert.ok(free() < before);
  withDirectory(kernel, root, "EFI/slipway-b", (directory) => removeEdition(kernel, directory, "000001"));
  assert.equal(readdirSync(`${place}/EFI/slipway-b`), []);
  assert.is(free(), before);
});

test("what is read back is read past the page cache", () => {
  const flags: number[] = [];
  const watching: Kernel = new Proxy(kernel, {
    get(target, name) {
      if (name === "open") {
        return (path: string, how: number, options: object) => {
          flags.push(how);
          return target.open(path, how, options);
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  hashOnDisk(watching, source, "odd.efi");
  assert.equal(
    flags.map((how) => (how & O.DIRECT) !== 0),
    [true],
    "no second opening without it",
  );
});

test("what reads back as something else is an error, and nothing of it stays", () => {
  const lying: Kernel = new Proxy(kernel, {
    get(target, name) {
      if (name === "write") {
        return (fd: number, bytes: Uint8Array, offset: bigint | null) => {
          const changed = bytes.slice();
          if (changed.length > 1000) changed[900] = (changed[900] ?? 0) ^ 1;
          target.write(fd, changed, offset);
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  assert.throws(
    () => writeEdition(lying, root, "EFI/slipway-b", "000002", source, { ...manifest, files: [...files] }),
    (error: unknown) => error instanceof EditionFault && /odd\.efi is not what was written/.test(error.message),
  );
  assert.equal(readdirSync(`${place}/EFI/slipway-b`), []);
});

test.run();
