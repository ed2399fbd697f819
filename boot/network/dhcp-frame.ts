/** DHCP's messages in Ethernet frames: RFC 894, IPv4 of RFC 791, UDP of RFC 768. A client has no address to use a socket of its own. */

import { type IpAddress, printAddress, sameBytes } from "../../state-ops/ip-address.ts";
import { DHCP, type DhcpMessage, decodeDhcp, encodeDhcp, messageType } from "./dhcp-message.ts";

export const ETHERTYPE_IP = 0x0800;
export const EVERYBODY = Uint8Array.of(255, 255, 255, 255, 255, 255);
const ETHERNET = 14;
const IP = 20;
const UDP = 8;
const PROTOCOL_UDP = 17;
const PORT = { server: 67, client: 68 } as const;

export interface DhcpFrame {
  /** Hardware addresses. */
  from: Uint8Array;
  to: Uint8Array;
  source: IpAddress;
  destination: IpAddress;
  message: DhcpMessage;
}

/** RFC 1071: what makes the sum of all 16-bit words come out as ones. */
function checksum(bytes: Uint8Array, begin = 0): number {
  let sum = begin;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** From the client's port to the server's, or the other way round where the message is a server's. */
export function encodeFrame({ from, to, source, destination, message }: DhcpFrame): Uint8Array {
  const payload = encodeDhcp(message);
  const bytes = new Uint8Array(ETHERNET + IP + UDP + payload.length);
  const view = new DataView(bytes.buffer);
  const [own, other] = message.operation === 1 ? [PORT.client, PORT.server] : [PORT.server, PORT.client];
  bytes.set(to);
  bytes.set(from, 6);
  view.setUint16(12, ETHERTYPE_IP);
  const ip = bytes.subarray(ETHERNET, ETHERNET + IP);
  const length = UDP + payload.length;
  view.setUint8(ETHERNET, 0x45);
  view.setUint16(ETHERNET + 2, IP + length);
  view.setUint8(ETHERNET + 8, 64);
  view.setUint8(ETHERNET + 9, PROTOCOL_UDP);
  bytes.set(source, ETHERNET + 12);
  bytes.set(destination, ETHERNET + 16);
  view.setUint16(ETHERNET + 10, checksum(ip));
  const udp = ETHERNET + IP;
  view.setUint16(udp, own);
  view.setUint16(udp + 2, other);
  view.setUint16(udp + 4, length);
  bytes.set(payload, udp + UDP);
  // The pseudo header: addresses, protocol, length. A sum of zero would mean that there is none.
  const pseudo = ~checksum(bytes.subarray(ETHERNET + 12, udp), PROTOCOL_UDP + length) & 0xffff;
  view.setUint16(udp + 6, checksum(bytes.subarray(udp), pseudo) || 0xffff);
  return bytes;
}

/**
 * A DHCP message in a frame; null for anything else. UDP's checksum is not looked at: between virtual machines it is left to
 * hardware that is not there, and the packet socket sees the frame without it.
 */
export function decodeFrame(bytes: Uint8Array): DhcpFrame | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < ETHERNET + IP + UDP || view.getUint16(12) !== ETHERTYPE_IP) return null;
  const header = ((bytes[ETHERNET] ?? 0) & 0x0f) * 4;
  const total = view.getUint16(ETHERNET + 2);
  const udp = ETHERNET + header;
  if ((bytes[ETHERNET] ?? 0) >> 4 !== 4 || header < IP || total < header + UDP || ETHERNET + total > bytes.length) return null;
  if (checksum(bytes.subarray(ETHERNET, udp)) !== 0 || bytes[ETHERNET + 9] !== PROTOCOL_UDP) return null;
  // a piece of a fragmented packet
  if ((view.getUint16(ETHERNET + 6) & 0x3fff) !== 0) return null;
  const length = view.getUint16(udp + 4);
  if (length < UDP || header + length > total) return null;
  const message = decodeDhcp(bytes.subarray(udp + UDP, udp + length));
  if (message === null) return null;
  const [from, to] = [view.getUint16(udp), view.getUint16(udp + 2)];
  const right = message.operation === 1 ? from === PORT.client && to === PORT.server : to === PORT.client;
  if (!right) return null;
  return {
    from: bytes.slice(6, 12),
    to: bytes.slice(0, 6),
    source: bytes.slice(ETHERNET + 12, ETHERNET + 16),
    destination: bytes.slice(ETHERNET + 16, ETHERNET + 20),
    message,
  };
}

/** "DHCP discover to everybody" for people; other frames by their length. */
export function frameText(bytes: Uint8Array): string {
  const frame = decodeFrame(bytes);
  if (frame === null) return `${bytes.length} bytes`;
  const type = messageType(frame.message);
  const name = Object.entries(DHCP).find(([, value]) => value === type)?.[0] ?? "message";
  const to = sameBytes(frame.to, EVERYBODY) ? "everybody" : printAddress(frame.destination);
  return `DHCP ${name} to ${to}`;
}

/**
 * Classic BPF (linux/filter.h) that passes what {@link decodeFrame} may take for a client: code, jumps if true and false, operand.
 * Everything else, a download for one, does not fill the socket's queue.
 */
export function clientFilter(): Uint8Array {
  const [loadHalf, loadByte, loadHeaderLength, loadHalfBehind, ifEqual, ifAnySet, pass] = [
    0x28, 0x30, 0xb1, 0x48, 0x15, 0x45, 0x06,
  ];
  const program: [number, number, number, number][] = [
    [loadHalf, 0, 0, 12],
    [ifEqual, 0, 8, ETHERTYPE_IP],
    [loadByte, 0, 0, ETHERNET + 9],
    [ifEqual, 0, 6, PROTOCOL_UDP],
    [loadHalf, 0, 0, ETHERNET + 6],
    [ifAnySet, 4, 0, 0x1fff],
    [loadHeaderLength, 0, 0, ETHERNET],
    [loadHalfBehind, 0, 0, ETHERNET + 2],
    [ifEqual, 0, 1, PORT.client],
    [pass, 0, 0, 0xffff],
    [pass, 0, 0, 0],
  ];
  const bytes = new Uint8Array(8 * program.length);
  const view = new DataView(bytes.buffer);
  for (const [at, [code, yes, no, operand]] of program.entries()) {
    view.setUint16(8 * at, code, true);
    view.setUint8(8 * at + 2, yes);
    view.setUint8(8 * at + 3, no);
    view.setUint32(8 * at + 4, operand, true);
  }
  return bytes;
}
