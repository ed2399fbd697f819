/** A running machine on real filesystems: an image and a data filesystem on loop devices, a boot record in a file, /run in memory. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JournalEntry } from "../../boot/record/journal.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import type { BootReport } from "../../boot/report.ts";
import { PLACES, type Places } from "../../init/commands/machine.ts";
import { MS } from "../../init/kernel/constants.ts";
import type { Descriptor } from "../../init/kernel/kernel.ts";
import { layOut } from "../../init/state/data-filesystem.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import type { DataFilesystem, Operator } from "../../state-ops/control.ts";
import { formatComplete, formatMeta, type GenerationMeta, generationName, pointerTarget } from "../../state-ops/layout.ts";
import { entry, IMAGE_A, record, report } from "../unit/commands-machine.ts";
import { controlFile } from "../unit/golden-machine.ts";
import { attach, kernel, makeFilesystem, mountDisk, mountTmpfs, program, scratch, unmountAll } from "./state-machine.ts";

const project = join(import.meta.dirname, "../..");
mkdirSync(join(project, ".cache"), { recursive: true });
// Not on a tmpfs: older kernels have no O_DIRECT there.
const onDisk = mkdtempSync(join(project, ".cache/commands-state-"));
process.on("exit", () => rmSync(onDisk, { recursive: true, force: true }));

export interface MachineOrder {
  type: DataFilesystem;
  operators: Operator[];
  /** A shell script that fills the image's tree, run in it. */
  image: string;
}

export class StateMachine {
  readonly places: Places;
  /** The mount that stands for those of the boot. */
  readonly place: string;
  readonly data: Descriptor;
  /** The image, mounted as the root is. */
  readonly root: string;
  readonly type: DataFilesystem;
  readonly #directory = mkdtempSync(`${scratch}/machine-`);
  readonly #report: BootReport;
  readonly #closeDisk: () => void;

  constructor({ type, operators, image }: MachineOrder) {
    this.type = type;
    const tree = `${this.#directory}/tree`;
    mkdirSync(tree);
    program("sh", "-ec", `cd ${tree}; ${image}`);
    const imageFile = `${this.#directory}/image`;
    program("mkfs.ext4", "-q", "-d", tree, imageFile, "24M");
    const slotDevice = attach(imageFile);
    this.root = `${this.#directory}/root`;
    mkdirSync(this.root);
    kernel.mount(slotDevice, this.root, "ext4", MS.RDONLY, "noload");

    const disk = mountDisk(type, makeFilesystem(type));
    this.#closeDisk = () => disk.close();
    this.place = disk.place;
    this.data = disk.data;
    const device = program("findmnt", "-n", "-o", "SOURCE", disk.place);
    const uuid = program("blkid", "-c", "/dev/null", "-o", "value", "-s", "UUID", device);
    layOut(kernel, disk.data, uuid);

    mountTmpfs("/run");
    mkdirSync("/run/slipway");
    const recordFile = join(onDisk, `record-${type}`);
    this.#report = report({
      slotDevice,
      record: { condition: "valid", writable: true, device: recordFile },
      data: { device, filesystem: type, uuid },
    });
    const imageControl = `${scratch}/control-${type}.json`;
    writeFileSync(imageControl, controlFile({ operators }).text);
    const bin = join(onDisk, "bin");
    mkdirSync(bin, { recursive: true });
    this.places = { ...PLACES, imageControl, journalctl: join(bin, "journalctl") };
    this.boot({});
  }

  /** What PID 1 and the boot record say. */
  boot(facts: { record?: BootRecord; report?: Partial<BootReport>; journal?: JournalEntry[]; uncommitted?: boolean }): void {
    const { device } = this.#report.record;
    if (device === null) throw new Error("the machine has a boot record");
    writeFileSync(device, "");
    truncateSync(device, RECORD_LAYOUT.minimumPartitionSize);
    const store = openBootRecord(kernel, device);
    store.write(facts.record ?? record());
    for (const attempt of facts.journal ?? [entry(7)]) store.appendJournal(attempt);
    store.close();
    writeFileSync(this.places.report, JSON.stringify({ ...this.#report, ...facts.report }));
    writeFileSync(this.places.control, controlFile().text);
    rmSync(this.places.uncommitted, { force: true });
    if (facts.uncommitted) writeFileSync(this.places.uncommitted, "");
  }

  /** A complete generation with empty tree/ and ovl/, and the slot's pointer to it where one is named. */
  generation(number: number, change: Partial<GenerationMeta> = {}, pointer: string | null = null): string {
    const path = `${this.place}/gens/${generationName(number)}`;
    for (const name of ["tree", "ovl"]) mkdirSync(`${path}/${name}`, { recursive: true });
    const meta = formatMeta({
      ...{ schema: 1, number, parent: null, imageId: IMAGE_A, slot: "a", controlDigest: "sha256:control", attempt: number },
      ...change,
    });
    writeFileSync(`${path}/meta.json`, meta);
    writeFileSync(`${path}/COMPLETE`, formatComplete({ "meta.json": meta }));
    if (pointer !== null) kernel.makeSymlink(pointerTarget(number), `${this.place}/slots/${pointer}`);
    return path;
  }

  /** A shell script in the place of journalctl. */
  journalctl(script: string): void {
    writeFileSync(this.places.journalctl, `#!/bin/sh\n${script}\n`);
    chmodSync(this.places.journalctl, 0o755);
  }

  close(): void {
    kernel.unmount(this.root, 0);
    this.#closeDisk();
    unmountAll("/run");
  }
}
