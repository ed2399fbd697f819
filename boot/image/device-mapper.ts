/**
 * What the ioctls of device-mapper are given and give back: struct dm_ioctl and what follows it, of Linux,
 * include/uapi/linux/dm-ioctl.h. Little endian, as on all machines that slipway runs on.
 *
 *    0  12  version of the interface, three words
 *   12   4  bytes of the whole buffer
 *   16   4  where the data begins
 *   20   4  number of targets
 *   24   4  how often the device is open
 *   28   4  flags
 *   40   8  device number
 *   48 128  name, ended by zero
 *  176 129  UUID, ended by zero
 *  312      data: targets (struct dm_target_spec, then its parameters)
 */

/** The device through which all is asked. */
export const DM_CONTROL = { path: "/dev/mapper/control", number: { major: 10, minor: 236 } } as const;

/** Flags of struct dm_ioctl. */
export const DM_FLAG = { READONLY: 1 << 0, STATUS_TABLE: 1 << 4, SKIP_LOCKFS: 1 << 10, DEFERRED_REMOVE: 1 << 17 } as const;

const HEADER = 312;
const SPEC = 40;
const NAME = { offset: 48, length: 128 };
const UUID = { offset: 176, length: 129 };
/** Major version of the interface, of which any kernel since 2.6 speaks the fourth. */
const INTERFACE = 4;
/** Room for what the kernel answers. */
const ANSWER_ROOM = 4096;

export interface DmTarget {
  /** In sectors of 512 bytes. */
  length: number;
  type: string;
  parameters: string;
}

export interface DmRequest {
  name: string;
  uuid?: string;
  flags?: number;
  /** The one target of a table to load. */
  target?: DmTarget | null;
}

/** The buffer of one request, with room for the answer. */
export function encodeDmRequest({ name, uuid = "", flags = 0, target = null }: DmRequest): Uint8Array<ArrayBuffer> {
  const parameters = new TextEncoder().encode(target?.parameters ?? "");
  const bytes = new Uint8Array(new ArrayBuffer(HEADER + Math.max(ANSWER_ROOM, SPEC + alignedTo8(parameters.length + 1))));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, INTERFACE, true);
  view.setUint32(12, bytes.length, true);
  view.setUint32(16, HEADER, true);
  view.setUint32(20, target === null ? 0 : 1, true);
  view.setUint32(28, flags, true);
  setText(bytes, NAME, name);
  setText(bytes, UUID, uuid);
  if (target === null) return bytes;
  view.setBigUint64(HEADER + 8, BigInt(target.length), true);
  view.setUint32(HEADER + 20, SPEC + alignedTo8(parameters.length + 1), true);
  setText(bytes, { offset: HEADER + 24, length: 16 }, target.type);
  bytes.set(parameters, HEADER + SPEC);
  return bytes;
}

/** What a request says: for those who answer it, or show it. */
export function decodeDmRequest(bytes: Uint8Array): Required<DmRequest> {
  const view = viewOf(bytes);
  const head = { name: textAt(bytes, NAME), uuid: textAt(bytes, UUID), flags: view.getUint32(28, true) };
  return { ...head, target: view.getUint32(20, true) === 0 ? null : targetIn(bytes) };
}

/** Number of the device that a request was about. */
export function dmDevice(answer: Uint8Array): { major: number; minor: number } {
  const device = viewOf(answer).getBigUint64(40, true);
  return { major: Number((device >> 8n) & 0xfffn), minor: Number((device & 0xffn) | ((device >> 12n) & 0xfff00n)) };
}

/** The first target in an answer: its status, or with STATUS_TABLE its table. Null where there is none. */
export function dmTarget(answer: Uint8Array): DmTarget | null {
  return viewOf(answer).getUint32(20, true) === 0 ? null : targetIn(answer);
}

/** Version of a kind of target, from the answer to DM_GET_TARGET_VERSION: struct dm_target_versions. */
export function dmTargetVersion(answer: Uint8Array): [number, number, number] {
  const at = viewOf(answer).getUint32(16, true);
  const part = (index: number) => viewOf(answer).getUint32(at + 4 + 4 * index, true);
  return [part(0), part(1), part(2)];
}

/** Puts an answer into the buffer of a request: what the kernel does. */
export function answerDm(
  bytes: Uint8Array,
  answer: { device?: { major: number; minor: number }; target?: DmTarget; version?: [number, number, number] },
): void {
  const view = viewOf(bytes);
  const { device, target, version } = answer;
  if (device !== undefined) {
    const { major, minor } = device;
    view.setBigUint64(40, BigInt((minor & 0xff) | (major << 8)) | (BigInt(minor & ~0xff) << 12n), true);
  }
  if (target !== undefined) {
    view.setUint32(20, 1, true);
    view.setBigUint64(HEADER + 8, BigInt(target.length), true);
    setText(bytes, { offset: HEADER + 24, length: 16 }, target.type);
    setText(bytes, { offset: HEADER + SPEC, length: bytes.length - HEADER - SPEC }, target.parameters);
  }
  for (const [index, part] of version?.entries() ?? []) view.setUint32(HEADER + 4 + 4 * index, part, true);
}

function targetIn(bytes: Uint8Array): DmTarget {
  const at = viewOf(bytes).getUint32(16, true);
  return {
    length: Number(viewOf(bytes).getBigUint64(at + 8, true)),
    type: textAt(bytes, { offset: at + 24, length: 16 }),
    parameters: textAt(bytes, { offset: at + SPEC, length: bytes.length - at - SPEC }),
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function alignedTo8(length: number): number {
  return Math.ceil(length / 8) * 8;
}

interface TextPlace {
  offset: number;
  length: number;
}

function setText(bytes: Uint8Array, { offset, length }: TextPlace, text: string): void {
  const encoded = new TextEncoder().encode(text);
  if (encoded.length >= length) throw new RangeError(`"${text}" has ${encoded.length} bytes, device-mapper takes ${length - 1}`);
  bytes.fill(0, offset, offset + encoded.length + 1);
  bytes.set(encoded, offset);
}

function textAt(bytes: Uint8Array, { offset, length }: TextPlace): string {
  const field = bytes.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}
