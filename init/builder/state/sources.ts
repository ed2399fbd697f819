import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type Compiled, compile } from "../../../state-ops/compile.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { CompileError } from "../../../state-ops/problems.ts";
import { LONGEST_YAML, type Problem, parseYaml, type SourceDocument } from "../../../state-ops/schema/document.ts";
import { type OptionValues, text, texts } from "../../commands/verb.ts";
import { readControlInput } from "../control-input.ts";
import { readTextInput, reasonOf } from "../input.ts";
import { imageDirectory } from "./image-directory.ts";
import { filesBeside } from "./public-keys.ts";

/** Where packages put their fragments in an image. */
const fragmentsInImage = "usr/share/slipway/state.d";

export const sourceOptions = {
  system: { type: "string" },
  root: { type: "string" },
  fragments: { type: "string", multiple: true },
  previous: { type: "string" },
} as const;

export const sourceHelp = `Options:
  --system FILE        the system definition, system.yaml
  --root IMAGE_TREE    the image's tree; its ${fragmentsInImage}/*.yaml are read
  --fragments PLACE    more fragments: a .yaml file, or a directory's *.yaml; may be repeated
  --previous FILE      control file of the image that devices run now: changes that would lose state are refused

Errors are FILE:LINE:COLUMN: what, and the remedy.`;

/** Where the sources of a control file are. */
export interface Sources {
  /** The option that names the system definition, for messages. */
  option: string;
  system: string;
  root: string;
  /** How messages name the root. */
  shownRoot: string;
  fragments: readonly string[];
  previous: string | undefined;
}

/** Reads the sources that the options name, and compiles them. Throws BadInput with every problem. */
export function compileSources(values: OptionValues): Compiled {
  const root = required(values, "root", "the image's tree");
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new BadInput(`--root ${root} is no directory; give the tree that the image is made of`);
  }
  return compileFrom({
    option: "--system",
    system: required(values, "system", "the system definition"),
    root,
    shownRoot: root,
    fragments: texts(values, "fragments"),
    previous: text(values, "previous"),
  });
}

/** Reads the sources and compiles them. Throws BadInput with every problem. */
export function compileFrom(sources: Sources): Compiled {
  const { option, system: systemFile, root, shownRoot, fragments: places, previous } = sources;
  const inImage = join(root, fragmentsInImage);
  const files = [
    ...(statSync(inImage, { throwIfNoEntry: false }) ? fragmentFiles(inImage, `${fragmentsInImage}/`) : []),
    ...places.flatMap((place) => fragmentsAt(place)),
  ];
  const problems: Problem[] = [];
  const shown = (file: string): string => (file.startsWith(`${root}/`) ? join(shownRoot, file.slice(root.length)) : file);
  const parse = (file: string, origin: string, what = shown(file)): SourceDocument[] => {
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size > 4 * LONGEST_YAML) {
      throw new BadInput(`${what} has ${size} bytes, more than a system definition or a fragment ever has; split it`);
    }
    const parsed = parseYaml(shown(file), origin, readTextInput(what, file));
    problems.push(...parsed.problems);
    return parsed.document === null ? [] : [parsed.document];
  };
  const [system] = parse(systemFile, "system.yaml", `${option} ${systemFile}`);
  const fragments = files.flatMap(({ file, origin }) => parse(file, origin));
  if (system === undefined || problems.length > 0) {
    throw new CompileError(problems);
  }
  return compile({
    system,
    fragments,
    image: imageDirectory(root, shownRoot),
    beside: filesBeside(systemFile),
    previous: previous === undefined ? null : readControlInput(`--previous ${previous}`, previous).control,
  });
}

/** What the builder should know of a control file that compiled: warnings, and what a rollback will not revert. */
export function printSummary({ control, warnings }: Compiled, done: string): void {
  for (const warning of warnings) {
    console.error(`${warning} (warning)`);
  }
  const slots = control.slots.map((slot) => slot.name).join(", ");
  console.log(`${done}: ${control.system}, slots ${slots}, ${control.operators.length} operators, ${control.digest}`);
  for (const { path, state, reason, origin } of control.operators.filter(
    ({ state }) => state === "shared" || state === "identity",
  )) {
    console.log(`  ${path} is ${state}, a rollback does not revert it${reason === null ? "" : `: ${reason}`} (${origin})`);
  }
}

function required(values: OptionValues, name: string, what: string): string {
  const value = text(values, name);
  if (value === undefined || value === "") {
    throw new BadInput(`--${name} is missing; it names ${what}`);
  }
  return value;
}

/** What one --fragments names: a file, or the files of a directory. */
function fragmentsAt(place: string): { file: string; origin: string }[] {
  if (statSync(place, { throwIfNoEntry: false })?.isFile() !== true) {
    return fragmentFiles(place, "");
  }
  if (!place.endsWith(".yaml")) {
    throw new BadInput(`--fragments ${place} is no fragment; give a .yaml file, or a directory of them`);
  }
  return [{ file: place, origin: soundName(place, basename(place)) }];
}

/** A name that goes into the control file and into messages. */
function soundName(file: string, name: string): string {
  if (/[\p{Cc}\p{Bidi_Control}\ufffd]/u.test(name)) {
    throw new BadInput(`the name of the fragment ${JSON.stringify(file)} has characters that do not show; rename it`);
  }
  return name;
}

/** The fragments of a directory in the order of their names. */
function fragmentFiles(directory: string, originPrefix: string): { file: string; origin: string }[] {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch (error) {
    throw new BadInput(`the fragments in ${directory} cannot be read: ${reasonOf(error)}`);
  }
  const unread = names.find((name) => name.endsWith(".yml"));
  if (unread !== undefined) {
    throw new BadInput(`${join(directory, unread)} would not be read; fragments end in .yaml, rename it`);
  }
  return names
    .filter((name) => name.endsWith(".yaml") && !name.startsWith("."))
    .map((name) => ({ file: join(directory, name), origin: originPrefix + soundName(join(directory, name), name) }));
}
