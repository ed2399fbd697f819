/** Reading of the JSON files of captured facts, key by key: people edit them. Everything here throws BadInput. */
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { FilesystemType, Superblock } from "../../boot/devices/superblock.ts";
import { decodeSeal } from "../../boot/image/seal.ts";
import { journalEntry } from "../../boot/record/journal.ts";
import { bootRecord, countOf, flagOf, imageIdOf, nameOf } from "../../boot/record/shape.ts";
import { Fields } from "../../state-ops/fields.ts";
import type { GenerationFact } from "../../state-ops/generation-facts.ts";
import { type GenerationMeta, generationName } from "../../state-ops/layout.ts";
import type { ModuleVersions } from "../sequence/next-init.ts";
import type { DataContent, DataFacts, ImageFacts, MachineFacts, RecordFacts, RootFacts, SealFacts } from "./facts.ts";

const FILESYSTEMS: readonly FilesystemType[] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "erofs", "squashfs", "vfat", "iso9660"];
const MOST = Number.MAX_SAFE_INTEGER;

/** As Fields.text, empty texts included. */
function anyText(fields: Fields, key: string): string {
  const value = fields.value(key);
  return typeof value === "string" ? value : fields.fail(key, "a text");
}

const textOrNull = (fields: Fields, key: string) => fields.nullable(key, () => anyText(fields, key));
const filesystemOrNull = (fields: Fields, key: string) => fields.nullable(key, () => fields.oneOf(key, FILESYSTEMS));

/** Bytes, written as a text since they may be more than JSON's numbers hold. */
function bytes(fields: Fields, key: string): bigint {
  const value = fields.value(key);
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? BigInt(value) : fields.fail(key, 'digits in quotes ("1048576")');
}

function texts(fields: Fields, key: string): string[] {
  return fields.list(key).map((value) => (typeof value === "string" ? value : fields.fail(key, "a list of texts")));
}

/** An object with keys of any name, each value read by `read`. */
function byName<Value>(fields: Fields, key: string, read: (value: unknown, name: string) => Value): Record<string, Value> {
  const value = fields.value(key);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fields.fail(key, "an object");
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, read(entry, name)]));
}

function superblock(fields: Fields): Superblock {
  const inner = fields.object("superblock", ["type", "uuid", "label", "size"]);
  return {
    type: inner.oneOf("type", FILESYSTEMS),
    uuid: textOrNull(inner, "uuid"),
    label: textOrNull(inner, "label"),
    size: inner.nullable("size", () => bytes(inner, "size")),
  };
}

const deviceKeys = [
  "name",
  "path",
  "number",
  "sizeBytes",
  "readOnly",
  "disk",
  "partition",
  "partlabel",
  "partuuid",
  "superblock",
];

/** devices.json */
export function deviceList(value: unknown): BlockDevice[] {
  const file = new Fields(value, "", ["schema", "devices"]);
  file.integer("schema", 1, 1);
  return file.list("devices").map((item, index) => {
    const fields = new Fields(item, `devices[${index}]`, deviceKeys);
    const number = fields.object("number", ["major", "minor"]);
    return {
      name: fields.sound("name", fields.text("name"), (name) => (/[/\0]|^\.\.?$/.test(name) ? "is no name in /sys" : null)),
      path: fields.text("path"),
      number: { major: countOf(number, "major"), minor: countOf(number, "minor") },
      sizeBytes: bytes(fields, "sizeBytes"),
      readOnly: flagOf(fields, "readOnly"),
      disk: textOrNull(fields, "disk"),
      partition: fields.nullable("partition", () => fields.integer("partition", 1, MOST)),
      partlabel: textOrNull(fields, "partlabel"),
      partuuid: textOrNull(fields, "partuuid"),
      superblock: fields.nullable("superblock", () => superblock(fields)),
    };
  });
}

function verityVersion(fields: Fields): MachineFacts["verity"] {
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(fields.text("verity"))?.slice(1).map(Number);
  const [major, minor, patch] = parts ?? [];
  if (major === undefined || minor === undefined || patch === undefined) return fields.fail("verity", 'a version ("1.9.0")');
  return [major, minor, patch];
}

function seal(fields: Fields): SealFacts {
  const inner = new Fields(fields.value("seal"), "seal", ["is"], ["text", "reason"]);
  const is = inner.oneOf("is", ["sealed", "unsealed", "fault"]);
  if (is !== "sealed") return { is, reason: inner.text("reason") };
  const text = inner.text("text");
  decodeSeal(new TextEncoder().encode(text));
  return { is, text };
}

/** Of facts that were captured by a version that knew no seals. */
const UNKNOWN_SEAL: SealFacts = { is: "unsealed", reason: "the facts tell of no seal" };

/** machine.json */
export function machineFacts(value: unknown): MachineFacts {
  const fields = new Fields(value, "", ["schema", "kernelRelease", "unixMs", "watchdog", "running"], ["verity", "memory"]);
  fields.integer("schema", 1, 1);
  return {
    kernelRelease: fields.text("kernelRelease"),
    unixMs: countOf(fields, "unixMs"),
    watchdog: flagOf(fields, "watchdog"),
    ...(fields.has("memory") ? { memory: countOf(fields, "memory") } : {}),
    verity: fields.has("verity") ? fields.nullable("verity", () => verityVersion(fields)) : null,
    running: fields.nullable("running", () => {
      const running = fields.object("running", ["attempt", "slot"]);
      return { attempt: running.integer("attempt", 1, MOST), slot: nameOf(running, "slot") };
    }),
  };
}

const recordKeys = ["schema", "fault", "unwritable", "condition", "sequence", "nextCopy", "reason", "record", "journal"];

/** records/NAME.json */
export function recordFacts(value: unknown): RecordFacts {
  const fields = new Fields(value, "", recordKeys);
  fields.integer("schema", 1, 1);
  const condition = fields.oneOf("condition", ["valid", "empty", "unreadable"]);
  const record = fields.nullable("record", () => bootRecord(fields.value("record")));
  if ((record !== null) !== (condition === "valid")) fields.fail("record", 'there where the condition is "valid", else null');
  return {
    fault: textOrNull(fields, "fault"),
    unwritable: textOrNull(fields, "unwritable"),
    condition,
    sequence: countOf(fields, "sequence"),
    nextCopy: fields.oneOf("nextCopy", [0, 1]),
    reason: textOrNull(fields, "reason"),
    record,
    journal: fields.list("journal").map((entry, index) => journalEntry(entry, `journal[${index}]`)),
  };
}

function modules(value: unknown, where: string): ModuleVersions {
  const fields = new Fields(value, where, ["directory", "names"]);
  return { directory: fields.text("directory"), names: texts(fields, "names") };
}

function rootFacts(fields: Fields, control: string | null): RootFacts {
  const root = fields.object("root", ["missingMountPoints", "modules", "inits"]);
  return {
    missingMountPoints: texts(root, "missingMountPoints"),
    modules: root.list("modules").map((entry, index) => modules(entry, `root.modules[${index}]`)),
    inits: byName(root, "inits", (entry, name) =>
      entry === null || typeof entry === "string" ? entry : root.fail("inits", `null or the reason why not for ${name}`),
    ),
    control,
  };
}

/** images/NAME.json, and the text of images/NAME.control.json, null where that is not there. */
export function imageFacts(value: unknown, control: string | null): ImageFacts {
  const fields = new Fields(value, "", ["schema", "fault", "imageId", "filesystem", "root", "unknown"], ["seal"]);
  fields.integer("schema", 1, 1);
  return {
    fault: fields.nullable("fault", () => {
      const fault = fields.object("fault", ["kind", "reason"]);
      return { kind: fault.oneOf("kind", ["proof", "boot", "device"]), reason: fault.text("reason") };
    }),
    imageId: fields.nullable("imageId", () => imageIdOf(fields, "imageId")),
    filesystem: filesystemOrNull(fields, "filesystem"),
    seal: fields.has("seal") ? seal(fields) : UNKNOWN_SEAL,
    root: fields.nullable("root", () => rootFacts(fields, control)),
    unknown: textOrNull(fields, "unknown"),
  };
}

function meta(fields: Fields): GenerationMeta {
  const inner = fields.object("meta", ["schema", "number", "parent", "imageId", "slot", "controlDigest", "attempt"]);
  return {
    schema: inner.oneOf("schema", [1]),
    number: inner.integer("number", 1, MOST),
    parent: inner.nullable("parent", () => inner.integer("parent", 1, MOST)),
    imageId: imageIdOf(inner, "imageId"),
    slot: nameOf(inner, "slot"),
    controlDigest: inner.text("controlDigest"),
    attempt: countOf(inner, "attempt"),
  };
}

function standIn(fields: Fields): NonNullable<GenerationFact["standIn"]> {
  const mark = fields.object("standIn", ["wish", "of"]);
  const of = mark.nullable("of", () => mark.integer("of", 1, MOST));
  return { wish: mark.oneOf("wish", ["previous", "fresh"]), of };
}

function generation(value: unknown, where: string): GenerationFact {
  const fields = new Fields(value, where, ["number", "complete", "meta", "pinned"], ["standIn"]);
  return {
    number: fields.integer("number", 1, MOST),
    complete: flagOf(fields, "complete"),
    meta: fields.nullable("meta", () => meta(fields)),
    pinned: fields.nullable("pinned", () => {
      const pin = fields.object("pinned", ["reason", "attempt"], ["by"]);
      const by = pin.has("by") ? { by: pin.oneOf("by", ["recovery"]) } : {};
      return { reason: pin.text("reason"), attempt: countOf(pin, "attempt"), ...by };
    }),
    ...(fields.has("standIn") ? { standIn: standIn(fields) } : {}),
  };
}

function dataContent(fields: Fields): DataContent {
  const content = fields.object("content", ["layout", "requests", "pointers", "generations"]);
  return {
    layout: textOrNull(content, "layout"),
    requests: textOrNull(content, "requests"),
    pointers: byName(content, "pointers", (entry, slot) =>
      entry === null || (typeof entry === "number" && Number.isSafeInteger(entry) && entry >= 1)
        ? entry
        : content.fail("pointers", `null or a number from 1 (${generationName(1)}) for slot ${slot}`),
    ),
    generations: content.list("generations").map((entry, index) => generation(entry, `content.generations[${index}]`)),
  };
}

/** data/NAME.json */
export function dataFacts(value: unknown): DataFacts {
  const fields = new Fields(value, "", ["schema", "fault", "filesystem", "uuid", "content", "unknown"], ["errors"]);
  fields.integer("schema", 1, 1);
  return {
    fault: textOrNull(fields, "fault"),
    filesystem: filesystemOrNull(fields, "filesystem"),
    uuid: textOrNull(fields, "uuid"),
    errors: fields.has("errors") && flagOf(fields, "errors"),
    content: fields.nullable("content", () => dataContent(fields)),
    unknown: textOrNull(fields, "unknown"),
  };
}
