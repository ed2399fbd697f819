/** A DHCP server that answers as a test wants it: in memory, or with {@link serveDhcp} on a link of this network namespace. */
import { decodeFrame, EVERYBODY, encodeFrame } from "../../boot/network/dhcp-frame.ts";
import { DHCP, type DhcpMessage, messageType, OPTION } from "../../boot/network/dhcp-message.ts";
import { parseAddress } from "../../state-ops/ip-address.ts";

export interface DhcpAnswers {
  /** What clients get, and the server's own. */
  address: string;
  server: string;
  netmask: string;
  leaseSeconds: number;
  router?: string;
  nameservers?: string[];
  /** More options, by number. */
  options?: [number, number[]][];
  /** So many requests are refused before one is not. */
  naks?: number;
  /** So many messages get no answer at all. */
  deaf?: number;
  /** Requests from the so many-th on get no answer. */
  dumbAfter?: number;
  /** Beside each answer: the answer cut and changed in many ways, for another client, of another server. */
  hostile?: boolean;
}

export const SERVER_HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 1);

export function bytesOf(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === null) throw new Error(`${address} is no address`);
  return bytes;
}

/** Answers frames one after the other. */
export function dhcpAnswers(how: DhcpAnswers, hardware = SERVER_HARDWARE): (frame: Uint8Array) => Uint8Array[] {
  let [heard, refused, requests] = [0, 0, 0];
  return (bytes) => {
    const frame = decodeFrame(bytes);
    const type = frame === null ? null : messageType(frame.message);
    if (frame === null || frame.message.operation !== 1 || heard++ < (how.deaf ?? 0)) return [];
    if (type !== DHCP.discover && type !== DHCP.request) return [];
    if (type === DHCP.request && requests++ >= (how.dumbAfter ?? Number.POSITIVE_INFINITY)) return [];
    const nak = type === DHCP.request && refused < (how.naks ?? 0);
    if (nak) refused++;
    const right = answer(frame.message, type === DHCP.discover ? DHCP.offer : nak ? DHCP.nak : DHCP.ack, how);
    const send = (message: DhcpMessage): Uint8Array =>
      encodeFrame({
        from: hardware,
        to: EVERYBODY,
        source: bytesOf(how.server),
        destination: bytesOf("255.255.255.255"),
        message,
      });
    return how.hostile ? [...hostile(right, send), send(right)] : [send(right)];
  };
}

function answer(asked: DhcpMessage, type: number, how: DhcpAnswers): DhcpMessage {
  const { leaseSeconds } = how;
  const options = new Map<number, Uint8Array>([
    [OPTION.messageType, Uint8Array.of(type)],
    [OPTION.server, bytesOf(how.server)],
  ]);
  if (type !== DHCP.nak) {
    options.set(OPTION.leaseTime, Uint8Array.of(leaseSeconds >>> 24, leaseSeconds >>> 16, leaseSeconds >>> 8, leaseSeconds));
    options.set(OPTION.netmask, bytesOf(how.netmask));
    if (how.router) options.set(OPTION.routers, bytesOf(how.router));
    if (how.nameservers) options.set(OPTION.nameservers, Uint8Array.from(how.nameservers.flatMap((one) => [...bytesOf(one)])));
    for (const [code, value] of how.options ?? []) options.set(code, Uint8Array.from(value));
  }
  const yours = type === DHCP.nak ? new Uint8Array(4) : bytesOf(how.address);
  return { ...asked, operation: 2, yours, options };
}

function hostile(right: DhcpMessage, send: (message: DhcpMessage) => Uint8Array): Uint8Array[] {
  const withOption = (code: number, value: number[]): DhcpMessage => ({
    ...right,
    options: new Map([...right.options, [code, Uint8Array.from(value)]]),
  });
  const whole = send(right);
  const tail = Buffer.concat([whole.subarray(0, 14 + 28 + 240), Uint8Array.of(53, 200, 1)]);
  return [
    ...[
      { ...right, yours: bytesOf("255.255.255.255") },
      { ...right, yours: bytesOf("127.0.0.1") },
    ].map(send),
    ...[{ ...right, transaction: right.transaction ^ 1, yours: bytesOf("192.0.2.66") }].map(send),
    ...[{ ...right, hardware: SERVER_HARDWARE, yours: bytesOf("192.0.2.66") }].map(send),
    send(withOption(OPTION.server, [1, 2])),
    send(withOption(OPTION.messageType, [5, 5])),
    send(withOption(OPTION.messageType, [0])),
    whole.subarray(0, 60),
    new Uint8Array(tail),
    whole.map((byte, at) => (at === 24 ? byte ^ 0xff : byte)),
  ];
}
