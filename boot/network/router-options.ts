/** Options of IPv6 router advertisements that the kernel leaves to programs: name servers and search lists, RFC 8106. */
import type { IpAddress } from "../../state-ops/ip-address.ts";
import { readDomainList } from "./search-list.ts";

const RDNSS = 25;
const DNSSL = 31;
const HEAD = 8;
const FOR_EVER = 0xffffffff;

/** What an advertisement says; `seconds` is how long it holds, Infinity for ever, 0: no longer. */
export interface RouterNames {
  nameservers: { address: IpAddress; seconds: number }[];
  search: { domain: string; seconds: number }[];
}

/** Reads options of RFC 4861 4.6: type, length in units of 8 bytes, content. What is cut or wrong ends it. */
export function readRouterOptions(bytes: Uint8Array): RouterNames {
  const names: RouterNames = { nameservers: [], search: [] };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEAD <= bytes.length; ) {
    const length = 8 * (bytes[at + 1] ?? 0);
    if (length === 0 || at + length > bytes.length) break;
    const lifetime = view.getUint32(at + 4);
    const seconds = lifetime === FOR_EVER ? Number.POSITIVE_INFINITY : lifetime;
    const content = bytes.slice(at + HEAD, at + length);
    if (bytes[at] === RDNSS) {
      for (let start = 0; start + 16 <= content.length; start += 16) {
        const address = content.slice(start, start + 16);
        // neither :: nor multicast
        if (address[0] !== 0xff && address.some((byte) => byte !== 0)) names.nameservers.push({ address, seconds });
      }
    } else if (bytes[at] === DNSSL) names.search.push(...readDomainList(content).map((domain) => ({ domain, seconds })));
    at += length;
  }
  return names;
}
