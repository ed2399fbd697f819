/** --trust and --threshold of the builder's verbs: whose signatures count. */
import { type PublicKey, readPublicKeyPem } from "../../../boot/image/keys.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readTextInput } from "../input.ts";

/** A public key, and the file that it is from. */
export interface TrustedKey {
  file: string;
  key: PublicKey;
}

/** The keys in the files that --trust names, which must be different ones. @throws BadInput */
export function readTrustedKeys(files: readonly string[]): TrustedKey[] {
  const keys: TrustedKey[] = [];
  for (const file of files) {
    const what = `--trust ${file}`;
    const key = readPublicKeyPem(what, readTextInput(what, file));
    const twin = keys.find((other) => other.key.id === key.id);
    if (twin !== undefined) throw new BadInput(`${what} is the same key as ${twin.file}; give each once`);
    keys.push({ file, key });
  }
  return keys;
}

/** What --threshold says, from 1 to the number of `keys`; 1 where it is absent. @throws BadInput */
export function readThreshold(given: string | undefined, keys: number): number {
  if (given === undefined) return 1;
  const threshold = /^[0-9]{1,3}$/.test(given) ? Number(given) : 0;
  if (threshold >= 1 && threshold <= keys) return threshold;
  throw new BadInput(`--threshold "${given}" is no whole number from 1 to the number of --trust keys, which is ${keys}`);
}
