/** What an X.509 certificate (RFC 5280) limits its use to: read out of its DER bytes, which come from anybody. */
import { type Element, elementAt, elementsIn, objectId, TAG } from "./der.ts";
import { type CertificateNames, certificateNames, type NameConstraints, nameConstraints } from "./name-constraints.ts";

export interface CertificateLimits {
  /** basicConstraints: it may vouch for others, through at most `pathLength` authorities more; null: any number. */
  authority: { pathLength: number | null } | null;
  /** Whether keyUsage, where it is there, lets its key sign certificates. */
  signsCertificates: boolean;
  /** Whether extKeyUsage, where it is there, lets it be a TLS server's or vouch for one. */
  forServers: boolean;
  /** The names that it is for. */
  names: CertificateNames;
  /** For what names it may vouch; null: any. */
  vouchesFor: NameConstraints | null;
  /**
   * Object ids of critical extensions that are not known here: what they limit is not known either (RFC 5280 4.2). Constraints of
   * names that are not judged here are among them, critical or not.
   */
  unknown: string[];
}

const ID = {
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extKeyUsage: "2.5.29.37",
  subjectAltName: "2.5.29.17",
  certificatePolicies: "2.5.29.32",
  nameConstraints: "2.5.29.30",
};
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const ANY_USE = "2.5.29.37.0";
const EXTENSIONS = 0xa3;
/** The bit of keyUsage, counted from the first byte's highest. */
const KEY_CERT_SIGN = 5;

/** The limits of a certificate; null where the bytes are none. */
export function certificateLimits(bytes: Uint8Array): CertificateLimits | null {
  const whole = elementAt(bytes, 0, bytes.length);
  const signed = whole?.tag === TAG.sequence ? elementAt(bytes, whole.content, whole.end) : null;
  const fields = signed?.tag === TAG.sequence ? elementsIn(bytes, signed.content, signed.end) : null;
  if (fields === null) return null;
  const limits: CertificateLimits = {
    authority: null,
    signsCertificates: true,
    forServers: true,
    names: { dns: [], others: false },
    vouchesFor: null,
    unknown: [],
  };
  const wrapper = fields.find(({ tag }) => tag === EXTENSIONS);
  if (wrapper === undefined) return limits;
  const list = elementAt(bytes, wrapper.content, wrapper.end);
  const extensions = list?.tag === TAG.sequence ? elementsIn(bytes, list.content, list.end) : null;
  if (extensions === null) return null;
  return extensions.every((extension) => noteExtension(bytes, extension, limits)) ? limits : null;
}

/** Extension ::= SEQUENCE { id, critical BOOLEAN DEFAULT FALSE, value OCTET STRING }. False where it is not sound. */
function noteExtension(bytes: Uint8Array, extension: Element, limits: CertificateLimits): boolean {
  const parts = extension.tag === TAG.sequence ? elementsIn(bytes, extension.content, extension.end) : null;
  const [id, second, third] = parts ?? [];
  const critical = second?.tag === TAG.boolean && bytes[second.content] !== 0;
  const octets = second?.tag === TAG.boolean ? third : second;
  if (id?.tag !== TAG.objectId || octets?.tag !== TAG.octetString) return false;
  const name = objectId(bytes.subarray(id.content, id.end));
  const value = elementAt(bytes, octets.content, octets.end);
  switch (name) {
    case ID.basicConstraints:
      return noteConstraints(bytes, value, limits);
    case ID.keyUsage: {
      if (value?.tag !== TAG.bitString) return false;
      // its first byte counts the unused bits of the last
      const bits = bytes.subarray(value.content + 1, value.end);
      limits.signsCertificates = ((bits[0] ?? 0) & (0x80 >> KEY_CERT_SIGN)) !== 0;
      return true;
    }
    case ID.extKeyUsage: {
      const uses = value?.tag === TAG.sequence ? elementsIn(bytes, value.content, value.end) : null;
      if (uses === null) return false;
      const names = uses.map(({ content, end }) => objectId(bytes.subarray(content, end)));
      limits.forServers = names.includes(SERVER_AUTH) || names.includes(ANY_USE);
      return true;
    }
    case ID.subjectAltName: {
      const names = certificateNames(bytes, value);
      if (names !== null) limits.names = names;
      return names !== null;
    }
    case ID.nameConstraints:
      limits.vouchesFor = nameConstraints(bytes, value);
      if (limits.vouchesFor === null) limits.unknown.push(name);
      return true;
    case ID.certificatePolicies:
      return true;
    default:
      if (critical) limits.unknown.push(name);
      return true;
  }
}

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }. */
function noteConstraints(bytes: Uint8Array, value: Element | null, limits: CertificateLimits): boolean {
  const parts = value?.tag === TAG.sequence ? elementsIn(bytes, value.content, value.end) : null;
  if (parts === null) return false;
  const [first, second] = parts;
  if (first?.tag !== TAG.boolean || bytes[first.content] === 0) return true;
  if (second === undefined) {
    limits.authority = { pathLength: null };
    return true;
  }
  const pathLength = bytes[second.content];
  // no chain is as long as a length of two bytes says
  if (second.tag !== TAG.integer || second.end - second.content !== 1 || pathLength === undefined || pathLength > 0x7f)
    return false;
  limits.authority = { pathLength };
  return true;
}
