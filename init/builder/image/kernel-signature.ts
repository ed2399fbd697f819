import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readInput, regularFile } from "../input.ts";
import { runHostProgram } from "../program.ts";

/** Files that the options name. */
interface Files {
  signature: string | undefined;
  key: string | undefined;
  certificate: string | undefined;
}

/** What signs a root hash for the kernel, in base64; null where nobody asked for it. @throws BadInput */
export function kernelSigner({ signature, key, certificate }: Files): (rootHash: string) => Promise<string | null> {
  if (signature !== undefined) {
    if (key !== undefined || certificate !== undefined) {
      throw new BadInput("--kernel-signature is one that is made already; leave --kernel-key and --kernel-certificate away");
    }
    const bytes = readInput(`--kernel-signature ${signature}`, signature);
    if (bytes[0] !== 0x30) throw new BadInput(`--kernel-signature ${signature} is no DER; write it with -outform der`);
    return async () => bytes.toString("base64");
  }
  if (key === undefined && certificate === undefined) return async () => null;
  if (key === undefined || certificate === undefined) {
    const [given, missing] = key === undefined ? ["certificate", "key"] : ["key", "certificate"];
    throw new BadInput(`--kernel-${given} is given without --kernel-${missing}; both are needed`);
  }
  regularFile(`--kernel-key ${key}`, key);
  regularFile(`--kernel-certificate ${certificate}`, certificate);
  return (rootHash) => signRootHash(rootHash, key, certificate);
}

/** As Linux, Documentation/admin-guide/device-mapper/verity.rst, wants it: over the hex digits, without certificates or attributes. */
async function signRootHash(rootHash: string, key: string, certificate: string): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), "slipway-kernel-signature-"));
  try {
    const file = join(scratch, "root-hash");
    writeFileSync(file, rootHash);
    const words = ["-sign", "-nocerts", "-noattr", "-binary", "-in", file, "-inkey", key, "-signer", certificate];
    return (await runHostProgram("openssl", ["smime", ...words, "-outform", "der"])).toString("base64");
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
