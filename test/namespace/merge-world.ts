/** Generations that move from image to image, and what programs do to them meanwhile. */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { MS, O } from "../../init/kernel/constants.ts";
import type { Kernel } from "../../init/kernel/kernel.ts";
import { withDescriptor } from "../../init/state/beneath.ts";
import { layOut } from "../../init/state/data-filesystem.ts";
import { type GenerationOrder, type PreparedGeneration, prepareGeneration } from "../../init/state/generations.ts";
import { adaptGeneration } from "../../init/state/merge/adapt.ts";
import type { DataFilesystem, Operator } from "../../state-ops/control.ts";
import { NO_WORK } from "../../state-ops/generation-work.ts";
import { generationName } from "../../state-ops/layout.ts";
import { MERGE_REPORT, type MergeReport } from "../../state-ops/merge/report.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { kernel, makeFilesystem, mountDisk, mountTmpfs, program, scratch } from "./state-machine.ts";

/** As PID 1 mounts them. */
const overlayOptions = "index=off,metacopy=off,redirect_dir=off,xino=off";

/** An image: a tree that nothing may write, and what it declares. */
export interface TestImage {
  id: string;
  root: string;
  operators: readonly Operator[];
}

let images = 0;

/** An image that `make` fills: a path of its root is given. It is read-only afterwards. */
export function makeImage(operators: readonly Operator[], make: (root: string) => void): TestImage {
  const id = `image-${++images}`;
  const root = `${scratch}/${id}`;
  mountTmpfs(root);
  for (const { path } of operators) mkdirSync(`${root}${path}`, { recursive: true });
  make(root);
  kernel.mount("none", root, "", MS.REMOUNT | MS.RDONLY, "");
  return { id, root, operators };
}

/** /run, where the merge is told. */
export function prepareRun(): void {
  mountTmpfs("/run");
  mkdirSync("/run/slipway");
}

export function readReport(): MergeReport {
  return JSON.parse(readFileSync(MERGE_REPORT, "utf8"));
}

export class MergeWorld {
  readonly disk: ReturnType<typeof mountDisk>;
  #number = 0;

  constructor(readonly type: DataFilesystem) {
    this.disk = mountDisk(type, makeFilesystem(type, `${scratch}/merge-${type}.disk`));
    layOut(kernel, this.disk.data, "3f1c2a44-9d0e-4e59-8a67-1b2c3d4e5f60");
  }

  close(): void {
    this.disk.close();
  }

  /** Path of a generation. */
  at(number: number, path = ""): string {
    return `${this.disk.place}/gens/${generationName(number)}${path === "" ? "" : `/${path}`}`;
  }

  /** Number of the newest generation that was begun. */
  clones(): number {
    return this.#number;
  }

  create(image: TestImage): PreparedGeneration {
    return this.#prepare(kernel, image, { do: "create", to: ++this.#number, why: "", reason: null });
  }

  /** A clone of generation `from` for an image, by `on` where it is another kernel. */
  clone(from: number, image: TestImage, on: Kernel = kernel): PreparedGeneration {
    const to = ++this.#number;
    return this.#prepare(on, image, { do: "clone", from, to, parent: from, without: [], why: "", reason: null });
  }

  #prepare(on: Kernel, image: TestImage, plan: GenerationPlan): PreparedGeneration {
    const { id, root, operators } = image;
    return withDescriptor(
      kernel,
      () => kernel.open(root, O.RDONLY | O.DIRECTORY),
      (newRoot) => {
        const who = { slot: "a", imageId: id, controlDigest: `control of ${id}`, attempt: this.#number };
        const order: GenerationOrder = { plan, ...who, work: NO_WORK, operators, newRoot, adapt: adaptGeneration };
        return prepareGeneration(on, this.disk.data, order, () => {});
      },
    );
  }

  /** Hands on the overlay of a generation over an image, mounted as PID 1 mounts it. */
  withOverlay(number: number, image: TestImage, operator: Operator, use: (place: string) => void): void {
    const place = `${scratch}/overlay`;
    // Beside the upper layer: a generation may be a subvolume, and an overlay renames from one to the other.
    const work = this.at(number, `work/${operator.id}`);
    const upper = this.at(number, `ovl/${operator.id}/upper`);
    rmSync(work, { recursive: true, force: true });
    for (const directory of [place, work, upper]) mkdirSync(directory, { recursive: true });
    const layers = `lowerdir=${image.root}${operator.path},upperdir=${upper},workdir=${work}`;
    kernel.mount("overlay", place, "overlay", 0, `${layers},${overlayOptions}`);
    try {
      use(place);
    } finally {
      program("umount", place);
    }
  }
}
