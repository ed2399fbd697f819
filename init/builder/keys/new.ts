import { generateKeyPairSync } from "node:crypto";
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { type PublicKey, publicKey, publicKeyPem } from "../../../boot/image/keys.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { text, type Verb } from "../../commands/verb.ts";
import { reasonOf } from "../input.ts";
import { readPassphraseFile } from "./passphrase.ts";
import { rawPublicKey } from "./signing-key.ts";

export const verb: Verb = {
  help: `Usage: slipway keys new NAME [--passphrase-file FILE]

Makes an Ed25519 key pair: NAME.pem, the private key that images and channels are signed with (PKCS#8, readable by its owner
only), and NAME.pub.pem, which machines check them with (trust: { keys: [NAME.pub.pem] } in system.yaml). openssl reads both.
Prints the key's id. Never overwrites a file. Keep NAME.pem where no build machine that need not sign can read it; one in an
HSM signs through slipway image payload and attach-signature.

Options:
  --passphrase-file FILE   encrypt the private key (AES-256) with the first line of FILE`,
  options: { "passphrase-file": { type: "string" } },
  positionals: ["NAME"],
  async run(values, [name = ""]) {
    const file = text(values, "passphrase-file");
    const key = makeKey(name, file === undefined ? null : readPassphraseFile(file));
    console.log(`wrote ${name}.pem and ${name}.pub.pem: key ${key.id}`);
    return 0;
  },
};

function makeKey(name: string, passphrase: string | null): PublicKey {
  if (name === "" || name.endsWith("/")) throw new BadInput(`"${name}" is no name for a key; slipway keys new release`);
  if (name.endsWith(".pem")) throw new BadInput(`"${name}": the names are NAME.pem and NAME.pub.pem; leave .pem away`);
  const { privateKey, publicKey: half } = generateKeyPairSync("ed25519");
  const encryption = passphrase === null ? {} : { cipher: "aes-256-cbc", passphrase };
  const key = publicKey(rawPublicKey(half));
  writeNew(`${name}.pem`, String(privateKey.export({ type: "pkcs8", format: "pem", ...encryption })), 0o600);
  try {
    writeNew(`${name}.pub.pem`, publicKeyPem(key), 0o644);
  } catch (error) {
    rmSync(`${name}.pem`); // ours, made a moment ago
    throw error;
  }
  return key;
}

/** Writes a file that was not there. @throws BadInput where one was, or none can be */
function writeNew(path: string, content: string, mode: number): void {
  let fd: number;
  try {
    fd = openSync(path, "wx", mode);
  } catch (error) {
    const exists = error instanceof Error && "code" in error && error.code === "EEXIST";
    const remedy = exists ? "a key is never overwritten, take another name" : "make the directory first?";
    throw new BadInput(`${path} cannot be made: ${reasonOf(error)}; ${remedy}`);
  }
  try {
    writeSync(fd, content);
    fsyncSync(fd);
  } catch (error) {
    rmSync(path, { force: true });
    throw new Error(`cannot write ${path}: ${reasonOf(error)}`);
  } finally {
    closeSync(fd);
  }
}
