/** A name server of a test: RFC 1035, AAAA of RFC 3596, over UDP. */
import { createSocket } from "node:dgram";

export interface NameServer {
  /** Names that were asked for, in lower case, once for each question. */
  asked: string[];
  stop(): Promise<void>;
}

export interface Addresses {
  ipv4?: string;
  /** 16 bytes. */
  ipv6?: Uint8Array;
}

const TYPE_A = 1;
const TYPE_AAAA = 28;
const NO_SUCH_NAME = 3;

/**
 * Answers on port 53 of 127.0.0.1, which a guest of QEMU's user network finds at 10.0.2.2. The port is a privileged one.
 *
 * @param find what a name, in lower case, has at that moment; null: it does not exist
 */
export async function startNameServer(find: (name: string) => Addresses | null): Promise<NameServer> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (question, from) => {
    const answer = answerTo(question, find, asked);
    if (answer !== null) socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => socket.once("error", reject).bind(53, "127.0.0.1", resolve));
  return { asked, stop: () => new Promise((resolve) => socket.close(() => resolve())) };
}

/** Header of 12 bytes, then the question: labels, type, class. */
function answerTo(question: Buffer, find: (name: string) => Addresses | null, asked: string[]): Buffer | null {
  const labels: string[] = [];
  let at = 12;
  for (let length = question[at]; length !== undefined && length > 0; length = question[at]) {
    labels.push(question.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const end = at + 5;
  if (question.length < end) return null;
  const name = labels.join(".").toLowerCase();
  asked.push(name);
  const addresses = find(name);
  const type = question.readUInt16BE(at + 1);
  const bytes = addressOf(addresses, type);
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | (addresses === null ? NO_SUCH_NAME : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(bytes === null ? 0 : 1, 6);
  const asWas = question.subarray(12, end);
  if (bytes === null) return Buffer.concat([header, asWas]);
  // A pointer to the name, type, class IN, a minute, so many bytes.
  const record = [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length, ...bytes];
  return Buffer.concat([header, asWas, Buffer.from(record)]);
}

function addressOf(addresses: Addresses | null, type: number): Uint8Array | null {
  if (type === TYPE_A && addresses?.ipv4 !== undefined) return Uint8Array.from(addresses.ipv4.split(".").map(Number));
  return type === TYPE_AAAA ? (addresses?.ipv6 ?? null) : null;
}
