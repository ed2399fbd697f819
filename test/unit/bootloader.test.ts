/** The bootloader's own upgrade: installs, trials, commits, what comes back from a trial, and firmware that forgets and reorders. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LOAD_OPTION } from "../../boot/stores/efi-load-option.ts";
import { statusText } from "../../init/bootloader/status.ts";
import { BootloaderWorld, loader, PROGRAM, source } from "./bootloader-world.ts";

const FACTORY = [`esp-a EFI/slipway-a/${PROGRAM}`, `esp-b EFI/slipway-b/${PROGRAM}`];
const edition = (side: "a" | "b", number: number) => `EFI/slipway-${side}/${String(number).padStart(6, "0")}`;
const program = (side: "a" | "b", number: number) => `esp-${side} ${edition(side, number)}/${PROGRAM}`;

/** A machine whose firmware knows both factory loaders, and that boots by the first. */
function ready(): BootloaderWorld {
  const world = new BootloaderWorld();
  assert.equal(world.start(), { by: "last resort" });
  world.settle(true);
  assert.equal(world.start(), { by: "factory a" });
  return world;
}

test("a machine that only has its firmware's last resort gets entries for both loaders, the first one first", () => {
  const world = new BootloaderWorld();
  assert.equal(world.start(), { by: "last resort" });
  const { did, warnings, changed } = world.settle(true);
  assert.ok(changed);
  assert.is(did.length, 3, did.join("\n"));
  assert.ok(
    warnings.some((text) => /started neither of the boot directories' loaders: Boot0000 \(UEFI Misc Device\)/.test(text)),
  );
  assert.equal(world.programs, [...FACTORY, "?"]);
  assert.equal(world.known.committed, { device: "PARTLABEL=esp-a", path: "EFI/slipway-a" });
  assert.equal(world.start(), { by: "factory a" });
  assert.equal(world.settle(true), { ...world.settle(true), changed: false, did: [], warnings: [] });
});

test("install, one trial, commit: the new one is first and the former one second; its own directory is what the next install writes", async () => {
  const world = ready();
  const { trial, did } = await world.install();
  assert.equal(trial.edition, { device: "PARTLABEL=esp-b", path: edition("b", 1) });
  assert.match(did.join("\n"), /000001 on PARTLABEL=esp-b holds 3 files of \d+ bytes, 2; all was read back/);
  assert.equal(world.programs.slice(0, 2), FACTORY, "the trial changes no order");
  assert.is(world.next, trial.entry);
  assert.is(world.read("esp-b", `${edition("b", 1)}/x86_64-efi/normal.mod`), "module of new\n");
  assert.is(world.status().trial?.fate, "armed");
  assert.equal(world.start(), { by: "new" });
  assert.is(world.next, null);
  assert.is(world.status().trial?.fate, "running");
  const { did: committed } = world.settle(true);
  assert.match(committed.join("\n"), /EFI\/slipway-b\/000001 on PARTLABEL=esp-b is committed/);
  assert.equal(world.programs, [program("b", 1), FACTORY[0], "?"]);
  assert.equal(world.start(), { by: "new" });
  assert.equal(world.settle(true).did, []);
  const again = await world.install(source("newer"), "3");
  assert.equal(again.trial.edition, { device: "PARTLABEL=esp-a", path: edition("a", 2) });
  assert.equal(world.start(), { by: "newer" });
  world.settle(true);
  assert.equal(world.programs, [program("a", 2), program("b", 1), "?"]);
  const third = await world.install(source("third"), null);
  assert.equal(third.trial.edition.path, edition("b", 3));
  assert.is(world.read("esp-b", `${edition("b", 1)}/${PROGRAM}`), loader("new"), "it is what the firmware falls back to");
  assert.equal(world.start(), { by: "third" });
  world.settle(true);
  assert.is(world.read("esp-b", `${edition("b", 1)}/${PROGRAM}`), null, "nobody needs it any more");
  assert.equal(world.programs, [program("b", 3), program("a", 2), "?"]);
});

test("a loader that hangs comes back on the former one by itself, is told of, and is not tried again", async () => {
  const world = ready();
  const { trial } = await world.install(source("bad", "hangs"));
  assert.equal(world.start(), { by: "factory a" });
  assert.is(world.status().trial?.fate, "failed");
  const { warnings, did } = world.settle(true);
  const why =
    /trial of the bootloader EFI\/slipway-b\/000001 .* failed: no system came up by it, and the firmware started EFI\/slipway-a .* again/;
  assert.ok(
    warnings.some((text) => why.test(text)),
    warnings.join("\n"),
  );
  assert.match(did.join("\n"), /is taken away/);
  assert.is(world.entry(trial.entry), null);
  assert.is(world.known.trial, null);
  assert.match(world.known.failed?.reason ?? "", /no system came up/);
  assert.equal(world.programs, [...FACTORY, "?"]);
  assert.match(statusText(world.status()), /Failed: {5}EFI\/slipway-b\/000001 on PARTLABEL=esp-b: no system came up/);
  assert.equal(world.start(), { by: "factory a" });
  assert.equal(world.settle(true).did, []);
  const next = await world.install(source("good"));
  assert.equal(next.trial.edition.path, edition("b", 2), "a name is never used twice");
  assert.is(world.read("esp-b", `${edition("b", 1)}/${PROGRAM}`), null, "the failed one's room is free");
  assert.equal(world.start(), { by: "good" });
  world.settle(true);
  assert.is(world.known.failed, null);
});

test("a system that comes up by the trial and is not committed leaves the former loader where it was", async () => {
  const world = ready();
  await world.install();
  assert.equal(world.start(), { by: "new" });
  assert.equal(world.settle(false).did, []);
  assert.equal(world.start(), { by: "factory a" });
  assert.match(world.settle(true).warnings.join(), /failed: no system came up by it/);
});

test("a firmware that ignores BootNext, or loses it, is told from a loader that fails", async () => {
  const world = ready();
  const next = "BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  const { trial } = await world.install();
  const { order } = world;
  world.set(next, null);
  assert.match(world.status().warnings.join(), /the firmware does not know BootNext any more/);
  assert.equal(world.start(), { by: "factory a" });
  world.set(next, Uint8Array.of(trial.entry, 0));
  const { warnings } = world.settle(true);
  assert.match(warnings.join(), /the firmware started EFI\/slipway-a on PARTLABEL=esp-a, although BootNext is Boot000\d/);
  assert.is(world.next, null, "it is not tried again unasked");
  assert.equal(world.order, order);
});

test("a trial is given up before it starts, and while it runs", async () => {
  const world = ready();
  const { trial } = await world.install();
  assert.not(world.rollBack().reboot);
  assert.is(world.next, null);
  assert.is(world.entry(trial.entry), null);
  assert.equal(world.start(), { by: "factory a" });
  await world.install();
  assert.equal(world.start(), { by: "new" });
  assert.ok(world.rollBack().reboot);
  assert.match(world.settle(true).warnings.join(), /started EFI\/slipway-b\/000002 .*, and EFI\/slipway-a .* is to boot first/);
  assert.equal(world.start(), { by: "factory a" });
  assert.match(world.known.failed?.reason ?? "", /rolled back by operator/);
});

test("rollback without a trial makes the other directory's loader first, and again back", async () => {
  const world = ready();
  await world.install();
  world.start();
  world.settle(true);
  const { did } = world.rollBack();
  assert.match(did.join(), /EFI\/slipway-a on PARTLABEL=esp-a boots first/);
  assert.equal(world.programs, [FACTORY[0], program("b", 1), "?"]);
  assert.equal(world.start(), { by: "factory a" });
  assert.equal(world.settle(true).did, []);
  world.rollBack();
  assert.equal(world.start(), { by: "new" });
});

test("firmware that forgot everything starts its last resort, and its entries are made again", async () => {
  const world = ready();
  await world.install();
  world.start();
  world.settle(true);
  world.forget();
  assert.equal(world.start(), { by: "last resort" });
  const { warnings } = world.settle(true);
  assert.match(warnings.join(), /started neither/);
  assert.equal(world.programs, [program("b", 1), FACTORY[0], "?"]);
  assert.equal(world.start(), { by: "new" });
  assert.equal(world.settle(true).warnings, []);
});

test("firmware that forgets while a trial waits: the trial is over, and nothing of it stays", async () => {
  const world = ready();
  await world.install();
  world.forget();
  assert.equal(world.start(), { by: "last resort" });
  assert.match(world.settle(true).warnings.join(), /failed: no system came up by it/);
  assert.equal(world.programs, [...FACTORY, "?"]);
});

test("entries that are doubled, switched off, reordered or led elsewhere are put right; those of others stay", () => {
  const world = ready();
  const [first = 0, second = 0, other = 0] = world.order;
  const [one, two] = [world.entry(first), world.entry(second)];
  if (one === null || two === null) throw new Error("no entries");
  const foreign = { ...two, description: "Windows", path: [{ kind: "file" as const, path: "\\EFI\\Microsoft\\bootmgfw.efi" }] };
  world.setEntry(0x20, foreign);
  world.setEntry(0x21, one);
  const changes: [what: string, change: () => void, after: number[]][] = [
    [
      "another first",
      () => {
        world.order = [0x20, second, first, other];
      },
      [first, second, 0x20, other],
    ],
    [
      "ours last",
      () => {
        world.order = [other, 0x20, first, second];
      },
      [first, second, other, 0x20],
    ],
    [
      "order lost ours",
      () => {
        world.order = [0x20, other];
      },
      [first, second, 0x20, other],
    ],
    ["no order at all", () => world.set("BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c", null), [first, second]],
    [
      "a double in front",
      () => {
        world.order = [0x21, first, second, other, 0x20];
      },
      [first, second, other, 0x20],
    ],
    [
      "numbers twice",
      () => {
        world.order = [first, second, other, first, other];
      },
      [first, second, other],
    ],
    [
      "switched off",
      () => {
        world.setEntry(first, { ...one, attributes: 0 });
      },
      [first, second, other],
    ],
    [
      "the second gone",
      () => {
        world.setEntry(second, null);
      },
      [first, second, other],
    ],
    [
      "another place",
      () => {
        world.setEntry(first, {
          ...one,
          path: [
            { kind: "partition", number: 9, start: 1n, size: 2n, partition: "00000003-0000-4000-8000-000000000000" },
            ...one.path.slice(1),
          ],
        });
      },
      [first, second, other],
    ],
  ];
  const back = world.checkpoint();
  for (const [what, change, after] of changes) {
    back();
    change();
    const { did } = world.settle(true);
    assert.ok(did.length > 0, what);
    assert.equal(world.order, after, `${what}: ${did.join(" ")}`);
    assert.equal(world.entry(0x20), foreign, what);
    assert.is(world.entries.filter((number) => [first, second, 0x21].includes(number)).length, 2, `${what}: ${world.entries}`);
    assert.is(world.entry(world.order[0] ?? 0)?.attributes, LOAD_OPTION.active, what);
    assert.equal(world.settle(true).did, [], `${what}, a second time`);
    assert.equal(world.start(), { by: "factory a" }, what);
  }
});

test("an entry as a firmware completes it, with the whole way to the disk, is left as it is", () => {
  const world = ready();
  const [first = 0] = world.order;
  const option = world.entry(first);
  if (option === null) throw new Error("no entry");
  const pci = { kind: "other" as const, type: 1, subtype: 1, data: new Uint8Array(2) };
  const spelled = { ...option, description: "Boot Manager", path: [pci, ...option.path], data: Uint8Array.of(1, 2) };
  world.setEntry(first, spelled);
  assert.equal(world.settle(true).did, []);
  assert.equal(world.entry(first), spelled);
});

test("a committed loader that is damaged gives way to the other one, and says so", async () => {
  const world = ready();
  await world.install();
  world.start();
  world.settle(true);
  const directory = world.device("esp-b").filesystem?.root.node.directory?.find("EFI")?.node.directory;
  const damaged = directory?.find("slipway-b")?.node.directory?.find("000001")?.node.directory?.find("grub.cfg")?.node;
  damaged?.bytes.write(0, new TextEncoder().encode("CONFIGURATION"));
  assert.equal(world.settle(true).did, [], "each boot looks at sizes alone");
  assert.match(
    world.settle(false, "whole").warnings.join(),
    /000001 on PARTLABEL=esp-b cannot boot: grub\.cfg is not what was written/,
  );
  assert.is(world.programs[0], FACTORY[0]);
  assert.equal(world.start(), { by: "factory a" });
  damaged?.bytes.truncate(3);
  assert.match(world.settle(true).warnings.join(), /grub\.cfg has 3 bytes, not 21/);
});

test("what a firmware says in variables that are damaged is told, and put right where it can be", () => {
  const world = ready();
  world.set("BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c", Uint8Array.of(1, 0, 0));
  world.set("Boot0009-8be4df61-93ca-11d2-aa0d-00e098032b8c", Uint8Array.of(1, 0, 0));
  const { warnings } = world.settle(true);
  assert.match(warnings.join("\n"), /BootOrder-\S+ is damaged: 3 bytes/);
  assert.match(warnings.join("\n"), /Boot0009-\S+ is damaged: 3 bytes, a boot entry has 6/);
  assert.equal(world.programs, FACTORY);
});

test("status changes nothing, and says what a check would", () => {
  const world = ready();
  world.order = [...world.order].reverse();
  const effects = world.kernel.trace;
  const status = world.status();
  assert.match(status.wrong.join(), /BootOrder is 0001,0002,0000 now/);
  const writes = world.kernel.trace
    .slice(effects.length)
    .split("\n")
    .filter((line) => /^(write|remove)\("(?!\/run)/.test(line));
  assert.equal(writes, []);
  assert.match(statusText(status), /The firmware's entries are not as they should be/);
  assert.match(statusText(status), /Next: run "slipway bootloader check"/);
});

test.run();
