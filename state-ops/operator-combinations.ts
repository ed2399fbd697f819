/**
 * Which words of one operator go together, whatever the image. The compiler refuses a fragment by these rules, and PID 1
 * checks a control file by them again.
 */
import type { MountFlag, Operator, StateClass, Via } from "./control.ts";
import { globFault } from "./globs.ts";
import { pathFault } from "./operator-rules.ts";

/** What is wrong, with the remedy, and the YAML key whose value it is about. */
export interface CombinationFault {
  key: string;
  text: string;
}

/** What the rules look at; the compiler asks before an operator has its origin. */
export type Rules = Omit<Operator, "origin">;

export const DEFAULT_FLAGS: readonly MountFlag[] = ["nodev", "nosuid"];

/** Longest text of `seed: { literal: … }` in bytes, and most globs of one `exclude:`. */
const longestLiteral = 65_536;
const mostGlobs = 100;

const statesOf: Record<Via, readonly (StateClass | null)[]> = {
  overlay: ["persistent", "ephemeral"],
  bind: ["persistent", "shared", "identity", "ephemeral"],
  tmpfs: ["ephemeral"],
  symlink: ["ephemeral", "persistent", "shared", "identity"],
  mask: [null],
  readonly: [null],
};

/** A key that means something for some operators only. */
interface MeaningRule {
  key: string;
  /** Whether the operator says it: anything but what stands for "not said". */
  isSaid: (operator: Rules) => boolean;
  means: (operator: Rules) => boolean;
  /** What it is for, after the key. */
  what: string;
}

const meanings: readonly MeaningRule[] = [
  { key: "mode", isSaid: (o) => o.mode !== null, means: hasRoot, what: "is of a store or of memory" },
  { key: "owner", isSaid: (o) => o.owner !== null, means: hasRoot, what: "is of a store or of memory" },
  { key: "group", isSaid: (o) => o.group !== null, means: hasRoot, what: "is of a store or of memory" },
  { key: "context", isSaid: (o) => o.context !== null, means: hasRoot, what: "is of a store or of memory" },
  { key: "flags", isSaid: hasOwnFlags, means: (o) => hasRoot(o) || o.via === "readonly", what: "is of a mount" },
  { key: "size", isSaid: (o) => o.size !== null, means: isMemory, what: "limits a directory in memory" },
  { key: "inodes", isSaid: (o) => o.inodes !== null, means: isMemory, what: "limits a directory in memory" },
  {
    key: "target",
    isSaid: (o) => o.target !== null,
    means: (o) => o.via === "symlink",
    what: 'is what "via: symlink" points to',
  },
  {
    key: "merge",
    isSaid: (o) => o.merge !== "local",
    means: isCloned,
    what: "is for persistent state in a store that is cloned",
  },
  {
    key: "on-failure",
    isSaid: (o) => o.onFailure !== "required",
    means: (o) => hasRoot(o) || o.via === "readonly",
    what: "says whether memory may stand in for a store or a tmpfs",
  },
  { key: "cache", isSaid: (o) => o.cache, means: isPersistentStore, what: "is for persistent state in a store" },
  {
    key: "exclude",
    isSaid: (o) => o.exclude.length > 0,
    means: (o) => isCloned(o) && o.kind === "directory",
    what: "is for a persistent directory that is cloned",
  },
  { key: "generate", isSaid: (o) => o.generate !== null, means: (o) => o.via === "bind", what: 'is for a file with "via: bind"' },
  { key: "renamed-from", isSaid: (o) => o.renamedFrom !== null, means: hasStore, what: "is for state that is kept in a store" },
];

/** Whether something of this operator is kept on the data filesystem under its id. */
export function hasStore({ state, via }: Pick<Operator, "state" | "via">): boolean {
  return state !== "ephemeral" && (via === "bind" || via === "overlay");
}

/** Whether writes below the operator's path go somewhere: what is missing there can be made. */
export function isWritableInside({ kind, via }: Pick<Operator, "kind" | "via">): boolean {
  return kind === "directory" && hasRoot({ via });
}

function hasRoot({ via }: Pick<Operator, "via">): boolean {
  return via === "overlay" || via === "bind" || via === "tmpfs";
}

function isMemory({ state, via }: Rules): boolean {
  return via === "tmpfs" || (via === "overlay" && state === "ephemeral");
}

function isPersistentStore(operator: Rules): boolean {
  return operator.state === "persistent" && hasStore(operator);
}

function isCloned(operator: Rules): boolean {
  return isPersistentStore(operator) && !operator.cache;
}

function hasOwnFlags({ flags }: Rules): boolean {
  return flags.join() !== DEFAULT_FLAGS.join();
}

/**
 * Everything in one operator that does not go together. `said`: the YAML keys that were written out, so that one that
 * has no meaning is refused even where it says what holds anyway.
 */
export function combinationFaults(operator: Rules, said: ReadonlySet<string> = new Set()): CombinationFault[] {
  const kindOfOperator = stateAndVia(operator);
  if (kindOfOperator !== null) return [kindOfOperator];
  const what = describe(operator);
  const idle = meanings
    .filter(({ key, isSaid, means }) => (said.has(key) || isSaid(operator)) && !means(operator))
    .map(({ key, what: use }) => ({ key, text: `${operator.path}: "${key}" ${use}, and this is ${what}; leave it away` }));
  const others = [seedFault, generateFault, belowRunFault, symlinkFault, excludeFault, nameFault, reasonFault];
  return [...idle, ...others.flatMap((rule) => rule(operator) ?? [])];
}

function describe({ kind, state, via, cache }: Rules): string {
  return `${state === null ? "" : `${state} `}${kind}, via ${via}${cache ? ", a cache" : ""}`;
}

function stateAndVia({ path, kind, state, via }: Rules): CombinationFault | null {
  const fault = (key: string, text: string): CombinationFault => ({ key, text: `${path}: ${text}` });
  if (!statesOf[via].includes(state)) {
    if (state === null) {
      return fault("state", `"via: ${via}" needs "state:"; say how long a write is kept`);
    }
    if (via === "mask" || via === "readonly") {
      return fault("via", `"via: ${via}" keeps no write, so that "state: ${state}" has no meaning; leave state away`);
    }
    return via === "tmpfs"
      ? fault("via", `"via: tmpfs" would lose ${state} state at every reboot; say "state: ephemeral", or "via: bind"`)
      : fault("via", `two images' directories would share one upper layer of ${state} state; use "via: bind"`);
  }
  if (via === "bind" && state === "ephemeral" && kind === "directory") {
    return fault("via", 'an ephemeral directory is a tmpfs; leave "via: bind" away');
  }
  if (kind === "file" && (via === "overlay" || via === "tmpfs")) {
    return fault("via", `this is a file, and "via: ${via}" needs a directory; name its directory, or say "via: bind"`);
  }
  return null;
}

function seedFault({ path, kind, via, seed, literal }: Rules): CombinationFault | null {
  const fault = (text: string): CombinationFault => ({ key: "seed", text: `${path}: ${text}` });
  if ((via === "overlay" || via === "readonly") && seed !== "image") {
    return fault(`"via: ${via}" always shows the image; leave seed away, or use "via: bind" with "seed: ${seed}"`);
  }
  if ((via === "mask" || via === "symlink") && seed !== "none") {
    return fault(`"via: ${via}" has no content of its own; leave seed away`);
  }
  if (seed === "literal" && (kind !== "file" || via !== "bind")) {
    return fault(`a literal is the content of a file with "via: bind", and this is a ${kind}, via ${via}; ship it in the image`);
  }
  if ((seed === "literal") !== (literal !== null)) {
    return fault(`"seed: ${seed}" ${literal === null ? "has no text" : "has a text that is not used"}; compile it again`);
  }
  if (literal !== null && Buffer.byteLength(literal) > longestLiteral) {
    return fault(`the literal has ${Buffer.byteLength(literal)} bytes, more than ${longestLiteral}; ship it in the image`);
  }
  return null;
}

function generateFault({ path, kind, seed, generate }: Rules): CombinationFault | null {
  if (generate === null || (kind === "file" && seed === "none")) return null;
  const seen = kind === "file" ? `"seed: ${seed}"` : "a directory";
  return { key: "generate", text: `${path}: "generate: ${generate}" makes a file of nothing, and here is ${seen}; keep one` };
}

/** Below /run, which is memory already, things are made anew at every boot. */
function belowRunFault({ path, via }: Rules): CombinationFault | null {
  return path.startsWith("/run/") && (via === "overlay" || via === "symlink")
    ? {
        key: "via",
        text: `${path}: below /run there is no image to lay over and nobody to keep a link; leave "via: ${via}" away`,
      }
    : null;
}

function symlinkFault({ path, via, state, target }: Rules): CombinationFault | null {
  if (via !== "symlink") return null;
  if (target === null) {
    return { key: "via", text: `${path}: "via: symlink" needs "target:", the absolute path that it points to` };
  }
  const wrong = pathFault(target);
  if (wrong !== null) return { key: "target", text: `${path}: the target: ${wrong}` };
  const inRun = target.startsWith("/run/");
  if (inRun !== (state === "ephemeral")) {
    const text = inRun
      ? `the target ${target} is below /run, where nothing outlives a reboot; say "state: ephemeral"`
      : `the target ${target} of ephemeral state is not below /run; name one there, or say how long it is kept`;
    return { key: "target", text: `${path}: ${text}` };
  }
  if (target === path || target.startsWith(`${path}/`)) {
    return { key: "target", text: `${path}: the target ${target} leads to itself; name another path` };
  }
  return null;
}

function excludeFault({ path, exclude }: Rules): CombinationFault | null {
  const wrong = exclude.map(globFault).find((fault) => fault !== null);
  if (wrong !== undefined) return { key: "exclude", text: `${path}: ${wrong}` };
  return exclude.length <= mostGlobs
    ? null
    : { key: "exclude", text: `${path}: ${exclude.length} globs, at most ${mostGlobs}; say fewer and wider ones` };
}

function nameFault({ path, id, renamedFrom }: Rules): CombinationFault | null {
  return id === renamedFrom
    ? { key: "renamed-from", text: `${path}: "renamed-from: ${renamedFrom}" is the id that it has; leave it away` }
    : null;
}

function reasonFault({ path, state, reason }: Rules): CombinationFault | null {
  return state === "shared" && (reason === null || reason.trim() === "")
    ? { key: "state", text: `${path}: shared state does not come back at a rollback; say why in "reason:"` }
    : null;
}
