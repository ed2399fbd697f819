/**
 * Captured facts as a directory that people can read and edit:
 *
 *   control.json               the initrd's control file
 *   cmdline                    the kernel's command line
 *   machine.json, devices.json
 *   records/vda1.json          what a partition for the boot record holds
 *   images/vda2.json           what a slot holds, and beside it, where the image has one,
 *   images/vda2.control.json   the image's own control file
 *   data/vda4.json             what the data filesystem holds
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import type { BootFacts, ImageFacts } from "./facts.ts";
import { dataFacts, deviceList, imageFacts, machineFacts, recordFacts } from "./facts-shape.ts";

const FILES = ["control.json", "cmdline", "machine.json", "devices.json"];
const FOLDERS = ["records", "images", "data"];
const IMAGE_CONTROL = ".control.json";

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Runs `read` on a file of the directory; whatever is wrong names the file. Throws BadInput. */
function reading<Value>(directory: string, file: string, read: (text: string) => Value): Value {
  const path = join(directory, file);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new BadInput(`cannot read ${path}: ${reasonOf(error)}; capture facts with slipway boot --explain --save-facts DIR`);
  }
  try {
    return read(text);
  } catch (error) {
    if (error instanceof BadInput || error instanceof SyntaxError) throw new BadInput(`${path}: ${reasonOf(error)}`);
    throw error;
  }
}

/** Names in a directory but hidden ones; none where it is not there. */
function names(path: string): string[] {
  if (!existsSync(path)) return [];
  const all = readdirSync(path).filter((name) => !name.startsWith("."));
  return all.sort();
}

function refuseUnknown(directory: string, seen: string[], known: readonly string[]): void {
  const unknown = seen.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new BadInput(`${join(directory, unknown)} is no file of captured facts; known there are: ${known.join(", ")}`);
}

/** What the files NAME.json of a folder hold, by NAME. */
function readFolder<Value>(
  directory: string,
  folder: string,
  read: (value: unknown, control: string | null) => Value,
): Record<string, Value> {
  const seen = names(join(directory, folder));
  const controls = folder === "images" ? seen.filter((name) => name.endsWith(IMAGE_CONTROL)) : [];
  const facts = seen.filter((name) => name.endsWith(".json") && !controls.includes(name));
  const devices = facts.map((name) => name.slice(0, -".json".length));
  const known = [...facts, ...devices.map((device) => `${device}${IMAGE_CONTROL}`)];
  refuseUnknown(join(directory, folder), seen, known.length > 0 ? known : ["NAME.json"]);
  const entries = devices.map((device) => {
    const ownControl = `${device}${IMAGE_CONTROL}`;
    const control = controls.includes(ownControl) ? readFileSync(join(directory, folder, ownControl), "utf8") : null;
    const file = join(folder, `${device}.json`);
    return [device, reading(directory, file, (text) => read(JSON.parse(text), control))] as const;
  });
  return Object.fromEntries(entries);
}

/** Reads and checks captured facts. Throws BadInput that names the file; unknown files and keys are refused. */
export function loadFacts(directory: string): BootFacts {
  if (!existsSync(directory)) throw new BadInput(`there is no directory ${directory} with captured facts`);
  refuseUnknown(directory, names(directory), [...FILES, ...FOLDERS]);
  const checkedControl = (text: string) => {
    readControl(text);
    return text;
  };
  return {
    control: reading(directory, "control.json", checkedControl),
    commandLine: reading(directory, "cmdline", (text) => text),
    machine: reading(directory, "machine.json", (text) => machineFacts(JSON.parse(text))),
    devices: reading(directory, "devices.json", (text) => deviceList(JSON.parse(text))),
    records: readFolder(directory, "records", recordFacts),
    images: readFolder(directory, "images", imageFacts),
    data: readFolder(directory, "data", dataFacts),
  };
}

/** JSON with an indent, bigints as texts, ending in a newline. */
function pretty(value: object): string {
  const withSchema = { schema: 1, ...value };
  return `${JSON.stringify(withSchema, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part), 2)}\n`;
}

/** The JSON of an image's facts: its control file is a file of its own. */
function imageJson({ root, ...image }: ImageFacts): string {
  if (root === null) return pretty({ ...image, root });
  const { control: _, ...rest } = root;
  return pretty({ ...image, root: rest });
}

/** The files of captured facts: path in the directory, and text. */
export function factsFiles(facts: BootFacts): [path: string, text: string][] {
  const folder = <Value extends object>(name: string, of: Record<string, Value>, print: (value: Value) => string) =>
    Object.entries(of).map(([device, value]): [string, string] => [join(name, `${device}.json`), print(value)]);
  const controls = Object.entries(facts.images).flatMap(([device, { root }]): [string, string][] =>
    root === null || root.control === null ? [] : [[join("images", `${device}${IMAGE_CONTROL}`), root.control]],
  );
  return [
    ["control.json", facts.control],
    ["cmdline", facts.commandLine],
    ["machine.json", pretty({ ...facts.machine, verity: facts.machine.verity?.join(".") ?? null })],
    ["devices.json", pretty({ devices: facts.devices })],
    ...folder("records", facts.records, pretty),
    ...folder("images", facts.images, imageJson),
    ...controls,
    ...folder("data", facts.data, pretty),
  ];
}

/** Writes captured facts into a directory that is new or empty. Throws Refusal where it holds something. */
export function saveFacts(directory: string, facts: BootFacts): void {
  if (names(directory).length > 0) throw new Refusal(`${directory} is not empty; name a new directory for the facts`);
  for (const folder of FOLDERS) mkdirSync(join(directory, folder), { recursive: true });
  for (const [path, text] of factsFiles(facts)) writeFileSync(join(directory, path), text);
}
