import { slipway } from "../../qemu/product.ts";
import type { UpdateWorld } from "./update-world.ts";

/** Installs from `source` into the slot that does not run. */
export async function slipwayInstall(_world: UpdateWorld, source: string): Promise<void> {
  await slipway(["install", source]);
}
