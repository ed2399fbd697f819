/** Which pages of the executable a boot touches. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { buildInitrd } from "../init/builder/initrd/build.ts";
import { writeCpio } from "../init/builder/initrd/cpio.ts";
import { type HotPageList, PAGE } from "../init/builder/initrd/hot-pages.ts";
import { guestArchitecture } from "./architecture.ts";
import { compileProgram } from "./c-program.ts";
import { guestKernel } from "./kernel.ts";
import type { Machine } from "./machine.ts";
import { guestDist } from "./places.ts";
import { madeOf } from "./product.ts";
import { guestCompiler, sysroot } from "./sysroot.ts";

/** For the kernel's command line: starts what watches. */
export const watchTouchedPages = "rdinit=/touched-pages";

/**
 * An initrd for {@link touchedPages}: a page is a block of its own, so that only those that are touched come into memory. Kept.
 * @param control a control file on the host
 * @param lists of hot pages, which then are not seen; none to see all
 * @param named modules to load at every boot instead of the default set
 */
export async function watchedInitrd(control: string, lists: readonly HotPageList[], named: string[] = []): Promise<string> {
  const { modules } = await guestKernel();
  const source = fileURLToPath(new URL("touched-pages.c", import.meta.url));
  const inputs = [readFileSync(control, "utf8"), modules, named, lists, readFileSync(source, "utf8")];
  const directory = await madeOf("watched-initrd", inputs, async (aside) => {
    const dist = guestDist();
    await buildInitrd({
      control,
      modules,
      named,
      extra: [],
      debug: false,
      architecture: guestArchitecture,
      executable: `${dist}/slipway`,
      preinit: `${dist}/preinit`,
      hot: lists.length === 0 ? null : { interpreter: `${dist}/interpreter`, lists },
      sysroot: (await sysroot()) || "/",
      blockSize: PAGE,
      level: 1,
      output: `${aside}/initrd`,
    });
    writeFileSync(`${aside}/initrd`, Buffer.concat([readFileSync(`${aside}/initrd`), ...(await watcher(source))]));
  });
  return `${directory}/initrd`;
}

/** An archive that the kernel unpacks too when it lies behind another. */
async function watcher(source: string): Promise<Uint8Array[]> {
  const scratch = mkdtempSync(`${tmpdir()}/slipway-touched-`);
  try {
    await compileProgram(source, `${scratch}/program`, { compiler: guestCompiler() });
    const content = new Uint8Array(readFileSync(`${scratch}/program`));
    return writeCpio([{ path: "touched-pages", kind: "file", mode: 0o755, content }]);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Pages of the executable that the boot of `machine` touched until the next init, in their order. */
export async function touchedPages(machine: Machine): Promise<number[]> {
  const [, told = ""] = await machine.expectResult(/touched begins\r?\n([\d\s]*)touched ends/);
  return told.trim() === "" ? [] : told.trim().split(/\s+/).map(Number);
}
