/**
 * A boot entry of UEFI's firmware: EFI_LOAD_OPTION (UEFI specification 2.10, chapter 3.1.3) and the device path in it (chapter
 * 10.3). What is not known here is kept byte for byte, so that writing what was read changes nothing.
 */

import { printGuid } from "../devices/gpt.ts";
import { guidBytes } from "../devices/gpt-table.ts";
import { joined } from "../joined.ts";
import { encodeText, pathOfEfi, textEnd, textUnits } from "./efi-variables.ts";

/** One node of a device path. */
export type DevicePathNode =
  /** A partition of a GPT. `start` and `size` count the disk's sectors; `partition` is the partition's own GUID, in lower case. */
  | { kind: "partition"; number: number; start: bigint; size: bigint; partition: string }
  /** A file of the partition before it: "\EFI\BOOT\BOOTX64.EFI". */
  | { kind: "file"; path: string }
  | { kind: "other"; type: number; subtype: number; data: Uint8Array };

/** Bits of an entry's attributes. An entry that is not active is passed by. */
export const LOAD_OPTION = { active: 1, forceReconnect: 2, hidden: 8 } as const;

export interface LoadOption {
  /** Bits of {@link LOAD_OPTION}, and others that are kept. */
  attributes: number;
  description: string;
  /** The device path of the program, without its end node. */
  path: DevicePathNode[];
  /** More device paths, which the firmware's own vendor gives a meaning. */
  morePaths: Uint8Array;
  /** What the program gets as its load options. */
  data: Uint8Array;
}

/** Types and subtypes of nodes. */
const MEDIA = { type: 4, hardDrive: 1, file: 4 } as const;
const END = { type: 0x7f, path: 0xff } as const;
const NODE_HEADER = 4;
const HARD_DRIVE_BYTES = 42;
/** Of a hard drive node: its table is a GPT, its signature a GUID. */
const GPT_FORMAT = 2;
const GUID_SIGNATURE = 2;
const OPTION_HEADER = 6;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function nodeOf(node: Uint8Array): DevicePathNode {
  const [type = 0, subtype = 0] = node;
  if (type === MEDIA.type && subtype === MEDIA.hardDrive) {
    const view = viewOf(node);
    const isGpt = node.length === HARD_DRIVE_BYTES && node[40] === GPT_FORMAT && node[41] === GUID_SIGNATURE;
    if (isGpt) {
      const place = { start: view.getBigUint64(8, true), size: view.getBigUint64(16, true) };
      return { kind: "partition", number: view.getUint32(4, true), ...place, partition: printGuid(node.subarray(24, 40)) };
    }
  }
  if (type === MEDIA.type && subtype === MEDIA.file && textEnd(node, NODE_HEADER) === node.length - 2)
    return { kind: "file", path: textUnits(node, NODE_HEADER, node.length - 2) };
  return { kind: "other", type, subtype, data: node.slice(NODE_HEADER) };
}

/** The first device path of `bytes`, and how many bytes it takes with its end node. */
function readPath(bytes: Uint8Array): { path: DevicePathNode[]; length: number } | string {
  const path: DevicePathNode[] = [];
  const view = viewOf(bytes);
  for (let at = 0; ; ) {
    if (at + NODE_HEADER > bytes.length) return `its device path has no end: it stops at byte ${at} of ${bytes.length}`;
    const length = view.getUint16(at + 2, true);
    if (length < NODE_HEADER || at + length > bytes.length)
      return `the node at byte ${at} of its device path has ${length} bytes, there is room for 4 to ${bytes.length - at}`;
    const node = bytes.slice(at, at + length);
    at += length;
    if (node[0] === END.type && node[1] === END.path)
      return length === NODE_HEADER ? { path, length: at } : `the end of its device path has ${length} bytes, expected 4`;
    path.push(nodeOf(node));
  }
}

/** The boot entry that a variable's value is. A string says why it is none. */
export function decodeLoadOption(value: Uint8Array): LoadOption | string {
  if (value.length < OPTION_HEADER) return `${value.length} bytes, a boot entry has 6 at least`;
  const view = viewOf(value);
  const listLength = view.getUint16(4, true);
  const end = textEnd(value, OPTION_HEADER);
  if (end === null) return "its description has no end";
  const list = value.subarray(end + 2, end + 2 + listLength);
  if (list.length < listLength) return `its device paths have ${list.length} bytes, it says ${listLength}`;
  const read = readPath(list);
  if (typeof read === "string") return read;
  return {
    attributes: view.getUint32(0, true),
    description: textUnits(value, OPTION_HEADER, end),
    path: read.path,
    morePaths: list.slice(read.length),
    data: value.slice(end + 2 + listLength),
  };
}

function node(type: number, subtype: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(NODE_HEADER + data.length);
  if (bytes.length > 0xffff) throw new RangeError(`a node of a device path has ${bytes.length} bytes, 65535 are possible`);
  bytes[0] = type;
  bytes[1] = subtype;
  viewOf(bytes).setUint16(2, bytes.length, true);
  bytes.set(data, NODE_HEADER);
  return bytes;
}

function encodeNode(value: DevicePathNode): Uint8Array {
  switch (value.kind) {
    case "partition": {
      const data = new Uint8Array(HARD_DRIVE_BYTES - NODE_HEADER);
      const view = viewOf(data);
      view.setUint32(0, value.number, true);
      view.setBigUint64(4, value.start, true);
      view.setBigUint64(12, value.size, true);
      data.set(guidBytes(value.partition), 20);
      data[36] = GPT_FORMAT;
      data[37] = GUID_SIGNATURE;
      return node(MEDIA.type, MEDIA.hardDrive, data);
    }
    case "file":
      return node(MEDIA.type, MEDIA.file, encodeText(value.path));
    case "other":
      return node(value.type, value.subtype, value.data);
  }
}

/** Throws RangeError for paths that a boot entry has no room for. */
export function encodeLoadOption(option: LoadOption): Uint8Array<ArrayBuffer> {
  const end = node(END.type, END.path, new Uint8Array(0));
  const paths = joined([...option.path.map(encodeNode), end, option.morePaths]);
  if (paths.length > 0xffff) throw new RangeError(`the device paths have ${paths.length} bytes, 65535 are possible`);
  const header = new Uint8Array(OPTION_HEADER);
  viewOf(header).setUint32(0, option.attributes, true);
  viewOf(header).setUint16(4, paths.length, true);
  return joined([header, encodeText(option.description), paths, option.data]);
}

/** What a boot entry starts: a program on a partition of a GPT, its path "EFI/BOOT/BOOTX64.EFI". */
export interface LoadedProgram {
  /** The partition's own GUID, as PARTUUID= has it. */
  partition: string;
  path: string;
}

/** The program that the entry starts; null where it names none on a partition of a GPT. A long path may lie in several nodes. */
export function programOf({ path }: LoadOption): LoadedProgram | null {
  const at = path.findLastIndex((part) => part.kind === "partition");
  const partition = path[at];
  if (partition?.kind !== "partition") return null;
  const files = path.slice(at + 1).map((part) => (part.kind === "file" ? part.path : null));
  if (files.length === 0 || files.includes(null)) return null;
  return { partition: partition.partition, path: pathOfEfi(files.join("\\")) };
}
