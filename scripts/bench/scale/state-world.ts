/** A booted machine for state at scale: an image and a data filesystem on loop devices, what a boot told, mounts that end with the process. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { RUN } from "../../../boot/report.ts";
import { PLACES, type Places } from "../../../init/commands/machine.ts";
import { O } from "../../../init/kernel/constants.ts";
import type { Descriptor, Kernel } from "../../../init/kernel/kernel.ts";
import { linuxKernel } from "../../../init/kernel/linux.ts";
import { buildGeneration } from "../../../init/state/build-generation.ts";
import { layOut } from "../../../init/state/data-filesystem.ts";
import { adaptGeneration } from "../../../init/state/merge/adapt.ts";
import { tellOfMachine } from "../../../qemu/host-machine.ts";
import { emptyFile, makeImage } from "../../../qemu/images.ts";
import { LoopDevice } from "../../../qemu/loop-device.ts";
import { runProgram } from "../../../qemu/program.ts";
import { testKeyFiles } from "../../../qemu/seal.ts";
import type { ControlFile, DataFilesystem } from "../../../state-ops/control.ts";
import { pointerTarget } from "../../../state-ops/layout.ts";
import { readControl } from "../../../state-ops/read-control.ts";

export interface WorldOrder {
  /** An empty directory on a disk. */
  scratch: string;
  filesystem: DataFilesystem;
  /** The image's tree, with its control file. */
  tree: string;
}

/** Where an image has its control file. */
export const controlInImage = "usr/lib/slipway/control.json";
/** Images are known by their root hashes. */
const running = "a".repeat(64);
const dataBytes = 16 * 1024 ** 3;

function program(name: string, ...words: string[]): string {
  return execFileSync(name, words, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
}

export class StateWorld {
  readonly places: Places;
  readonly control: ControlFile;
  /** Where the image is mounted, and where the data filesystem is. */
  readonly root: string;
  readonly place: string;
  readonly #order: WorldOrder;
  readonly #devices: { image: LoopDevice; data: LoopDevice };

  private constructor(order: WorldOrder, devices: { image: LoopDevice; data: LoopDevice }) {
    this.#order = order;
    this.#devices = devices;
    this.root = `${order.scratch}/root`;
    this.place = `${order.scratch}/data`;
    const imageControl = `${order.tree}/${controlInImage}`;
    this.places = { ...PLACES, imageControl };
    this.control = readControl(readFileSync(imageControl, "utf8"));
  }

  /** Mounts over /run: for a mount namespace of its own. The caller closes. */
  static async make(order: WorldOrder): Promise<StateWorld> {
    const { scratch, tree } = order;
    await runProgram("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
    await makeImage(tree, `${scratch}/image`, "erofs", { compression: "none" });
    emptyFile(`${scratch}/disk`, dataBytes);
    for (const name of ["root", "data"]) mkdirSync(`${scratch}/${name}`);
    const image = await LoopDevice.over(`${scratch}/image`, { readOnly: true });
    const devices = { image, data: await LoopDevice.over(`${scratch}/disk`) };
    const world = new StateWorld(order, devices);
    await tellOfMachine({
      ...{ system: world.control.system, key: (await testKeyFiles("scale")).publicKey },
      ...{ slots: { a: image.path, b: "PARTLABEL=root-b" }, running, directory: scratch },
    });
    return world;
  }

  /** An empty data filesystem with generation 1, which belongs to the running slot. Forgets what was there. */
  beginAnew(kernel: Kernel): void {
    const { filesystem } = this.#order;
    const data = this.#devices.data.path;
    this.#unmount();
    program(`mkfs.${filesystem}`, "-q", ...(filesystem === "ext4" ? ["-F"] : ["-f"]), data);
    program("mount", "-t", filesystem, "-o", "nodev,nosuid,noatime", data, this.place);
    program("mount", "-t", "erofs", "-o", "ro", this.#devices.image.path, this.root);
    const uuid = program("blkid", "-c", "/dev/null", "-o", "value", "-s", "UUID", data);
    this.withRoots(kernel, (roots) => layOut(kernel, roots.data, uuid));
    this.build(kernel, 1, this.root);
    kernel.makeSymlink(pointerTarget(1), `${this.place}/slots/a`);
    const report: object = JSON.parse(readFileSync(RUN.report, "utf8"));
    const told = { generation: "000001", data: { device: data, filesystem, uuid } };
    writeFileSync(RUN.report, JSON.stringify({ ...report, ...told }));
  }

  /** The image as it is without anything laid over it. */
  mountImageAnew(): void {
    program("umount", "--recursive", this.root);
    program("mount", "-t", "erofs", "-o", "ro", this.#devices.image.path, this.root);
  }

  /** Makes a generation: 1 from the image, any other a clone of it for the image whose tree is `tree`, merged where that is another. */
  build(kernel: Kernel, number: number, tree: string): void {
    const imageId = tree === this.root ? running : "b".repeat(64);
    const { operators, digest: controlDigest } = this.control;
    const plan =
      number === 1
        ? ({ do: "create", to: 1, why: "bench", reason: null } as const)
        : ({ do: "clone", from: 1, to: number, parent: 1, without: [], why: "bench", reason: null } as const);
    const slot = number === 1 ? "a" : "b";
    this.withRoots(
      kernel,
      ({ data, newRoot }) => {
        const order = { plan, slot, imageId, controlDigest, attempt: number, operators, newRoot, adapt: adaptGeneration };
        buildGeneration(kernel, data, order, () => {});
      },
      tree,
    );
  }

  withRoots<Result>(kernel: Kernel, use: (roots: { data: Descriptor; newRoot: Descriptor }) => Result, tree = this.root): Result {
    const data = kernel.open(this.place, O.RDONLY | O.DIRECTORY);
    const newRoot = kernel.open(tree, O.RDONLY | O.DIRECTORY);
    try {
      return use({ data, newRoot });
    } finally {
      kernel.close(data);
      kernel.close(newRoot);
    }
  }

  #unmount(): void {
    for (const place of [this.root, this.place]) {
      try {
        execFileSync("umount", ["--recursive", place], { stdio: "ignore" });
      } catch {} // It was not mounted.
    }
  }

  close(): void {
    this.#unmount();
    for (const device of Object.values(this.#devices)) device.close();
    rmSync(`${this.#order.scratch}/disk`);
  }
}

/** The kernel that everything is measured on. */
export const realKernel: Kernel = linuxKernel();
// The process has mounts of its own already, and those that it left would stay with its other threads.
realKernel.privateMounts = () => {};
