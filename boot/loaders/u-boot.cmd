# U-Boot's part of slipway: which slot is booted next, and the count of its boots.
#
#   mkimage -A arm64 -T script -C none -n slipway -d u-boot.cmd boot.scr
#
# boot.scr goes beside the kernels into the partition that U-Boot's distro_bootcmd looks at. system.yaml has
# "chooser: loader", "store: uboot-env", and for each slot the bootname that stands here.

# The slots by their bootnames, in the order of system.yaml, and the kernel's words that are the same for all.
setenv slipway_slots "A B"
setenv slipway_bootargs "console=ttyAMA0"

# Where the counts lie: one of three, each with the line of fw_env.config that makes slipway, fw_printenv and RAUC read
# the same. What is written is whole or refused by its checksum; slipway makes a torn one anew.
#
# 1. A partition, "uboot-env" by its label. An environment of one sector cannot be torn.
#      /dev/disk/by-partlabel/uboot-env 0x0 0x200
setenv slipway_load 'part start ${devtype} ${devnum} uboot-env slipway_at && ${devtype} read ${loadaddr} ${slipway_at} 1 && env import -c ${loadaddr} 200 ${slipway_names}'
setenv slipway_save 'env export -c -s 200 ${loadaddr} ${slipway_names} && ${devtype} write ${loadaddr} ${slipway_at} 1'
# 2. A file on the boot partition (FAT), of the size that it is first made with: mkenvimage -s 0x200 -o boot.env FILE
#      /boot/boot.env 0x0 0x200
#setenv slipway_load 'load ${devtype} ${devnum}:${distro_bootpart} ${loadaddr} boot.env && env import -c ${loadaddr} ${filesize} ${slipway_names}'
#setenv slipway_save 'env export -c -s 200 ${loadaddr} ${slipway_names} && fatwrite ${devtype} ${devnum}:${distro_bootpart} ${loadaddr} boot.env 200'
# 3. U-Boot's own environment, which it has read already: fw_env.config as U-Boot's configuration has it (CONFIG_ENV_*).
#setenv slipway_load true
#setenv slipway_save saveenv

# Only these are taken from the store and kept there; a variable from outside cannot change what U-Boot runs.
setenv slipway_names "BOOT_ORDER slipway_nonce"
for slot in ${slipway_slots}; do setenv slipway_names "${slipway_names} BOOT_${slot}_LEFT"; done
if run slipway_load; then true; else echo "slipway: no counts found, all slots have three boots"; fi

# What is missing is as RAUC's script takes it.
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "${slipway_slots}"
for slot in ${slipway_slots}; do
  env exists BOOT_${slot}_LEFT || setenv BOOT_${slot}_LEFT 3
done

# Passed on, it shows slipway whether U-Boot reads the store that slipway writes. Hex digits only, so that nobody who writes
# the store adds words to the kernel's. U-Boot's brackets know no ranges, and gsub fails where nothing matches, hence the z.
setenv slipway_echo
if test -n "${slipway_nonce}" && setexpr slipway_echo gsub [^0123456789abcdef] "" "z${slipway_nonce}"; then
  setenv slipway_echo slipway.nonce=${slipway_echo}
fi

# Starts a kernel for slot ${slot}: it, initrd and device tree lie in the directory of the slot's name, or for all slots at
# the top. It comes back only where they cannot be started.
setenv slipway_boot '
  setenv slipway_from /${slot}/
  test -e ${devtype} ${devnum}:${distro_bootpart} ${slipway_from}Image || setenv slipway_from /
  setenv slipway_fdt ${fdtcontroladdr}
  test -z "${fdt_addr}" || setenv slipway_fdt ${fdt_addr}
  if test -e ${devtype} ${devnum}:${distro_bootpart} ${slipway_from}board.dtb; then
    load ${devtype} ${devnum}:${distro_bootpart} ${fdt_addr_r} ${slipway_from}board.dtb && setenv slipway_fdt ${fdt_addr_r};
  fi
  setenv bootargs ${slipway_bootargs} ${slipway_word} ${slipway_echo}
  load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} ${slipway_from}Image &&
  load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${slipway_from}initrd &&
  booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${slipway_fdt}'

# The first slot in the order with boots left. It is counted, and the count kept, before anything of the slot is used.
for name in ${BOOT_ORDER}; do
  for slot in ${slipway_slots}; do
    if test "${slot}" = "${name}"; then
      setenv slipway_get "setenv slipway_left \${BOOT_${slot}_LEFT}"
      run slipway_get
      if test "0x${slipway_left}" -gt 0; then
        # In quotes: of a count that is no plain number setexpr would get words, refuse them, and count nothing.
        setexpr BOOT_${slot}_LEFT "0x${slipway_left}" - 1
        run slipway_save || echo "slipway: the counts cannot be written"
        echo "slipway: slot ${slot}, ${slipway_left} boots left with this one"
        setenv slipway_word slipway.slot=${slot}
        run slipway_boot
        echo "slipway: the kernel of slot ${slot} cannot be started"
      fi
    fi
  done
done

# No slot has a boot left, and none is named: slipway chooses by its own record, or recovers, with any kernel that can be
# read. A restart here would never end.
echo "slipway: no slot has a boot left"
setenv slipway_word
for slot in ${slipway_slots}; do run slipway_boot; done

# Something may be plugged in, or spin up, meanwhile.
echo "slipway: nothing can be started; again in 30 seconds"
sleep 30
reset
