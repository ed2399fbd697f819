import { chmodSync, copyFileSync, mkdirSync, symlinkSync } from "node:fs";
import { guestDist } from "./places.ts";
import { runProgram } from "./program.ts";
import { sysroot } from "./sysroot.ts";
import { addLibraries, addSlipway, type TreeFiles, writeFiles } from "./tree.ts";

/** What a small root does in the end. "shell" leaves one at a shell on the console, which a test can type into. */
export type Ending = "power-off" | "reboot" | "hang" | "crash" | "shell";

/**
 * A root that boots in a second: busybox and an init that is a script. The init mounts /proc, /sys, /dev, /run and /tmp
 * unless they are mounted, says `small root up: FACTS` on the console and the results channel, runs `script`, and ends as
 * asked. In `script` the function `say` speaks on both channels. It runs as PID 1 with the environment of PID 1 and a PATH.
 */
export interface SmallRoot {
  /** Goes into the marker line, to tell images from each other: "v1". No line breaks. */
  facts: string;
  ending: Ending;
  /** Shell lines to run before the end. */
  script?: string;
  files?: TreeFiles;
  /** Empty directories, as mount points. */
  directories?: string[];
  /** "busybox": busybox init runs as PID 1 with an inittab, and the script is its task. Default "script". */
  init?: "script" | "busybox";
  /** Put the guests' rootfs.tar in, with the libraries that it needs. Default false: it makes the image 50 MB bigger. */
  slipway?: boolean;
}

/** The line that a small root says first, on both channels. */
export function markerOf(root: Pick<SmallRoot, "facts">): string {
  return `small root up: ${root.facts}`;
}

const begin = `#!/bin/sh
export PATH=/usr/bin:/bin:/usr/sbin:/sbin
mounted() { grep -q " $1 " /proc/mounts 2>/dev/null; }
mounted /proc || mount -t proc proc /proc
mounted /sys || mount -t sysfs sysfs /sys
mounted /dev || mount -t devtmpfs devtmpfs /dev
mounted /run || mount -t tmpfs tmpfs /run
mounted /tmp || mount -t tmpfs tmpfs /tmp
say() { echo "$*" >/dev/ttyS1; echo "$*" >/dev/console; }
# A restart empties no serial port: wait until ttyS1 has sent what it got.
settle() { sync; sleep 0.2; }
say "small root up: $(cat /etc/small-root/facts)"
[ ! -f /etc/small-root/script ] || . /etc/small-root/script
say "small root ends: $(cat /etc/small-root/ending)"
settle
`;

const init = `${begin}case "$(cat /etc/small-root/ending)" in
  power-off) umount -a -r 2>/dev/null; poweroff -f ;;
  reboot) umount -a -r 2>/dev/null; reboot -f ;;
  crash) echo c >/proc/sysrq-trigger ;;
  shell) while :; do setsid cttyhack sh </dev/console >/dev/console 2>&1; done ;;
esac
while :; do sleep 3600; done
`;

/** What busybox init runs: it powers off and restarts through its own shutdown action. */
const task = `${begin}case "$(cat /etc/small-root/ending)" in
  power-off) poweroff ;;
  reboot) reboot ;;
  crash) echo c >/proc/sysrq-trigger ;;
esac
`;

const inittab = `::sysinit:/bin/hostname -F /etc/hostname
::once:/etc/small-root/task
::restart:/sbin/init
::ctrlaltdel:/bin/reboot
::shutdown:/bin/umount -a -r
`;

const busyboxInit: TreeFiles = {
  "/etc/inittab": inittab,
  "/etc/hostname": "small\n",
  "/etc/small-root/task": { content: task, mode: 0o755 },
};

const directories = [
  "bin",
  "sbin",
  "etc/small-root",
  "usr/lib",
  "usr/bin",
  "proc",
  "sys",
  "dev",
  "run",
  "tmp",
  "var/lib",
  "var/log",
  "root",
  "home",
  "mnt",
];

/** Fills the empty directory `tree` with a small root. */
export async function smallRootTree(tree: string, root: SmallRoot): Promise<void> {
  for (const directory of [...directories, ...(root.directories ?? [])]) mkdirSync(`${tree}/${directory}`, { recursive: true });
  chmodSync(`${tree}/tmp`, 0o1777);
  const busybox = `${await sysroot()}/bin/busybox`;
  if (/interpreter/.test(await runProgram("readelf", ["--program-headers", busybox]))) {
    throw new Error(`${busybox} is linked dynamically; install busybox-static`);
  }
  copyFileSync(busybox, `${tree}/bin/busybox`);
  chmodSync(`${tree}/bin/busybox`, 0o755);
  // The host's can be asked; a foreign one is of the same release.
  for (const applet of (await runProgram("/bin/busybox", ["--list"])).trim().split("\n")) {
    if (applet !== "busybox" && applet !== "init") symlinkSync("busybox", `${tree}/bin/${applet}`);
  }
  writeFiles(tree, {
    ...(root.init === "busybox" ? busyboxInit : { "/sbin/init": { content: init, mode: 0o755 } }),
    "/etc/small-root/facts": root.facts,
    "/etc/small-root/ending": root.ending,
    "/etc/machine-id": "",
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "/etc/group": "root:x:0:\n",
    "/usr/lib/os-release": `ID=small-root\nNAME="small root"\nIMAGE_ID=small-root\nIMAGE_VERSION=${root.facts.split(" ")[0]}\n`,
    ...(root.script === undefined ? {} : { "/etc/small-root/script": root.script }),
    ...root.files,
  });
  if (root.init === "busybox") symlinkSync("../bin/busybox", `${tree}/sbin/init`);
  if (root.slipway) {
    await addSlipway(tree);
    await addLibraries(tree, `${guestDist()}/slipway`);
  }
}
