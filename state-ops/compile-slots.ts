import { MOST_SLOTS, type SlotDefinition } from "./control.ts";
import { slotNameFault } from "./operator-rules.ts";
import { problemAt } from "./problems.ts";
import type { NodePath, Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";
import { parseSize } from "./schema/words.ts";
import { slotFileFault, slotSizeFault } from "./slot-file.ts";

type Declared = SystemDefinition["slots"][string];

/** The control file's slots, and what is wrong with each; their devices are looked at with those of all else. */
export function compileSlots(
  definition: SystemDefinition,
  document: SourceDocument,
): { slots: SlotDefinition[]; problems: Problem[] } {
  const declared = Object.entries(definition.slots);
  const problems: Problem[] = [];
  if (declared.length === 0) {
    problems.push(problemAt(document, ["slots"], '"slots" is empty; declare at least one, "a: { device: PARTLABEL=root-a }"'));
  }
  const [beyond] = declared.slice(MOST_SLOTS);
  if (beyond !== undefined) {
    const what = `has ${declared.length} slots, and a boot record has room for ${MOST_SLOTS}; leave some out`;
    problems.push(problemAt(document, ["slots", beyond[0]], `"slots" ${what}`, "key"));
  }
  const slots = declared.flatMap(([name, slot]): SlotDefinition[] => {
    const path = ["slots", name];
    const wrong = slotNameFault(name);
    if (wrong !== null) problems.push(problemAt(document, path, wrong, "key"));
    const read =
      slot.file === undefined ? partitionSlot(name, slot, definition.trust) : fileSlot(name, slot, slot.file, definition);
    problems.push(...read.faults.map(({ key, text }) => problemAt(document, key === null ? path : [...path, key], text)));
    return read.slot === null ? [] : [read.slot];
  });
  problems.push(...filesTwice(slots, document));
  return { slots, problems };
}

interface Fault {
  /** The key that is wrong; null for the slot as a whole. */
  key: "device" | "file" | "size" | "verity" | "signature" | null;
  text: string;
}

interface ReadSlot {
  slot: SlotDefinition | null;
  faults: Fault[];
}

function partitionSlot(
  name: string,
  { device, size, bootname, verity, signature }: Declared,
  trust: SystemDefinition["trust"],
): ReadSlot {
  if (device === undefined) {
    const text = `slot ${name} is nowhere; write { device: PARTLABEL=… } or { file: images/${name}.img, size: … }`;
    return { slot: null, faults: [{ key: null, text }] };
  }
  const faults: Fault[] = [];
  if (size !== undefined) {
    faults.push({ key: "size", text: '"size" is that of a file; a slot on a partition is as large as that, leave it out' });
  }
  if (signature !== undefined && verity === undefined) {
    faults.push({
      key: "signature",
      text: '"signature" is of the root hash of a tree; name the partition that holds that, "verity: PARTLABEL=…"',
    });
  }
  if (verity !== undefined && typeof trust === "object") {
    const missing =
      signature === undefined ? '"signature: PARTLABEL=…"' : trust.certificates === undefined ? '"certificates" in trust' : null;
    if (missing !== null) {
      faults.push({
        key: "verity",
        text: `slot ${name} has a hash tree of its own, and nothing could prove it here: there is no ${missing}`,
      });
    }
  }
  const floor = typeof trust === "object" ? (trust["rollback-floor"] ?? 0) : 0;
  if (verity !== undefined && floor > 0) {
    const text = `slot ${name} has a hash tree of its own, whose image has no rollback index, and "rollback-floor" is ${floor}: it would never boot`;
    faults.push({ key: "verity", text: `${text}; leave one of them out` });
  }
  const dps = { ...(verity === undefined ? {} : { verity }), ...(signature === undefined ? {} : { signature }) };
  return { slot: { name, device, ...(bootname === undefined ? {} : { bootname }), ...dps }, faults };
}

function fileSlot(
  name: string,
  { device, size, bootname, verity, signature }: Declared,
  file: string,
  { data }: SystemDefinition,
): ReadSlot {
  const faults: Fault[] = [];
  if (device !== undefined) {
    faults.push({ key: "device", text: `slot ${name} has both "device" and "file"; it is one of them, leave the other out` });
  }
  for (const key of ["verity", "signature"] as const) {
    const named = { verity, signature }[key];
    if (named !== undefined)
      faults.push({ key, text: `"${key}" is a partition beside the slot's own, and slot ${name} is a file; leave it out` });
  }
  if (data === undefined) {
    faults.push({ key: "file", text: 'a slot that is a file lies on the data filesystem, and there is no "data:"; declare one' });
  }
  const wrong = slotFileFault(file);
  if (wrong !== null) faults.push({ key: "file", text: wrong });
  if (size === undefined) {
    const text = `"size" is missing; say what the file is allocated with, "size: 600M": an image and room for its successors`;
    return { slot: null, faults: [...faults, { key: null, text }] };
  }
  const bytes = parseSize(size);
  const wrongSize = slotSizeFault(bytes);
  if (wrongSize !== null) faults.push({ key: "size", text: wrongSize });
  return { slot: { name, file, size: bytes, ...(bootname === undefined ? {} : { bootname }) }, faults };
}

function filesTwice(slots: readonly SlotDefinition[], document: SourceDocument): Problem[] {
  const files = slots.flatMap((slot) => ("file" in slot ? [slot] : []));
  const place = (name: string): NodePath => ["slots", name, "file"];
  return files.flatMap(({ name, file }, index) => {
    const other = files.slice(0, index).find((earlier) => earlier.file === file);
    if (other === undefined) return [];
    const { line, column } = document.position(place(other.name));
    const text = `${file} is used twice, here and at ${document.file}:${line}:${column}; give each slot its own file`;
    return [problemAt(document, place(name), text)];
  });
}
