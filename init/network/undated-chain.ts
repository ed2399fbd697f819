/**
 * Whether a server is who it should be when the dates of certificates are left aside. Loaded only where a date stands in the way
 * of a recovery: node:crypto takes as long to evaluate as all of PID 1.
 */
import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";
import { type CertificateLimits, certificateLimits } from "../../boot/network/certificate.ts";
import { allows } from "../../boot/network/name-constraints.ts";

interface Certificate {
  x509: X509Certificate;
  limits: CertificateLimits;
}

const UNREADABLE = "its certificate cannot be read";
const UNKNOWN = "no authority that is believed vouches for its certificate, its dates left aside";

/**
 * Why `shown`, the certificates of a server that the runtime found only a date wrong with, do not lead from a certificate for
 * `host` to an authority that is believed; null where they do.
 *
 * @param shown DER, the server's own first, the others in any order
 * @param authorities PEM; null: those built into the runtime
 */
export function judgeUndated(shown: readonly Uint8Array[], authorities: string | null, host: string): string | null {
  const [own, ...between] = shown.map(readDer);
  if (own === undefined || own === null) return UNREADABLE;
  const named = /^[0-9.]+$|:/.test(host)
    ? own.x509.checkIP(host) !== undefined
    : own.x509.subjectAltName !== undefined && own.x509.checkHost(host, { subject: "never" }) !== undefined;
  if (!named) return "its certificate is for another name";
  const fault = faultOf(own);
  if (fault !== null) return fault;
  const believed = authoritiesIn(authorities);
  if (believed.some((one) => isSame(one, own))) return null;
  const path = new Path(
    own,
    believed,
    between.filter((one) => one !== null),
  );
  return path.leadsFrom(own, 0) ? null : (path.fault ?? UNKNOWN);
}

/** Searches a way from a certificate up to an authority. */
class Path {
  /** What was wrong with an authority that would have been on the way. */
  fault: string | null = null;
  /** From where there is no way, by how many are below: those that all vouch for each other would be gone through in every order. */
  readonly #blind = new Map<Certificate, Set<number>>();

  constructor(
    readonly own: Certificate,
    readonly believed: readonly Certificate[],
    readonly between: readonly Certificate[],
  ) {}

  /** @param below how many authorities are between `certificate` and the server's, itself included */
  leadsFrom(certificate: Certificate, below: number): boolean {
    if (this.believed.some((one) => this.#vouches(one, certificate, below))) return true;
    // each is gone through once at most
    if (below > this.between.length) return false;
    const blind = this.#blind.get(certificate) ?? new Set();
    if (blind.has(below)) return false;
    const leads = this.between.some(
      (one) => !isSame(one, certificate) && this.#vouches(one, certificate, below) && this.leadsFrom(one, below + 1),
    );
    if (!leads) this.#blind.set(certificate, blind.add(below));
    return leads;
  }

  #vouches(authority: Certificate, certificate: Certificate, below: number): boolean {
    if (!certificate.x509.checkIssued(authority.x509)) return false;
    const { authority: may, signsCertificates, vouchesFor } = authority.limits;
    const fault =
      may === null || !signsCertificates
        ? "one of the certificates that vouch for it is no authority's"
        : may.pathLength !== null && may.pathLength < below
          ? "an authority vouches for it through more others than it may"
          : vouchesFor !== null && !allows(vouchesFor, this.own.limits.names)
            ? "an authority that vouches for it may not do so for its names"
            : faultOf(authority);
    if (fault !== null) {
      this.fault = fault;
      return false;
    }
    return isSigned(certificate, authority);
  }
}

/** Why a certificate cannot be used for a server, wherever it is in the chain. */
function faultOf({ limits, x509 }: Certificate): string | null {
  if (!limits.forServers) return "a certificate of its chain is not meant for servers";
  const [unknown] = limits.unknown;
  if (unknown === undefined) return null;
  return `the certificate of ${x509.subject.replaceAll("\n", ", ")} limits its use by ${unknown}, which is not judged without its dates`;
}

function isSigned(certificate: Certificate, authority: Certificate): boolean {
  // what anybody can forge by now proves nothing
  if (/md5|sha1\b|sha1-|sha1with/i.test(certificate.x509.signatureAlgorithm ?? "")) return false;
  try {
    return certificate.x509.verify(authority.x509.publicKey);
  } catch {
    return false;
  }
}

function isSame(one: Certificate, other: Certificate): boolean {
  return Buffer.compare(one.x509.raw, other.x509.raw) === 0;
}

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Only what vouches for itself is an authority: the runtime believes nothing else either. */
function authoritiesIn(pem: string | null): Certificate[] {
  const blocks = pem === null ? rootCertificates : (pem.match(BLOCK) ?? []);
  return blocks.flatMap((block) => read(block) ?? []).filter(({ x509 }) => x509.subject === x509.issuer);
}

function readDer(bytes: Uint8Array): Certificate | null {
  return read(Buffer.from(bytes));
}

function read(certificate: string | Buffer): Certificate | null {
  try {
    const x509 = new X509Certificate(certificate);
    const limits = certificateLimits(x509.raw);
    return limits === null ? null : { x509, limits };
  } catch {
    return null; // what nobody can read vouches for nothing
  }
}
