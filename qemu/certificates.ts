import { writeFileSync } from "node:fs";
import { runProgram } from "./program.ts";

/** A certificate made by openssl: PEM files. */
export interface Certificate {
  certificate: string;
  key: string;
  /** sha256//BASE64 of its public key: what --pin takes. */
  pin: string;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A new authority called `name`, in `directory`. With `names` its certificate serves a server too, self-signed. */
export async function makeAuthority(directory: string, name: string, names: readonly string[] = []): Promise<Certificate> {
  const [key, certificate] = [`${directory}/${name}.key`, `${directory}/${name}.pem`];
  const subject = ["-subj", `/CN=${name}`, ...(names.length > 0 ? ["-addext", `subjectAltName=${names.join(",")}`] : [])];
  await runProgram("openssl", ["req", "-x509", ...NEW_KEY, "-keyout", key, "-out", certificate, "-days", "2", ...subject]);
  return { certificate, key, pin: await pinOfKey(key) };
}

/**
 * A new key and certificate called `name`, in `directory`, that `authority` vouches for. `names` are its subject's alternative
 * names: "DNS:localhost", "IP:127.0.0.1".
 */
export async function makeCertificate(
  directory: string,
  name: string,
  authority: Certificate,
  names: readonly string[],
  days = 2,
): Promise<Certificate> {
  const [key, request, certificate] = ["key", "csr", "pem"].map((ending) => `${directory}/${name}.${ending}`);
  if (key === undefined || request === undefined || certificate === undefined) throw new Error("three names");
  await runProgram("openssl", ["req", ...NEW_KEY, "-keyout", key, "-out", request, "-subj", `/CN=${name}`]);
  const extensions = `${directory}/${name}.extensions`;
  writeFileSync(extensions, names.length > 0 ? `subjectAltName=${names.join(",")}\n` : "");
  const by = ["-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial", "-days", `${days}`];
  await runProgram("openssl", ["x509", "-req", "-in", request, "-out", certificate, ...by, "-extfile", extensions]);
  return { certificate, key, pin: await pinOfKey(key) };
}

async function pinOfKey(key: string): Promise<string> {
  const pem = await runProgram("openssl", ["pkey", "-in", key, "-pubout"]);
  const der = Uint8Array.fromBase64(pem.replace(/-----.*-----/g, "").replaceAll("\n", ""));
  return `sha256//${new Bun.CryptoHasher("sha256").update(der).digest("base64")}`;
}
