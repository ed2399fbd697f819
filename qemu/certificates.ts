import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** When a certificate is valid, as `openssl ca` wants it: YYYYMMDDHHMMSSZ. */
export interface Validity {
  from: string;
  to: string;
}

export const VALIDITY = {
  past: { from: "20200101000000Z", to: "20210101000000Z" },
  now: { from: "20200101000000Z", to: "20600101000000Z" },
  future: { from: "20500101000000Z", to: "20600101000000Z" },
} satisfies Record<string, Validity>;

/** Extensions of an authority, as OpenSSL's configuration has them. */
export const AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];

/**
 * A new key and certificate called `name`, in `directory`, valid at any time, that `authority` vouches for, or itself where it is
 * null. `extensions` are lines of OpenSSL's configuration. Certificates of `chain`, the nearest first, are shown along with it.
 */
export async function makeDatedCertificate(
  directory: string,
  name: string,
  authority: Certificate | null,
  { from, to }: Validity,
  extensions: readonly string[],
  chain: readonly Certificate[] = [],
): Promise<Certificate> {
  const [key, certificate] = [`${directory}/${name}.key`, `${directory}/${name}.pem`];
  const work = mkdtempSync(`${directory}/ca-`);
  try {
    await runProgram("openssl", ["req", ...NEW_KEY, "-keyout", key, "-out", `${work}/csr`, "-subj", `/CN=${name}`]);
    writeFileSync(`${work}/index`, "");
    const lines = [
      "[ca]\ndefault_ca=this\n[this]",
      `database=${work}/index`,
      `new_certs_dir=${work}`,
      "rand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n[extensions]",
      ...extensions,
    ];
    writeFileSync(`${work}/config`, `${lines.join("\n")}\n`);
    const by = authority === null ? ["-selfsign", "-keyfile", key] : ["-cert", authority.certificate, "-keyfile", authority.key];
    const dates = ["-startdate", from, "-enddate", to];
    const files = ["-in", `${work}/csr`, "-out", certificate];
    await runProgram("openssl", [
      "ca",
      "-config",
      `${work}/config`,
      "-batch",
      "-notext",
      "-extensions",
      "extensions",
      ...by,
      ...files,
      ...dates,
    ]);
    for (const one of chain) writeFileSync(certificate, readFileSync(one.certificate), { flag: "a" });
  } finally {
    rmSync(work, { recursive: true });
  }
  return { certificate, key, pin: await pinOfKey(key) };
}

async function pinOfKey(key: string): Promise<string> {
  const pem = await runProgram("openssl", ["pkey", "-in", key, "-pubout"]);
  const der = Uint8Array.fromBase64(pem.replace(/-----.*-----/g, "").replaceAll("\n", ""));
  return `sha256//${new Bun.CryptoHasher("sha256").update(der).digest("base64")}`;
}
