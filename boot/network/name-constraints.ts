/** Whether an authority may vouch for the names of a certificate: nameConstraints of RFC 5280 4.2.1.10, those of DNS names. */
import { type Element, elementsIn, TAG } from "./der.ts";

/** GeneralName ::= CHOICE { …, rfc822Name [1], dNSName [2], directoryName [4], URI [6], iPAddress [7], … }. */
const NAME = { mail: 0x81, dns: 0x82, uri: 0x86, address: 0x87 };
const [PERMITTED, EXCLUDED] = [0xa0, 0xa1];

/** The names that a certificate is for (subjectAltName). */
export interface CertificateNames {
  /** In lower case. */
  dns: string[];
  /** Whether there are others than names and addresses of hosts. */
  others: boolean;
}

export interface NameConstraints {
  /** Domains, in lower case; null: any. */
  permitted: string[] | null;
  excluded: string[];
  /** Whether mail addresses or URIs are constrained, which no server's certificate needs to have. */
  others: boolean;
}

/** GeneralNames ::= SEQUENCE OF GeneralName. Null where it is not sound. */
export function certificateNames(bytes: Uint8Array, value: Element | null): CertificateNames | null {
  const names = value?.tag === TAG.sequence ? elementsIn(bytes, value.content, value.end) : null;
  if (names === null) return null;
  return {
    dns: names.filter(({ tag }) => tag === NAME.dns).map((name) => textOf(bytes, name)),
    others: names.some(({ tag }) => tag !== NAME.dns && tag !== NAME.address),
  };
}

/**
 * NameConstraints ::= SEQUENCE { permittedSubtrees [0] OPTIONAL, excludedSubtrees [1] OPTIONAL }, each a list of
 * GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }. Null where it is not sound, and
 * where it constrains what is not judged here: directory names, addresses.
 */
export function nameConstraints(bytes: Uint8Array, value: Element | null): NameConstraints | null {
  const lists = value?.tag === TAG.sequence ? elementsIn(bytes, value.content, value.end) : null;
  if (lists === null) return null;
  const constraints: NameConstraints = { permitted: null, excluded: [], others: false };
  for (const list of lists) {
    const subtrees = list.tag === PERMITTED || list.tag === EXCLUDED ? elementsIn(bytes, list.content, list.end) : null;
    if (subtrees === null) return null;
    for (const subtree of subtrees) {
      const [base, ...bounds] = (subtree.tag === TAG.sequence ? elementsIn(bytes, subtree.content, subtree.end) : null) ?? [];
      // RFC 5280 has no use for bounds, and BoringSSL believes none either
      if (base === undefined || bounds.length > 0) return null;
      if (base.tag === NAME.mail || base.tag === NAME.uri) constraints.others = true;
      else if (base.tag !== NAME.dns) return null;
      else if (list.tag === EXCLUDED) constraints.excluded.push(textOf(bytes, base));
      else constraints.permitted = [...(constraints.permitted ?? []), textOf(bytes, base)];
    }
  }
  return constraints;
}

/** Whether all names are within what is constrained. */
export function allows({ permitted, excluded, others }: NameConstraints, names: CertificateNames): boolean {
  if (others && names.others) return false;
  return names.dns.every(
    (name) =>
      (permitted === null || permitted.some((domain) => isWithin(name, domain))) &&
      // a name with a star is many names
      !excluded.some((domain) => isWithin(name, domain) || (name.startsWith("*.") && isWithin(domain, name.slice(2)))),
  );
}

/** Whether `name` is `domain`, or below it; ".domain" is what is below it only; "" is everything. */
function isWithin(name: string, domain: string): boolean {
  if (domain === "") return true;
  return domain.startsWith(".") ? name.endsWith(domain) : name === domain || name.endsWith(`.${domain}`);
}

function textOf(bytes: Uint8Array, { content, end }: Element): string {
  return new TextDecoder("latin1").decode(bytes.subarray(content, end)).toLowerCase();
}
