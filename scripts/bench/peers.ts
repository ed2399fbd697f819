/** Who is measured. */
import { writeFileSync } from "node:fs";
import { keptOf } from "../../qemu/product.ts";
import { busyboxInitrd, busyboxScript } from "./busybox.ts";
import { floorInitrd, floorPlan, floorSource } from "./c-floor.ts";
import { dracut, initramfsTools, tinyInitramfs } from "./debian-peers.ts";
import { type DebianTool, debianInitrd } from "./debian-tools.ts";
import type { BootFacts } from "./facts.ts";
import type { Ground } from "./ground.ts";
import { moduleFiles } from "./modules.ts";
import type { Leaves } from "./mounts.ts";
import { slipwayInitrd } from "./slipway.ts";
import { type Part, timelineOf } from "./timeline.ts";

export const peerNames = [
  "slipway",
  "busybox",
  "initramfs-tools",
  "dracut",
  "dracut-systemd",
  "tiny-initramfs",
  "c-floor",
] as const;
export type PeerName = (typeof peerNames)[number];

export interface Peer {
  /** In the table and in JSON. */
  name: PeerName;
  /** What it is and what it leaves out, for the table's notes. */
  note: string;
  /** Makes its initrd; returns the file, as the loader reads it, and for the notes what made it. */
  makeInitrd(ground: Ground): Promise<{ file: string; by?: string }>;
  /** More words for the kernel's command line. */
  append: string;
  /** Still more, that make it end a boot that failed instead of asking at a shell. */
  whenFailing: string;
  leaves: Leaves;
  /** Words for the kernel's command line that change how much memory it needs: measured without and with them. */
  memoryWord?: string;
  /** Its own account of where the time went; throws where the boot was not one to measure. */
  timeline?(facts: BootFacts): Part[];
}

/** The label that GRUB would be told; ours, busybox's and the floor's are told by their files. */
const rootWord = "root=PARTLABEL=root-a ro";

const dracutFails = "rd.shell=0 rd.emergency=reboot";

const debian = (tool: (ground: Ground) => DebianTool) => (ground: Ground) => debianInitrd(tool(ground), ground.kernel);

export const peers: readonly Peer[] = [
  {
    name: "slipway",
    note: "picks the slot, counts the try, lays the declared state, writes the journal; unsigned, no verity",
    makeInitrd: async (ground) => ({ file: await slipwayInitrd(ground) }),
    append: "",
    whenFailing: "",
    leaves: "all",
    memoryWord: "rootfstype=ramfs",
    timeline: timelineOf,
  },
  {
    name: "busybox",
    note: "a static busybox and one script, uncompressed cpio: one fixed slot, nothing counted, proven, cloned or reported",
    makeInitrd: makeBusyboxInitrd,
    append: "",
    whenFailing: "",
    leaves: "all",
  },
  {
    name: "initramfs-tools",
    note: "Debian's defaults (MODULES=most, busybox, zstd), the mounts in a script of local-bottom; one fixed slot",
    makeInitrd: debian(initramfsTools),
    append: rootWord,
    whenFailing: "",
    leaves: "declared",
  },
  {
    name: "dracut",
    note: "Debian's defaults (not for the host only, gzip by pigz) without systemd, LVM, RAID and encryption, the mounts in a pre-pivot hook; one fixed slot",
    makeInitrd: debian((ground) => dracut(ground, { systemd: false })),
    append: rootWord,
    whenFailing: dracutFails,
    leaves: "declared",
  },
  {
    name: "dracut-systemd",
    note: "the same with systemd in the initrd, which is the default where systemd is installed",
    makeInitrd: debian((ground) => dracut(ground, { systemd: true })),
    append: rootWord,
    whenFailing: `${dracutFails} systemd.crash_reboot`,
    leaves: "declared",
  },
  {
    name: "tiny-initramfs",
    note: "Debian's defaults with the modules named, gzip: mounts the root and nothing else, for it knows no overlays and binds",
    makeInitrd: debian(tinyInitramfs),
    append: "root=/dev/vda2 rootfstype=erofs ro",
    whenFailing: "",
    leaves: "root",
  },
  {
    name: "c-floor",
    note: "a static C program, uncompressed cpio: the same mounts and nothing else; its initramfs is left in memory",
    makeInitrd: makeFloorInitrd,
    append: "",
    whenFailing: "",
    leaves: "all",
  },
];

async function makeBusyboxInitrd(ground: Ground): Promise<{ file: string }> {
  const { control, kernel, slot, rootType } = ground;
  const modules = moduleFiles(ground);
  const script = busyboxScript(
    control,
    slot,
    rootType,
    modules.map(({ name }) => name),
  );
  const directory = await keptOf("bench-busybox", [script, kernel.modules], async (aside) => {
    writeFileSync(`${aside}/initrd`, busyboxInitrd({ script, modules }));
  });
  return { file: `${directory}/initrd` };
}

async function makeFloorInitrd(ground: Ground): Promise<{ file: string }> {
  const { control, kernel, slot, rootType } = ground;
  const modules = moduleFiles(ground);
  const names = modules.map(({ name }) => name);
  const plan = floorPlan(control, slot, rootType, names);
  const inputs = [plan, await Bun.file(floorSource).text(), kernel.modules];
  const directory = await keptOf("bench-c-floor", inputs, async (aside) => {
    writeFileSync(`${aside}/initrd`, await floorInitrd(aside, plan, modules));
  });
  return { file: `${directory}/initrd` };
}
