/** Who is measured. */
import { writeFileSync } from "node:fs";
import { architectureOfRuntime } from "../../boot/architecture.ts";
import { readModuleDirectory } from "../../init/builder/initrd/depmod.ts";
import { selectModules } from "../../init/builder/initrd/select-modules.ts";
import { madeOf } from "../../qemu/product.ts";
import { busyboxInitrd, busyboxScript } from "./busybox.ts";
import type { BootFacts } from "./facts.ts";
import type { Ground } from "./ground.ts";
import { slipwayInitrd } from "./slipway.ts";
import { type Part, timelineOf } from "./timeline.ts";

export interface Peer {
  /** In the table and in JSON. */
  name: string;
  /** What it is and what it leaves out, for the table's notes. */
  note: string;
  /** Makes its initrd; returns the file, as the loader reads it. */
  makeInitrd(ground: Ground): Promise<string>;
  /** More words for the kernel's command line. */
  append: string;
  /** Its own account of where the time went; throws where the boot was not one to measure. */
  timeline?(facts: BootFacts): Part[];
}

export const peers: Peer[] = [
  {
    name: "slipway",
    note: "picks the slot, counts the try, lays the declared state, writes the journal; unsigned, no verity",
    makeInitrd: slipwayInitrd,
    append: "",
    timeline: timelineOf,
  },
  {
    name: "busybox",
    note: "a static busybox and one script, uncompressed cpio: one fixed slot, nothing counted, proven, cloned or reported",
    makeInitrd: makeBusyboxInitrd,
    append: "",
  },
];

async function makeBusyboxInitrd(ground: Ground): Promise<string> {
  const { control, kernel, slot, rootType } = ground;
  const files = moduleFiles(ground);
  const script = busyboxScript(
    control,
    slot,
    rootType,
    files.map(({ name }) => name),
  );
  const directory = await madeOf("bench-busybox", [script, kernel.modules], async (aside) => {
    writeFileSync(`${aside}/initrd`, busyboxInitrd({ script, modules: files }));
  });
  return `${directory}/initrd`;
}

/** The modules to load with all they need, in order. */
function moduleFiles({ kernel, modules }: Ground): { name: string; file: string }[] {
  const { files, index } = selectModules(
    readModuleDirectory(kernel.modules),
    kernel.version,
    architectureOfRuntime(process.arch),
    [...modules],
  );
  const order = new Set(index.load.flatMap((name) => [...(index.depends[name] ?? []), name]));
  return [...order].map((name) => {
    const path = files.find((file) => file.name === name)?.path ?? name;
    if (!path.endsWith(".ko")) throw new Error(`${kernel.modules}/${path} is compressed; busybox's insmod takes it as it is`);
    return { name, file: `${kernel.modules}/${path}` };
  });
}
