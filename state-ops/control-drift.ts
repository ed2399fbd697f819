/** Where the control file in an image and the one in the initrd say different things of what only the initrd's rules. */
import { canonicalJson } from "./canonical-json.ts";

/** What the image's own control file rules, or says of the file itself. */
const imagesOwn = ["operators", "accounts", "digest", "schema"];

/**
 * The keys of system.yaml in which another initrd's control file says something else than this one's, sorted: what only one of
 * them says too.
 */
export function policyDrift(own: object, other: object): string[] {
  const [mine, others] = [new Map(Object.entries(own)), new Map(Object.entries(other))];
  const keys = [...new Set([...mine.keys(), ...others.keys()])].filter((key) => key === "schema" || !imagesOwn.includes(key));
  const isSame = (key: string) =>
    mine.has(key) === others.has(key) && canonicalJson(mine.get(key) ?? null) === canonicalJson(others.get(key) ?? null);
  return keys
    .filter((key) => !isSame(key))
    .map(kebab)
    .sort();
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The keys of system.yaml on which the two differ, sorted. Takes JSON values: one of them may be of another version. */
export function systemDrift(inImage: object, inInitrd: object): string[] {
  const [image, initrd] = [new Map(Object.entries(inImage)), new Map(Object.entries(inInitrd))];
  const keys = [...image.keys()].filter((key) => initrd.has(key) && !imagesOwn.includes(key));
  const different = keys.filter((key) => canonicalJson(image.get(key)) !== canonicalJson(initrd.get(key)));
  return different.map(kebab).sort();
}
