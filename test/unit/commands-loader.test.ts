/** What commands make of the bootloader's store: status tells of it, and a loader that reads another one is found out. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { changeGrubenv } from "../../boot/stores/grubenv.ts";
import type { ToldLoader } from "../../boot/stores/told-loader.ts";
import { activateSlot } from "../../init/commands/activate.ts";
import { whyUnheard } from "../../init/commands/loader-facts.ts";
import { readMachine } from "../../init/commands/machine.ts";
import { rollback } from "../../init/commands/rollback.ts";
import { readStatus } from "../../init/commands/status-facts.ts";
import { statusText } from "../../init/commands/status-text.ts";
import { file } from "../../init/kernel/recording/memory-tree.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { matchesGolden } from "../golden.ts";
import { IMAGE_B, type MachineOptions, record, report, slot, TestMachine } from "./commands-machine.ts";

const nonce = "0123456789abcdef";

/** The loader's file lies on the only filesystem that this machine in memory has. */
const control: Partial<ControlFile> = {
  chooser: "loader",
  slots: [
    { name: "a", device: "PARTLABEL=root-a", bootname: "A" },
    { name: "b", device: "PARTLABEL=root-b", bootname: "B" },
  ],
  bootRecord: {
    store: "grubenv",
    device: "PARTLABEL=boot-record",
    grubenv: { device: "/dev/vda4", file: "grubenv", dialect: "rauc" },
  },
};

function grubenv(variables: Record<string, string>) {
  return file(changeGrubenv(null, new Map(Object.entries(variables))));
}

const agreed = { ORDER: "A B", A_OK: "1", A_TRY: "0", B_OK: "1", B_TRY: "0", slipway_nonce: nonce };

function told(change: Partial<ToldLoader> = {}): BootReport {
  const store = { kind: "grubenv", place: "grubenv on /dev/vda4", condition: "valid", reason: null } as const;
  const loader: ToldLoader = { chooser: "loader", named: "a", nonce: "same", store, merged: [], ...change };
  return report({ why: "the bootloader chose it (committed, 10 of 10 tries left)", loader });
}

function machine(variables: Record<string, string>, options: MachineOptions = {}): TestMachine {
  return new TestMachine({ control, report: told(), data: { grubenv: grubenv(variables) }, ...options });
}

const statusOf = ({ kernel, places }: TestMachine) => readStatus(kernel, places);

function refusalOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
  return "nothing was refused";
}

/** Slot a with all its tries, which nothing says otherwise. */
const full = record({ slots: { a: slot({ priority: 2 }), b: slot({ imageId: IMAGE_B }) } });

test("status tells the store, who chose, and what the loader believes", () => {
  const merged = ["slot b was marked bad in the bootloader's store"];
  const status = statusOf(machine({ ...agreed, ORDER: "B A", A_TRY: "1" }, { record: full, report: told({ merged }) }));
  matchesGolden("status-loader", `${statusText(status, { colour: false, all: false })}\n`);
  const { chooser, named, nonce: verdict, store } = status.bootloader;
  assert.equal([chooser, named, verdict], ["loader", "a", "same"]);
  assert.equal([store?.kind, store?.place, store?.condition], ["grubenv", "grubenv on /dev/vda4", "valid"]);
  assert.equal(store?.slots.b, { priority: 2, tries: 1, good: true });
  assert.equal(status.next, { slot: "b", why: "first in the bootloader's store (good, 1 try left)" });
  assert.equal(statusOf(machine(agreed, { record: full })).bootloader.store?.differences, []);
});

test("a loader that reads another store: status warns, activate, rollback and check's warning refuse with the remedy", () => {
  const options = { report: told({ nonce: "other" }) };
  const status = statusOf(machine(agreed, options));
  const why = /^the bootloader reads another store than grubenv on \/dev\/vda4: .*then reboot$/;
  assert.ok(status.warnings.some((warning) => why.test(warning)));
  assert.match(statusText(status, { colour: false, all: false }), /LOADER READS ANOTHER STORE/);
  const own = machine(agreed, options);
  const { kernel, places } = own;
  assert.match(
    refusalOf(() => activateSlot(kernel, places, "b")),
    why,
  );
  assert.match(
    refusalOf(() => rollback(kernel, places, "old")),
    why,
  );
  assert.match(whyUnheard(kernel, places, readMachine(kernel, places)) ?? "", why);
  assert.is(own.recordWrites, 0);
});

test("what is not known against it refuses nothing", () => {
  for (const verdict of ["same", "none", "unknown"] as const) {
    const { kernel, places } = machine(agreed, { report: told({ nonce: verdict }) });
    assert.is(whyUnheard(kernel, places, readMachine(kernel, places)), null, verdict);
  }
  const { kernel, places } = machine(agreed);
  assert.ok(activateSlot(kernel, places, "b").changed);
  const { store } = readStatus(kernel, places).bootloader;
  assert.match(store?.summary ?? "", /^b \(good/);
  assert.equal(store?.differences, []);
});

test("a machine without such a store says nothing of it", () => {
  const status = statusOf(new TestMachine());
  assert.equal(status.bootloader, { chooser: "slipway", named: null, nonce: "unknown", store: null, merged: [] });
  assert.not.match(statusText(status, { colour: false, all: false }), /bootloader chooses|slipway chooses/);
});

test("with slipway's own record alone, nobody knows what the loader will name", () => {
  const status = statusOf(new TestMachine({ control: { chooser: "loader" }, record: full }));
  assert.match(status.next.why, /^first of the slots that can boot .*, unless the bootloader names another$/);
  assert.match(
    statusText(status, { colour: false, all: false }),
    /the bootloader chooses the slot: it named no slot at this boot/,
  );
});

test("a store that cannot be read is said, with the reason", () => {
  const { store } = statusOf(machine({}, { data: {} })).bootloader;
  assert.equal([store?.condition, store?.summary, store?.slots], ["empty", null, {}]);
  assert.match(store?.reason ?? "", /grubenv on \/dev\/vda4 is not there/);
});

const variable = (text: string) => `\u0007\0\0\0${[...text].map((letter) => `${letter}\0`).join("")}\0\0`;
const vendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

function blsMachine(selected: string | null, entries: string[], variables: Record<string, string> = {}): TestMachine {
  const bls: Partial<ControlFile> = {
    ...control,
    bootRecord: { store: "bls", device: "PARTLABEL=boot-record", bls: { device: "/dev/vda4", directory: "loader/entries" } },
  };
  const entry = (name: string) => `title x\nversion 1\nlinux /vmlinuz\noptions slipway.slot=${name}\n`;
  const tree = Object.fromEntries(entries.map((name) => [name, entry(name.startsWith("slipway-b") ? "b" : "a")]));
  const efivars = {
    ...(selected === null ? {} : { [`LoaderEntrySelected-${vendor}`]: variable(selected) }),
    [`LoaderInfo-${vendor}`]: variable("systemd-boot 252.39"),
    ...variables,
  };
  return new TestMachine({
    control: bls,
    report: told({ nonce: "none" }),
    data: { loader: { entries: tree } },
    sys: { "firmware/efi/efivars": efivars },
  });
}

test("systemd-boot tells which entry it started: one of ours, or one of another directory", () => {
  const entries = ["slipway-a.conf", "slipway-b+3.conf"];
  for (const [selected, expected] of [
    ["slipway-a.conf", "same"],
    ["slipway-b+2-1.conf", "same"],
    ["SLIPWAY-A.conf", "same"],
    ["debian.conf", "other"],
    [null, "none"],
  ] as const) {
    const status = statusOf(blsMachine(selected, entries));
    assert.is(status.bootloader.nonce, expected, selected ?? "nothing");
    assert.is(status.trust.loader.name, "systemd-boot 252.39");
    assert.is(status.trust.loader.entry, selected);
  }
});

test("status names a kernel that slipway started itself", () => {
  assert.is(statusOf(machine(agreed)).trust.loader.kexec, false);
  const attempt = record().attempt;
  if (attempt === null) throw new Error("no attempt");
  const second = { ...record(), attempt: { ...attempt, kexec: { nonce, previousEnd: "none" as const } } };
  const { kexec, summary } = statusOf(machine(agreed, { record: second })).trust.loader;
  assert.ok(kexec);
  assert.match(
    summary,
    /^kernel and initrd are the slot's own, out of its proven image, started by kexec; the first stage: no UEFI/,
  );
});

test.run();
