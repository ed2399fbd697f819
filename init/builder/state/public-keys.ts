import { type KeyObject, X509Certificate } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import { keyKind } from "../../../boot/dps/verify.ts";
import { readPublicKeyPem } from "../../../boot/image/keys.ts";
import type { ReadAuthorities } from "../../../state-ops/compile-recovery.ts";
import type { ReadBeside } from "../../../state-ops/compile-system.ts";
import type { ReadCertificate, ReadKey } from "../../../state-ops/compile-trust.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readTextInput } from "../input.ts";

/** Reads the files that the system definition `systemFile` names, relative to its directory. */
export function filesBeside(systemFile: string): ReadBeside {
  return {
    key: keysBeside(systemFile),
    certificate: certificatesBeside(systemFile),
    authorities: authoritiesBeside(systemFile),
    text: textsBeside(systemFile),
  };
}

function textsBeside(systemFile: string): ReadBeside["text"] {
  return (file) => {
    const path = besideOf(systemFile, file);
    try {
      return { text: readTextInput(path, path) };
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      return { fault: error.message };
    }
  };
}

function besideOf(systemFile: string, file: string): string {
  return isAbsolute(file) ? file : join(dirname(systemFile), file);
}

/** Reads the keys that the system definition `systemFile` names, relative to its directory. */
export function keysBeside(systemFile: string): ReadKey {
  return (file) => {
    const path = besideOf(systemFile, file);
    try {
      return { key: readPublicKeyPem(path, readTextInput(path, path)).raw.toHex() };
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      return { fault: error.message };
    }
  };
}

function certificatesBeside(systemFile: string): ReadCertificate {
  return (file) => {
    const path = besideOf(systemFile, file);
    try {
      const found = new X509Certificate(readTextInput(path, path));
      const key = found.publicKey.export({ type: "spki", format: "der" });
      if (keyKind(key) === null) return { fault: `${path}: its key is neither RSA nor ECDSA on P-256, P-384 or P-521` };
      const weakness = weaknessOf(found.publicKey);
      if (weakness !== null) return { fault: `${path}: ${weakness}` };
      const fingerprint = found.fingerprint256.replaceAll(":", "").toLowerCase();
      return { certificate: { fingerprint, key: key.toString("base64") } };
    } catch (error) {
      if (error instanceof BadInput) return { fault: error.message };
      return { fault: `${path} is no certificate (${error instanceof Error ? error.message : error})` };
    }
  };
}

/** What NIST SP 800-57 and FIPS 186-5 no longer allow; null for a key that they do. */
function weaknessOf({ asymmetricKeyDetails }: KeyObject): string | null {
  const { modulusLength, publicExponent } = asymmetricKeyDetails ?? {};
  if (modulusLength !== undefined && modulusLength < 2048) {
    return `its RSA key has ${modulusLength} bits; take one of 2048 or more`;
  }
  if (publicExponent !== undefined && publicExponent < 65537n) {
    return `its RSA key has the exponent ${publicExponent}; take one with 65537`;
  }
  return null;
}

/**
 * Reads the authorities that the system definition `systemFile` names. Only their certificates are taken: what people write
 * between them says who they are, and the control file needs none of it.
 */
export function authoritiesBeside(systemFile: string): ReadAuthorities {
  return (file) => {
    const path = besideOf(systemFile, file);
    let text: string;
    try {
      text = readTextInput(path, path);
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      return { fault: error.message };
    }
    const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]*?-----END \1-----/g) ?? [];
    for (const [index, block] of blocks.entries()) {
      const fault = certificateFault(block);
      if (fault !== null) return { fault: `${path}: block ${index + 1} ${fault}` };
    }
    return { pem: blocks.map((block) => `${block.replaceAll("\r", "")}\n`).join("") };
  };
}

function certificateFault(pem: string): string | null {
  // What else a PEM file may hold is told by its kind: a key in a control file would be everybody's.
  if (!pem.startsWith("-----BEGIN CERTIFICATE-----")) return null;
  try {
    const { ca, subject, issuer } = new X509Certificate(pem);
    // A server that vouches for itself is its own authority.
    return ca || subject === issuer
      ? null
      : `(${subject.replaceAll("\n", ", ")}) is the certificate of a server, and not of an authority`;
  } catch (error) {
    return `is no certificate (${error instanceof Error ? error.message : error})`;
  }
}
