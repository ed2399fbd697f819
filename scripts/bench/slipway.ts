import { madeOf, slipway } from "../../qemu/product.ts";
import type { Ground } from "./ground.ts";

/** slipway's initrd as `slipway initrd build` makes it for a product: its own compression level, no debugging. */
export async function slipwayInitrd(ground: Pick<Ground, "control" | "controlFile" | "kernel" | "modules">): Promise<string> {
  const { control, controlFile, kernel, modules } = ground;
  const directory = await madeOf("bench-initrd", [control.digest, kernel.modules, modules], async (aside) => {
    const named = modules.flatMap((name) => ["--module", name]);
    const words = ["--control", controlFile, "--modules", kernel.modules, ...named, "-o", `${aside}/initrd`];
    await slipway(["initrd", "build", ...words]);
  });
  return `${directory}/initrd`;
}
