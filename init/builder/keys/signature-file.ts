import { BadInput } from "../../../state-ops/outcome.ts";
import { readInput } from "../input.ts";

/** The Ed25519 signature in the file that --signature names. @throws BadInput */
export function readSignatureFile(file: string): Uint8Array {
  const bytes = readInput(`--signature ${file}`, file);
  if (bytes.length === 64) return new Uint8Array(bytes);
  throw new BadInput(`--signature ${file} has ${bytes.length} bytes; an Ed25519 signature has 64, neither base64 nor hex`);
}
