/**
 * VM tests of which `npm run test:vm -- --arch arm64` runs those that fit its few minutes: each kind of boot, and each way
 * to another slot. The rest runs there too where it is named.
 */
export const arm64Tests: readonly string[] = [
  "preinit", // what preinit does and what stops it
  "small-slots", // boot, trial, a trial that is used up
  "small-failures", // every way in which a slot fails before the handover
  "small-proof", // signatures and dm-verity
  "small-power-cuts", // power cuts in a boot
  "small-install-replay", // a power cut at every write of an install and of a repair
  "small-recovery-slots", // repair and reinstall, from a server too
  "debian-boot", // systemd: commit, state, reboot
  "debian-update", // update, trial, commit, rollback
  "debian-install.long", // install from a server, as a delta
  "u-boot.long", // U-Boot chooses
  "debian-recovery", // destroyed slots, an empty disk
];
