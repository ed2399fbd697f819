/** The peer that people write themselves: an initrd of busybox and one shell script. */
import { readFileSync } from "node:fs";
import { writeCpio } from "../../init/builder/initrd/cpio.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { type ModuleFile, moduleEntries } from "./modules.ts";
import { linesOf, partitionsOf, quoted, stateSteps } from "./state-lines.ts";

/** Part of a script that waits until /sys shows both partitions, with builtins only: each program started costs time. */
function waitFor(labels: { variable: string; label: string }[]): string {
  const cases = labels.map(({ variable, label }) => `    ${quoted(`PARTNAME=${label}`)}) ${variable}=/dev/$name ;;`);
  const all = labels.map(({ variable }) => `[ -n "$${variable}" ]`).join(" && ");
  return `while :; do
  for file in /sys/class/block/*/uevent; do
    while read -r line; do case "$line" in
    DEVNAME=*) name=\${line#DEVNAME=} ;;
${cases.join("\n")}
    esac; done <"$file"
  done
  ${all} && break
  sleep 0.02
done`;
}

/**
 * The script: loads `modules` in their order, waits for the partitions of `slot` and of the data, mounts the root read-only
 * and the data, lays the binds and overlays that `control` says from the slot's generation, which must be there, moves
 * /dev, /proc, /sys and /run, and leaves for the init on the command line.
 * @param modules files in /modules
 */
export function busyboxScript(control: ControlFile, slot: string, rootType: string, modules: readonly string[]): string {
  const { root, data, dataType } = partitionsOf(control, slot);
  const labels = [
    { variable: "root", label: root },
    { variable: "data", label: data },
  ];
  const places = { root: "/root", data: "/data", seed: "/seed" };
  return `#!/bin/sh
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=755 devtmpfs /dev
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
${modules.map((file) => `insmod /modules/${file}`).join("\n")}
root= data=
${waitFor(labels)}
mount -t ${rootType} -o ro "$root" /root
mount -t ${dataType} -o nosuid,nodev,noatime "$data" /data
${stateSteps(control, slot)
  .flatMap((step) => linesOf(step, places))
  .join("\n")}
umount -l /data
init=/sbin/init
read -r line </proc/cmdline
for word in $line; do case "$word" in init=*) init=\${word#init=} ;; esac; done
for name in dev proc sys run; do mount -o move /$name /root/$name; done
exec switch_root -c /dev/console /root "$init"
`;
}

export interface BusyboxInitrd {
  script: string;
  modules: readonly ModuleFile[];
}

const applets = ["sh", "mount", "umount", "mkdir", "cp", "insmod", "sleep", "switch_root"];

/** The archive, uncompressed like slipway's own. Same input, same bytes. */
export function busyboxInitrd({ script, modules }: BusyboxInitrd): Uint8Array {
  const directories = ["bin", "data", "dev", "modules", "proc", "root", "run", "seed", "sys"];
  const pieces = writeCpio([
    ...directories.map((path) => ({ path, kind: "directory" as const, mode: 0o755 })),
    { path: "dev/console", kind: "character", mode: 0o600, major: 5, minor: 1 },
    { path: "dev/null", kind: "character", mode: 0o666, major: 1, minor: 3 },
    { path: "init", kind: "file", mode: 0o755, content: new TextEncoder().encode(script) },
    { path: "bin/busybox", kind: "file", mode: 0o755, content: readFileSync("/bin/busybox") },
    ...applets.map((name) => ({ path: `bin/${name}`, kind: "symlink" as const, target: "busybox" })),
    ...moduleEntries(modules),
  ]);
  return Buffer.concat(pieces);
}
