/** Every attack that the tests know. */
import type { Attack, AttackedWorld } from "./attack.ts";
import { contentAttacks } from "./content.ts";
import { footerAttacks, searchAttacks } from "./footer.ts";
import { foreignAttacks, manifestAttacks, signatureAttacks, textAttacks } from "./seal.ts";

export function allAttacks(world: AttackedWorld): Attack[] {
  const kinds = [contentAttacks, textAttacks, signatureAttacks, manifestAttacks, foreignAttacks, footerAttacks, searchAttacks];
  return kinds.flatMap((kind) => kind(world));
}
