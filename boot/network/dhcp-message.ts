/** Messages of DHCP for IPv4: RFC 2131, options of RFC 2132, options cut in pieces of RFC 3396. */
import type { IpAddress } from "../../state-ops/ip-address.ts";

/** Values of option 53. */
export const DHCP = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;

/** Options by name: RFC 2132, 3397 (search), 3442 (routes), and what Microsoft calls its own of the last. */
export const OPTION = {
  ...{ netmask: 1, routers: 3, nameservers: 6, hostname: 12, domain: 15, mtu: 26, requestedAddress: 50, leaseTime: 51 },
  ...{ overload: 52, messageType: 53, server: 54, parameters: 55, reason: 56, longestMessage: 57, renewal: 58, rebinding: 59 },
  ...{ vendorClass: 60, clientId: 61, search: 119, routes: 121, microsoftRoutes: 249 },
} as const;

export interface DhcpMessage {
  /** From a client: 1, from a server: 2. */
  operation: 1 | 2;
  /** The client's random number, 32 bits. */
  transaction: number;
  /** Since the client began. */
  seconds: number;
  /** Asks the server to answer all, not only the client. */
  broadcast: boolean;
  /** What the client has (ciaddr). */
  client: IpAddress;
  /** What the client gets (yiaddr). */
  yours: IpAddress;
  /** The client's, 6 bytes. */
  hardware: Uint8Array;
  /** Values by number, the pieces of one joined. */
  options: Map<number, Uint8Array>;
}

const COOKIE = 0x63825363;
const PLACE = { client: 12, yours: 16, hardware: 28, name: 44, file: 108, cookie: 236, options: 240 } as const;
const PAD = 0;
const END = 255;
/** Relays drop what is shorter: the size of a BOOTP message (RFC 1542 2.1). */
const SHORTEST = 300;
/** Longest message that is read: what fits into an Ethernet frame, and then some. */
const LONGEST = 4096;

/** The bytes behind IP's and UDP's headers. */
export function encodeDhcp(message: DhcpMessage): Uint8Array {
  const options: number[] = [];
  for (const [code, value] of message.options) {
    for (let at = 0; at === 0 || at < value.length; at += 255) {
      const piece = value.subarray(at, at + 255);
      options.push(code, piece.length, ...piece);
    }
  }
  const bytes = new Uint8Array(Math.max(SHORTEST, PLACE.options + options.length + 1));
  const view = new DataView(bytes.buffer);
  bytes.set([message.operation, 1, 6, 0]);
  view.setUint32(4, message.transaction);
  view.setUint16(8, Math.min(0xffff, message.seconds));
  view.setUint16(10, message.broadcast ? 0x8000 : 0);
  bytes.set(message.client, PLACE.client);
  bytes.set(message.yours, PLACE.yours);
  bytes.set(message.hardware, PLACE.hardware);
  view.setUint32(PLACE.cookie, COOKIE);
  bytes.set([...options, END], PLACE.options);
  return bytes;
}

/** A message of DHCP over Ethernet; null for anything else, and where an option goes beyond its end. */
export function decodeDhcp(bytes: Uint8Array): DhcpMessage | null {
  if (bytes.length < PLACE.options || bytes.length > LONGEST) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [operation, kind, hardwareLength] = bytes;
  if ((operation !== 1 && operation !== 2) || kind !== 1 || hardwareLength !== 6) return null;
  if (view.getUint32(PLACE.cookie) !== COOKIE) return null;
  const options = new Map<number, Uint8Array>();
  if (!takeOptions(bytes.subarray(PLACE.options), options)) return null;
  // RFC 2132 9.3: the fields for names hold options too, the file's first.
  const overload = options.get(OPTION.overload);
  if (overload !== undefined) {
    const where = overload.length === 1 ? (overload[0] ?? 0) : 0;
    if (where < 1 || where > 3) return null;
    if ((where & 1) !== 0 && !takeOptions(bytes.subarray(PLACE.file, PLACE.cookie), options)) return null;
    if ((where & 2) !== 0 && !takeOptions(bytes.subarray(PLACE.name, PLACE.file), options)) return null;
  }
  return {
    ...{ operation, transaction: view.getUint32(4), seconds: view.getUint16(8), broadcast: (bytes[10] ?? 0) >= 0x80 },
    client: bytes.slice(PLACE.client, PLACE.client + 4),
    yours: bytes.slice(PLACE.yours, PLACE.yours + 4),
    hardware: bytes.slice(PLACE.hardware, PLACE.hardware + 6),
    options,
  };
}

/** False where an option goes beyond the end. The same option again goes on where it stopped (RFC 3396 7). */
function takeOptions(bytes: Uint8Array, options: Map<number, Uint8Array>): boolean {
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at] ?? END;
    if (code === END) return true;
    at++;
    if (code === PAD) continue;
    const length = bytes[at];
    if (length === undefined || at + 1 + length > bytes.length) return false;
    const value = bytes.slice(at + 1, at + 1 + length);
    const before = options.get(code);
    options.set(code, before === undefined ? value : Uint8Array.of(...before, ...value));
    at += 1 + length;
  }
  return true;
}

/** The value of option 53; null where it is missing or none. */
export function messageType(message: DhcpMessage): number | null {
  const value = message.options.get(OPTION.messageType);
  const type = value?.length === 1 ? (value[0] ?? 0) : 0;
  return type >= DHCP.discover && type <= DHCP.inform ? type : null;
}
