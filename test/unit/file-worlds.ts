/** Machines in memory with two slots that are partitions, and two that are files. */
import { imageFile } from "../../init/kernel/recording/memory-loops.ts";
import type { Described, Tree } from "../../init/kernel/recording/memory-tree.ts";
import type { SlotDefinition } from "../../state-ops/control.ts";
import { type Image, image, MiB } from "./golden-machine.ts";
import { World } from "./golden-world.ts";

export const fileSlots: SlotDefinition[] = [
  { name: "a", device: "PARTLABEL=root-a" },
  { name: "b", device: "PARTLABEL=root-b" },
  { name: "c", file: "images/c.img", size: 4 * MiB },
  { name: "d", file: "images/d.img", size: 4 * MiB },
];

/** What c and d hold unless another tree is asked for. */
export const [v3, v4] = [image(3), image(4)];

/** The file of a slot that holds that image. */
export function fileOf({ head, tree }: Image): Described {
  return imageFile(4 * MiB, head, { type: "erofs", tree });
}

const usual: Tree = { "images/c.img": fileOf(v3), "images/d.img": fileOf(v4) };

/** A machine whose slot a is committed and was shut down in order, while b is empty. `keep`: the usual files unless `tree` says otherwise. */
export async function filesWorld(tree: Tree = {}, a = image(1), { keep = true } = {}): Promise<World> {
  const world = new World({ a, control: { slots: fileSlots }, data: keep ? { ...usual, ...tree } : tree });
  await world.boot();
  world.commitAndShutDown("a", a.id);
  return world;
}
