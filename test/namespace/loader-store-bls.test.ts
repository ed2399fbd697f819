/**
 * systemd-boot's entries on a real filesystem: brought to a view, cut off between any two effects, and images put beside them. It
 * is an ext4, since not every kernel that runs tests has vfat; the machines of test/vm have them on FAT.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { appendSections } from "../../boot/portable-executable.ts";
import { nextOfLoader } from "../../boot/stores/bls.ts";
import type { EntryKind } from "../../boot/stores/bls-names.ts";
import type { EntryFile } from "../../boot/stores/bls-order.ts";
import type { StoreSlot, StoreView } from "../../boot/stores/view.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import type { Kernel } from "../../init/kernel/kernel.ts";
import { BlsStore } from "../../init/store/loader-store/bls.ts";
import { SYSTEMD_STUB } from "../../qemu/systemd-boot-disk.ts";
import { attach, cleanUp, kernel, kernelCutAt, makeFilesystem, mountTmpfs, PowerCut, program, scratch } from "./state-machine.ts";

test.after(cleanUp);
mountTmpfs("/run");

const slots: StoreSlot[] = ["a", "b"].map((name) => ({ name, bootname: name }));
const nonce = "0123456789abcdef";
const good = (priority: number) => ({ priority, tries: null, good: true });
const trial = (priority: number) => ({ priority, tries: 3, good: null });

const disk = attach(makeFilesystem("ext4", `${scratch}/esp.disk`));
const place = `${scratch}/esp`;
mkdirSync(place);

/** Runs `use` with the filesystem mounted, as a system has it between two of slipway's looks. */
function mounted<Result>(use: () => Result): Result {
  kernel.mount(disk, place, "ext4", MS.NOATIME, "");
  try {
    return use();
  } finally {
    kernel.unmount(place, 0);
  }
}

const directoryOf = (kind: EntryKind) => (kind === "conf" ? "loader/entries" : "EFI/Linux");

function unified(content: string): Uint8Array {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const sections = [
    { name: ".osrel", bytes: bytes("ID=slipway\nPRETTY_NAME=slipway\n") },
    { name: ".linux", bytes: bytes(content.repeat(3_000_000)) },
  ];
  return appendSections("the stub", readFileSync(SYSTEMD_STUB), sections);
}

function entry(slot: string): string {
  return `# ours\ntitle Slot ${slot}\nsort-key slipway\nlinux /slipway/${slot}/linux\noptions quiet slipway.slot=${slot}\n`;
}

function begin(kind: EntryKind): void {
  mounted(() => {
    program("sh", "-c", `rm -rf "$0"/* && mkdir -p "$0"/loader/entries "$0"/EFI/Linux`, place);
    for (const [rank, slot] of [
      [2, "a"],
      [1, "b"],
    ] as const) {
      const path = `${place}/${directoryOf(kind)}/slipway-${rank}-${slot}+3.${kind}`;
      writeFileSync(path, kind === "conf" ? entry(slot) : unified(slot));
    }
  });
}

function store(kind: EntryKind, on: Kernel = kernel): BlsStore {
  const desk = { kernel: on, loadForFilesystem: () => {}, environmentLock: null };
  return new BlsStore(desk, { device: disk, directory: directoryOf(kind) }, slots);
}

const names = (kind: EntryKind) => mounted(() => readdirSync(`${place}/${directoryOf(kind)}`).sort());

function written(kind: EntryKind, view: StoreView, on: Kernel = kernel): void {
  const target = store(kind, on);
  target.read();
  assert.equal(target.write(view), { written: true });
}

function filesOf(kind: EntryKind): EntryFile[] {
  const one = store(kind);
  one.read();
  return one.raw().map(([name, text]) => ({ name, text }));
}

/** Whether a call changes the loader's filesystem. */
function isChange(name: PropertyKey, args: readonly unknown[]): boolean {
  const options = name === "rename" ? args[2] : args[1];
  const isInside = name === "write" || (typeof options === "object" && options !== null && "at" in options);
  return ["write", "rename", "remove"].includes(String(name)) && isInside;
}

const views: Record<string, StoreView> = {
  "a commit": { slots: { a: good(2), b: trial(1) }, nonce },
  "an activation": { slots: { a: good(1), b: trial(2) }, nonce: nonce.replace("0", "f") },
  "a slot given up": { slots: { a: good(1), b: { priority: 0, tries: 0, good: false } }, nonce },
};

for (const kind of ["conf", "efi"] as const) {
  test(`${kind}: what is written is read, and what stood in an entry stays`, () => {
    begin(kind);
    written(kind, { slots: { a: good(2), b: trial(1) }, nonce });
    const reading = store(kind).read();
    assert.equal(reading.view, { slots: { a: good(2), b: trial(1) }, nonce: kind === "conf" ? nonce : null });
    if (kind === "efi") assert.equal(names(kind), ["slipway-1-b+3.efi", "slipway-2-a.efi"]);
    else {
      assert.equal(names(kind), ["slipway-3-b+3.conf", "slipway-4-a.conf"]);
      const text = mounted(() => readFileSync(`${place}/loader/entries/slipway-4-a.conf`, "utf8"));
      assert.is(text, entry("a").replace("slipway.slot=a", `slipway.slot=a slipway.nonce=${nonce}`));
    }
    program("e2fsck", "-fn", disk);
  });

  for (const [what, view] of Object.entries(views)) {
    test(`${kind}: ${what}, stopped at any change: the loader has a slot to boot, and the next write ends it`, () => {
      begin(kind);
      written(kind, { slots: { a: trial(2), b: trial(1) }, nonce });
      const counting = kernelCutAt(-1, isChange);
      const backup = readFileSync(disk);
      written(kind, view, counting.kernel);
      const after = names(kind);
      assert.ok(counting.counted() > 0);
      for (let at = 0; at < counting.counted(); at++) {
        writeFileSync(disk, backup);
        const { kernel: cut } = kernelCutAt(at, isChange);
        const torn = store(kind, cut);
        torn.read();
        assert.throws(
          () => torn.write(view),
          (error: unknown) => error instanceof PowerCut,
        );
        assert.is.not(nextOfLoader(filesOf(kind), slots, kind), null, `stopped at ${at}`);
        written(kind, view);
        assert.equal(
          names(kind).filter((name) => !name.includes("twin")),
          after,
          `stopped at ${at}`,
        );
        program("e2fsck", "-fn", disk);
      }
    });
  }
}

function bring(target: BlsStore, source: string, tail: string): string | null {
  const from = kernel.open(source, O.RDONLY);
  try {
    return target.bringImage({ name: "b", bootname: "b" }, tail, from);
  } finally {
    kernel.close(from);
  }
}

const image = `${scratch}/new.efi`;
writeFileSync(image, unified("new"));

test("a new image lies beside the old one, out of boots; once; activated, it takes its place", () => {
  begin("efi");
  written("efi", { slots: { a: good(2), b: good(1) }, nonce: null });
  assert.is(bring(store("efi"), image, "-1111"), "slipway-3-b-1111+0.efi");
  assert.is(bring(store("efi"), image, "-1111"), null, "it is there");
  assert.is(nextOfLoader(filesOf("efi"), slots, "efi"), "a");
  const bytes = mounted(() => readFileSync(`${place}/EFI/Linux/slipway-3-b-1111+0.efi`));
  assert.is(Buffer.compare(bytes, readFileSync(image)), 0);
  written("efi", { slots: { a: good(1), b: trial(2) }, nonce: null });
  assert.equal(names("efi"), ["slipway-2-a.efi", "slipway-3-b-1111+3.efi"]);
  assert.is(bring(store("efi"), image, "-1111"), null);
});

test("stopped at any write of it, it is no image to the loader; the next try removes what was left", () => {
  begin("efi");
  const backup = readFileSync(disk);
  const counting = kernelCutAt(-1, isChange);
  bring(store("efi", counting.kernel), image, "-1111");
  assert.ok(counting.counted() > 3);
  for (let at = 0; at < counting.counted(); at++) {
    writeFileSync(disk, backup);
    // as after a power cut: nothing cleans up
    let stopped = false;
    const { kernel: cut } = kernelCutAt(at, isChange);
    const dead = new Proxy(cut, {
      get(target, name) {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return (...args: unknown[]): unknown => {
          if (stopped && name === "remove" && typeof args[1] === "object" && String(args[0]).endsWith(".efi")) return undefined;
          try {
            return Reflect.apply(method, target, args);
          } catch (error) {
            stopped ||= error instanceof PowerCut;
            throw error;
          }
        };
      },
    });
    assert.throws(
      () => bring(store("efi", dead), image, "-1111"),
      (error: unknown) => error instanceof PowerCut,
    );
    assert.equal(store("efi").read().view?.slots, { a: trial(2), b: trial(1) }, `stopped at ${at}`);
    assert.ok(bring(store("efi"), image, "-1111")?.endsWith("-b-1111+0.efi"));
    assert.is(names("efi").length, 3);
  }
});

test("without room it is refused with numbers, and nothing is left", () => {
  begin("efi");
  mounted(() => writeFileSync(`${place}/filler`, new Uint8Array(45 * 1024 * 1024)));
  const before = names("efi");
  assert.throws(() => bring(store("efi"), image, "-1111"), /bytes free, and the new unified kernel image takes \d+/);
  assert.equal(names("efi"), before);
  assert.ok(mounted(() => existsSync(`${place}/filler`) && statSync(`${place}/filler`).size > 0));
});

test.run();
