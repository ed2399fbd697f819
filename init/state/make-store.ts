import type { Operator } from "../../state-ops/control.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { makeFile, type OnProgress, withDirectory } from "./beneath.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";
import { cloneTree } from "./clone-tree.ts";
import { newContent } from "./generated.ts";
import type { RootProperties } from "./root-properties.ts";

/** A store as a step declares it. */
export interface StoreOrder extends RootProperties {
  /** Relative to its filesystem's root: "shared/etc-machine-id". */
  path: string;
  /** Where it is where it is not at `path`; null: nowhere. */
  formerPath: string | null;
  /** `image`: starts with what the image has at the place; `none`: starts empty; `literal`: a file with that text. */
  seed: Operator["seed"];
  literal: string | null;
  generate: Operator["generate"];
  /** The same place in the image; null where the image has nothing there. */
  image: Place | null;
}

/** What was written into a new store. */
export interface MadeStore {
  bytes: number;
  /** Names of attributes that its filesystem does not know. */
  lostAttributes: string[];
}

const empty: MadeStore = { bytes: 0, lostAttributes: [] };

/** Fills a new store at `to`, which must not exist. Nothing is synced. */
export function makeStore(
  kernel: Kernel,
  to: { at: Descriptor; name: string },
  order: StoreOrder,
  onProgress: OnProgress,
): MadeStore {
  const { image, kind } = order;
  const status = image === null ? null : kernel.statusAt(image.name, image.at);
  if (image !== null && order.seed === "image" && status?.kind === kind) {
    return cloneTree(kernel, image, to, { onProgress, dropOptionalAttributes: true });
  }
  if (kind === "file") {
    const text = order.generate === null ? (order.literal ?? "") : newContent(order.generate);
    makeFile(kernel, to.at, to.name, text, fileMode(order));
    return empty;
  }
  kernel.makeDirectory(to.name, 0o755, to.at);
  const lostAttributes = withDirectory(kernel, to.at, to.name, (made) => {
    const mode = status?.kind === "directory" ? status.mode : 0o755;
    const setMode = () => kernel.changeMode(made, mode);
    if (image !== null && status?.kind === "directory") {
      return copyMetadata(kernel, image, status, { at: made, name: "." }, setMode, true);
    }
    setMode();
    return [];
  });
  return { bytes: 0, lostAttributes };
}

/** Permission bits of a new file that the image does not seed: what is generated is for nobody to change. */
export function fileMode({ mode, generate }: StoreOrder): number {
  return mode ?? (generate === null ? 0o644 : 0o444);
}
