/**
 * Random firmware: entries of ours and of others, doubled, switched off, spelled otherwise, gone, in any order, and a record that
 * knows something, or nothing. Whatever it is, one look makes it right, a second one changes nothing, and at each step between
 * a whole loader boots.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type EditionName, isSameEdition } from "../../boot/bootloader/edition.ts";
import {
  type BootloaderFacts,
  type BootPlace,
  editionOfEntry,
  entryFor,
  type FoundEdition,
  findEdition,
  type PartitionNode,
} from "../../boot/bootloader/facts.ts";
import type { VariableStep } from "../../boot/bootloader/put-right.ts";
import { NO_BOOTLOADER } from "../../boot/bootloader/record.ts";
import { settle } from "../../boot/bootloader/settle.ts";
import { decodeLoadOption, encodeLoadOption, LOAD_OPTION, type LoadOption } from "../../boot/stores/efi-load-option.ts";
import { randomNumbers } from "../samples/random.ts";

const rounds = process.env.SLIPWAY_TIER === "long" ? 100_000 : 5000;

const control = {
  directories: [
    { device: "PARTLABEL=esp-a", directory: "EFI/slipway-a" },
    { device: "PARTLABEL=esp-b", directory: "EFI/slipway-b" },
  ],
  program: "grubx64.efi",
};

function partitionOf(number: number): PartitionNode {
  const partition = `0000000${number}-0000-4000-8000-000000000000`;
  return { kind: "partition", number, start: 2048n * BigInt(number), size: 2048n, partition };
}

/** A machine as it may be found; the same for the same seed. */
function randomFacts(seed: number): BootloaderFacts {
  const numbers = randomNumbers(seed);
  const random = (below: number) => Math.floor(numbers() * below);
  const chance = (of: number) => random(of) === 0;
  const pick = <Item>(list: readonly Item[]): Item | null => list[random(list.length)] ?? null;
  let number = 0;
  const places = control.directories.map(({ device, directory }, index): BootPlace => {
    const editions: FoundEdition[] = [];
    const found = (path: string, own: number) =>
      editions.push({ device, path, number: own, version: null, fault: chance(5) ? "it is damaged" : null });
    if (!chance(4)) found(directory, 0);
    for (let count = random(3); count > 0; count--) found(`${directory}/${String(++number).padStart(6, "0")}`, number);
    const isThere = !chance(12);
    return {
      device,
      directory,
      partition: isThere ? partitionOf(index + 1) : null,
      fault: null,
      editions: isThere ? editions : [],
    };
  });
  const names: EditionName[] = places.flatMap(({ editions }) => editions.map(({ device, path }) => ({ device, path })));
  names.push({ device: "PARTLABEL=esp-a", path: "EFI/slipway-a/000099" });
  const edition = () => pick(names);
  const committed = chance(4) ? null : edition();
  const tried = chance(4) ? edition() : null;
  const onTrial = isSameEdition(tried, committed) ? null : tried;
  const record = {
    ...NO_BOOTLOADER,
    committed,
    trial:
      onTrial === null ? null : { edition: onTrial, version: null, entry: random(6), attempt: 5 + random(3), armed: !chance(4) },
    failed: chance(5) ? { edition: edition() ?? names[0] ?? { device: "", path: "" }, version: null, reason: "x" } : null,
  };
  const facts: BootloaderFacts = {
    control,
    places,
    record,
    attempt: 7,
    firmware: {
      order: [],
      next: chance(3) ? random(8) : null,
      current: chance(4) ? null : random(8),
      entries: new Map(),
      taken: new Set(),
      loader: { info: null, partition: null, image: null },
      faults: [],
    },
  };
  const entries = new Map<number, LoadOption>();
  const other: LoadOption = {
    attributes: 1,
    description: "Windows",
    path: [],
    morePaths: new Uint8Array(0),
    data: new Uint8Array(0),
  };
  for (let count = random(9); count > 0; count--) {
    const name = edition();
    const own = name === null || chance(3) ? null : entryFor(facts, name);
    const option = own ?? other;
    entries.set(random(8), { ...option, attributes: chance(5) ? 0 : LOAD_OPTION.active, path: spelled(option.path, random(4)) });
  }
  const order = Array.from({ length: random(9) }, () => random(9));
  return { ...facts, firmware: { ...facts.firmware, order, entries, taken: new Set(entries.keys()) } };
}

/** As other firmware would write the same path. */
function spelled(path: LoadOption["path"], how: number): LoadOption["path"] {
  if (path.length === 0 || how > 2) return path;
  if (how === 0) return [{ kind: "other", type: 1, subtype: 1, data: new Uint8Array(2) }, ...path];
  return path.map((node) => (node.kind === "file" ? { kind: "file", path: node.path.toUpperCase() } : node));
}

/** The firmware after one more step. */
function after({ firmware, ...rest }: BootloaderFacts, step: VariableStep): BootloaderFacts {
  const entries = new Map(firmware.entries);
  let { order, next } = firmware;
  if ("remove" in step) {
    if (step.remove === "next") next = null;
    else entries.delete(step.number);
  } else if (step.set === "entry") {
    const decoded = decodeLoadOption(encodeLoadOption(step.option));
    if (typeof decoded === "string") throw new Error(decoded);
    entries.set(step.number, decoded);
  } else if (step.set === "order") order = step.order;
  else next = step.number;
  return { ...rest, firmware: { ...firmware, order, next, entries, taken: new Set(entries.keys()) } };
}

/** What the firmware starts without BootNext: null where it finds nothing of ours. */
function started(facts: BootloaderFacts): EditionName | null {
  for (const number of facts.firmware.order) {
    const option = facts.firmware.entries.get(number);
    if (option === undefined || (option.attributes & LOAD_OPTION.active) === 0) continue;
    const edition = editionOfEntry(facts, option);
    if (edition !== null && findEdition(facts, edition) !== null) return edition;
  }
  return null;
}

const isWhole = (facts: BootloaderFacts, edition: EditionName | null) => findEdition(facts, edition)?.fault === null;

test("whatever a firmware made of its entries, one look makes them right, and a second one changes nothing", () => {
  let stepped = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const before = randomFacts(seed);
    const commit = seed % 2 === 0;
    const { steps, record, wanted } = settle(before, commit);
    const text = `seed ${seed}`;
    let facts = before;
    const booted = isWhole(before, started(before));
    for (const step of steps) {
      facts = after(facts, step);
      stepped++;
      if (booted) assert.ok(isWhole(facts, started(facts)), `${text}: nothing whole boots after ${JSON.stringify(step.why)}`);
    }
    facts = { ...facts, record };
    if (wanted.first !== null && entryFor(facts, wanted.first) !== null) {
      assert.equal(started(facts), findEdition(facts, wanted.first) === null ? started(facts) : wanted.first, text);
      if (wanted.second !== null && isWhole(facts, wanted.second)) {
        const second = facts.firmware.entries.get(facts.firmware.order[1] ?? -1);
        assert.equal(second === undefined ? null : editionOfEntry(facts, second), wanted.second, text);
      }
      const others = (from: BootloaderFacts) => {
        const listed = from.firmware.order.filter((number) => {
          const option = before.firmware.entries.get(number);
          return option !== undefined && editionOfEntry(before, option) === null;
        });
        return [...new Set(listed)];
      };
      assert.equal(others(facts), others(before), `${text}: the order of others`);
    }
    for (const [number, option] of before.firmware.entries) {
      if (editionOfEntry(before, option) === null)
        assert.equal(facts.firmware.entries.get(number), option, `${text}: an entry of others`);
    }
    const again = settle(facts, commit);
    assert.equal(again.steps, [], `${text}: a second look`);
    assert.equal(again.record, record, `${text}: the record of a second look`);
  }
  assert.ok(stepped > rounds, `${stepped} steps`);
});

test.run();
