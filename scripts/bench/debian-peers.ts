/** What users of Debian's tools write to get the bench's mounts: one script, and where their initrd is to run it. */
import type { DebianTool } from "./debian-tools.ts";
import type { Ground } from "./ground.ts";
import { stateScript } from "./state-lines.ts";

/** With its defaults (MODULES=most, zstd), and what its package recommends: busybox. */
export function initramfsTools({ control, slot, modules }: Ground): DebianTool {
  const script = `#!/bin/sh
case "$1" in prereqs) exit 0 ;; esac
set -e
${stateScript(control, slot, "/root")}`;
  return {
    name: "initramfs-tools",
    packages: ["initramfs-tools", "busybox", "zstd"],
    files: {
      "/etc/initramfs-tools/modules": `${modules.join("\n")}\n`,
      "/etc/initramfs-tools/scripts/local-bottom/bench-state": { content: script, mode: 0o755 },
    },
    make: 'mkinitramfs -o /initrd "$1"',
  };
}

/**
 * With its defaults (not for the host only, the best compression that it finds), but without what its package recommends
 * for disks that the bench has none of: LVM, RAID, encryption.
 * @param systemd the default where systemd is installed
 */
export function dracut({ control, slot, modules }: Ground, { systemd }: { systemd: boolean }): DebianTool {
  const setup = `#!/bin/bash
check() { return 0; }
depends() { return 0; }
installkernel() { hostonly='' instmods ${modules.join(" ")}; }
install() {
  inst_multiple mount umount mkdir cp udevadm
  inst_hook pre-pivot 50 "$moddir/bench-state.sh"
}
`;
  const without = systemd ? "" : '--omit "systemd systemd-initrd dracut-systemd"';
  return {
    name: systemd ? "dracut-systemd" : "dracut",
    packages: ["dracut", "binutils", "pigz", "pkg-config"],
    files: {
      "/usr/lib/dracut/modules.d/95bench/module-setup.sh": { content: setup, mode: 0o755 },
      "/usr/lib/dracut/modules.d/95bench/bench-state.sh": {
        content: `#!/bin/sh\n${stateScript(control, slot, "/sysroot")}`,
        mode: 0o755,
      },
    },
    make: `dracut -q --force ${without} /initrd "$1"`,
  };
}

/** It looks for the modules of the machine that it runs on; of another one it must be told. */
export function tinyInitramfs({ modules }: Ground): DebianTool {
  return {
    name: "tiny-initramfs",
    packages: ["tiny-initramfs"],
    files: {},
    make: `mktirfs -o /initrd --auto-modules=no --include-modules=${modules.join(",")} "$1"`,
  };
}
