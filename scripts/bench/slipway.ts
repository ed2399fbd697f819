import type { GuestKernel } from "../../qemu/kernel.ts";
import { madeOf, slipway } from "../../qemu/product.ts";
import type { ControlFile } from "../../state-ops/control.ts";

/** What an initrd is made for. */
export interface Product {
  control: ControlFile;
  /** Its path. */
  controlFile: string;
  kernel: GuestKernel;
  /** Names of modules that every peer loads. */
  modules: readonly string[];
}

/** slipway's initrd as `slipway initrd build` makes it for a product: its own compression level, no debugging. */
export async function slipwayInitrd(product: Product): Promise<string> {
  const { control, controlFile, kernel, modules } = product;
  const directory = await madeOf("bench-initrd", [control.digest, kernel.modules, modules], async (aside) => {
    const named = modules.flatMap((name) => ["--module", name]);
    const words = ["--control", controlFile, "--modules", kernel.modules, ...named, "-o", `${aside}/initrd`];
    await slipway(["initrd", "build", ...words]);
  });
  return `${directory}/initrd`;
}
