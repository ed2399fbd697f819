/** Parts of an ordinary boot's timeline that lie in no other, in their order: up to the handover, and without what only a seal brings. */
export const ordinaryParts = [
  ...["preinit", "runtime", "evaluate", "start", "modules", "devices", "record", "count"],
  ...["slot", "image", "next-init", "state", "handover"],
];
