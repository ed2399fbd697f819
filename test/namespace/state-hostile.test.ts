/**
 * Things in the place of others, at every level of the data partition's layout. Whatever it is, no mount shows and no write
 * reaches anything but the operator's own store (bootHostile asserts that); the operator is laid, or in memory, or fails the
 * slot with a reason.
 */
import "./memory-scratch.ts";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { attackedDisk, bootHostile, operators, secret } from "./hostile-machine.ts";
import { cleanUp, program } from "./state-machine.ts";

/** What is put in a place. */
const things: Record<string, (at: string) => void> = {
  "an absolute link": (at) => symlinkSync(secret, at),
  "a link upwards": (at) => symlinkSync(`${"../".repeat(12)}${secret.slice(1)}`, at),
  "a link beside it": (at) => symlinkSync("../lost+found/bystander", at),
  "a dangling link": (at) => symlinkSync("/nowhere/at/all", at),
  "a link to itself": (at) => symlinkSync(at.split("/").at(-1) ?? "", at),
  "a fifo": (at) => void program("mkfifo", at),
  "a block device": (at) => void program("mknod", at, "b", "7", "0"),
  "a character device": (at) => void program("mknod", at, "c", "1", "8"),
  "a whiteout": (at) => void program("mknod", at, "c", "0", "0"),
  "a socket": (at) => {
    const socket = `import socket; s = socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(at)})`;
    program("python3", "-c", socket);
  },
  "a file": (at) => writeFileSync(at, "x"),
  "a directory": (at) => mkdirSync(`${at}/inner`, { recursive: true }),
};

interface Expected {
  /** Paths in memory where operators may be degraded; null: the boot goes on as if nothing were there. */
  degraded: string[] | null;
  /** What is fine there, as it is what belongs there. */
  fine?: string[];
}

const all = operators.flatMap(({ path, state, via }) => (state === null || via === "symlink" ? [] : [path]));
/** Where a thing is put, by its path on the data filesystem. */
const places: Record<string, Expected> = {
  gens: { degraded: all, fine: ["a directory"] },
  shared: { degraded: all, fine: ["a directory"] },
  slots: { degraded: all, fine: ["a directory"] },
  trash: { degraded: all, fine: ["a directory"] },
  "gens/000001/tree": { degraded: ["/home", "/var"], fine: ["a directory"] },
  "gens/000001/ovl": { degraded: ["/etc"], fine: ["a directory"] },
  "gens/000001/ovl/etc": { degraded: ["/etc"], fine: ["a directory"] },
  "gens/000001/ovl/etc/upper": { degraded: ["/etc"], fine: ["a directory"] },
  "gens/000001/tree/home": { degraded: ["/home"], fine: ["a directory"] },
  "shared/etc-machine-id": { degraded: ["/etc/machine-id"], fine: ["a file"] },
  "shared/srv": { degraded: ["/srv"], fine: ["a directory"] },
  "gens/000001/work": { degraded: ["/etc"], fine: ["a directory"] },
  "gens/000001/work/etc": { degraded: null },
  "gens/000001/tree/.seed-home": { degraded: null },
  "gens/.tmp-000002-x": { degraded: null },
  "slots/b": { degraded: null },
};

/** Places that get all things; the others get some, others each. */
const thorough = new Set(["gens/000001/tree/home", "gens/000001/ovl/etc/upper", "shared/etc-machine-id", "gens/000001/work/etc"]);

for (const [index, [place, { degraded, fine = [] }]] of Object.entries(places).entries()) {
  const thingsFor = Object.entries(things).filter((_, thing) => thorough.has(place) || (thing + index) % 3 === 0);
  test(`${place}: ${thingsFor.map(([what]) => what).join(", ")} in its place`, async () => {
    for (const [what, put] of thingsFor) {
      const attack = (data: string) => {
        rmSync(`${data}/${place}`, { recursive: true, force: true });
        put(`${data}/${place}`);
      };
      const expected = fine.includes(what) || degraded === null ? [] : degraded;
      await bootHostile({ disk: await attackedDisk(attack) }, ({ failure, laid }) => {
        if (expected.length === 0) {
          assert.is(failure, null, `${what}: ${failure}`);
          assert.equal(laid?.degraded, [], what);
        } else {
          assert.match(failure ?? "", /ELOOP|ENOTDIR|EINVAL|EXDEV|ENXIO|EACCES/, what);
          assert.ok((failure ?? "").length > 40, failure ?? "");
        }
      });
      await bootHostile({ disk: await attackedDisk(attack), onFailure: "degraded" }, ({ failure, laid, read }) => {
        assert.is(failure, null, `${what}: ${failure}`);
        assert.equal(
          laid?.degraded.map(({ path }) => path),
          expected,
          what,
        );
        for (const { reason } of laid?.degraded ?? []) assert.match(reason, /ELOOP|ENOTDIR|EINVAL|EXDEV|ENXIO|EACCES/, what);
        assert.match(read("/etc/machine-id"), /^[0-9a-f]{32}\n$/);
        assert.is(read("/var/vendor/inner/blob"), "vendor v1");
        assert.is(read("/etc/secret"), "");
      });
    }
  });
}

test("a link in a generation's place, and links in slots/ to elsewhere, are none", async () => {
  const lost = "../gens/000009";
  const pointers = [
    "/gens/000001",
    "../gens/../gens/000001",
    "../gens/000001/",
    secret,
    "../lost+found/bystander",
    "../gens/000009",
  ];
  for (const target of pointers) {
    const attack = (data: string) => {
      rmSync(`${data}/slots/a`);
      symlinkSync(target, `${data}/slots/a`);
    };
    await bootHostile({ disk: await attackedDisk(attack) }, ({ failure, laid, read }) => {
      assert.is(failure, null, target);
      assert.is(
        laid?.generation,
        target === lost ? "000010" : "000001",
        `${target}: what is of this image and slot, or its clone`,
      );
      assert.is(read("/home/mine"), "kept in /home/mine");
    });
  }
  const renamed = (data: string) => {
    renameSync(`${data}/gens/000001`, `${data}/lost+found/elsewhere`);
    symlinkSync("../lost+found/elsewhere", `${data}/gens/000001`);
  };
  await bootHostile({ disk: await attackedDisk(renamed) }, ({ laid, failure, warnings }) => {
    assert.is(failure, null);
    assert.is(laid?.generation, "000002");
    assert.match(warnings.join("\n"), /starts anew/);
  });
});

test.after(cleanUp);
test.run();
