import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { project } from "../../qemu/places.ts";
import { checkArchive, lockedPackage } from "../../scripts/build/runtime.ts";

const lock = (entry: unknown): string => JSON.stringify({ packages: { "node_modules/@oven/bun-linux-aarch64": entry } });
const name = "@oven/bun-linux-aarch64";

test("the repository's own lock pins the runtime of either architecture at the version that compiles", () => {
  const text = readFileSync(`${project}/package-lock.json`, "utf8");
  for (const other of [name, "@oven/bun-linux-x64"]) assert.is(lockedPackage(text, other).version, Bun.version);
});

test("a lock without version or SHA-512 is refused with the package's name", () => {
  const integrity = "sha512-AAAA";
  assert.equal(lockedPackage(lock({ version: "1.2.3", integrity }), name), { version: "1.2.3", integrity });
  for (const entry of [
    undefined,
    null,
    "x",
    {},
    { version: "1.2.3" },
    { integrity },
    { version: 1, integrity },
    { version: "1", integrity: "sha1-AAAA" },
  ]) {
    assert.throws(() => lockedPackage(lock(entry), name), /pins no @oven\/bun-linux-aarch64 with a sha512 digest/);
  }
  assert.throws(() => lockedPackage("{}", name), /pins no/);
  assert.throws(() => lockedPackage("[]", name), /pins no/);
});

test("an archive that is not the pinned one is refused, by a single bit too", () => {
  const archive = new TextEncoder().encode("archive");
  const integrity = `sha512-${new Bun.CryptoHasher("sha512").update("archive").digest("base64")}`;
  checkArchive("p@1", archive, integrity);
  const bent = archive.slice();
  bent[3] = (bent[3] ?? 0) ^ 1;
  assert.throws(() => checkArchive("p@1", bent, integrity), /npm gave another p@1 than package-lock.json pins/);
});

test.run();
