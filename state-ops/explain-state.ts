/** Who rules a path, and what becomes of what is written there: sentences over the image's operators. */
import type { Operator, StateClass } from "./control.ts";
import { targetFault } from "./operator-rules.ts";
import { isAtOrBelow, operatorsBelow, outerOperator, rulingOperator, storePaths } from "./operator-tree.ts";

export interface ExplainFacts {
  operators: readonly Operator[];
  /** "gens/000017" of this boot; null without one. */
  generation: string | null;
  /** Operators that this boot has in memory, since their stores could not be used. */
  degraded: readonly { path: string; reason: string }[];
}

/** What becomes of what was written, one sentence for each event. */
export interface Fate {
  reboot: string;
  update: string;
  rollback: string;
  reset: string;
  factoryReset: string;
  /** What a recovery by another state than the slot's own makes of it. */
  recovery: string;
}

/** What `slipway state explain --json` prints, with `schema: 1`. */
export interface StateExplanation {
  path: string;
  /** How long a write is kept; `immutable`: there can be none. `memory`: the kernel's own filesystems and /run. */
  rule: StateClass | "immutable" | "memory";
  /** One sentence: what rules it, and how. */
  summary: string;
  operator: Pick<Operator, "id" | "path" | "kind" | "state" | "via" | "origin" | "reason" | "merge" | "onFailure"> | null;
  /** Where the path itself is kept, relative to the data filesystem's root; null where nothing is kept. */
  store: string | null;
  /** Why it is in memory in this boot; null while it is not. */
  degraded: string | null;
  /** The operator around it; null where it lies in the image. */
  nestedIn: { path: string; state: StateClass | null } | null;
  /** Paths below it that other operators rule. */
  ruledApart: { path: string; state: StateClass | null }[];
  /** Null where nothing can be written. */
  fate: Fate | null;
  /** What else a program must know that writes there. */
  notes: string[];
  /** How to make it writable: sentences, and the YAML to add. Null where it is. */
  remedy: { say: string; file: string | null; yaml: string | null } | null;
}

const GONE = "gone, as at every reboot";
const MEMORY = ["/run", "/proc", "/sys", "/dev"];

/** Explains `path`, which is absolute and canonical. */
export function explainState(path: string, facts: ExplainFacts): StateExplanation {
  const operator = rulingOperator(facts.operators, path);
  if (operator === null) return explainUnruled(path, facts.operators);
  const { id, kind, state, via, origin, reason, merge, onFailure } = operator;
  const outer = outerOperator(facts.operators, operator);
  const degraded = facts.degraded.find((entry) => entry.path === operator.path)?.reason ?? null;
  const store = storePaths(operator, facts.generation)[0] ?? null;
  return {
    path,
    rule: state ?? "immutable",
    summary: summaryOf(operator, path),
    operator: { id, path: operator.path, kind, state, via, origin, reason, merge, onFailure },
    store: store === null ? null : `${store}${path.slice(operator.path.length)}`,
    degraded,
    nestedIn: outer === null ? null : { path: outer.path, state: outer.state },
    ruledApart: apart(operatorsBelow(facts.operators, operator), path),
    fate: fateOf(operator),
    notes: notesOf(operator),
    remedy: state === null ? closedRemedy(operator) : null,
  };
}

/** The explanation as lines for people. */
export function explanationLines(explained: StateExplanation): string[] {
  const { operator, fate, degraded, store, nestedIn, ruledApart, remedy } = explained;
  const row = (name: string, text: string) => `  ${name.padEnd(15)}${text}`;
  return [
    `${explained.path}: ${explained.rule}. ${explained.summary}`,
    ...(degraded === null ? [] : [`DEGRADED now: it is in memory, and gone at the reboot: ${degraded}`]),
    "",
    ...(operator === null ? [] : [row("declared in", operator.origin), row("operator", `${operator.path} (id ${operator.id})`)]),
    ...(operator?.reason == null ? [] : [row("because", operator.reason)]),
    ...(store === null ? [] : [row("kept in", `${store}, on the data filesystem`)]),
    ...(nestedIn === null ? [] : [row("lies in", `${nestedIn.path}, which is ${word(nestedIn.state)}`)]),
    ...(ruledApart.length === 0
      ? []
      : [row("but not", ruledApart.map((other) => `${other.path} (${word(other.state)})`).join(", "))]),
    ...(fate === null
      ? []
      : [
          row("reboot", fate.reboot),
          row("update", fate.update),
          row("rollback", fate.rollback),
          row("state reset", fate.reset),
          row("factory reset", fate.factoryReset),
          row("recovery", fate.recovery),
        ]),
    ...explained.notes.map((note) => row("note", note)),
    ...(remedy === null
      ? []
      : [
          remedy.say,
          ...(remedy.yaml === null ? [] : [`In ${remedy.file}:`, ...remedy.yaml.split("\n").map((line) => `    ${line}`)]),
        ]),
  ];
}

function word(state: StateClass | null): string {
  return state ?? "immutable";
}

function apart(below: readonly Operator[], path: string): { path: string; state: StateClass | null }[] {
  return below.filter((other) => isAtOrBelow(other.path, path)).map((other) => ({ path: other.path, state: other.state }));
}

function summaryOf(operator: Operator, path: string): string {
  const { via, target } = operator;
  const where = path === operator.path ? "It" : `It lies in ${operator.path}, which`;
  switch (via) {
    case "overlay":
      return operator.state === "ephemeral"
        ? `${where} is an overlay: what is written lies in memory, over the image's own content.`
        : `${where} is an overlay: what is written is kept in a layer over the image's own content.`;
    case "bind":
      return operator.state === "ephemeral"
        ? `${where} is a ${operator.kind} in memory, bound there.`
        : `${where} is a ${operator.kind} on the data filesystem, bound there; the image's own content is not seen.`;
    case "tmpfs":
      return `${where} is a directory in memory.`;
    case "symlink":
      return `${where} is a symbolic link to ${target}: what is written through it lies there, and ${target} is what rules it.`;
    case "mask":
      return `${where} is masked: an empty ${operator.kind} without any permission hides what the image has there.`;
    case "readonly":
      return `${where} shows the image's own content, read-only, inside an operator that can be written.`;
  }
}

function fateOf(operator: Operator): Fate | null {
  const again = seedOf(operator);
  switch (operator.state) {
    case null:
      return null;
    case "ephemeral":
      return {
        reboot: `gone; it begins ${again}`,
        update: GONE,
        rollback: GONE,
        reset: GONE,
        factoryReset: GONE,
        recovery: GONE,
      };
    case "persistent":
      return {
        reboot: "kept",
        update: updateOf(operator, again),
        rollback: "reverts: the other slot's image gets its own copy back, as that was left",
        reset: resetOf(operator, "", again),
        factoryReset: "gone",
        recovery: recoveryOf(operator, again),
      };
    case "shared":
      return {
        reboot: "kept",
        update: "kept: every image gets the same",
        rollback: "does not revert: every image gets the same",
        reset: resetOf(operator, "", again),
        factoryReset: "gone",
        recovery: "kept by every rung",
      };
    case "identity":
      return {
        reboot: "kept",
        update: "kept: every image gets the same",
        rollback: "does not revert: every image gets the same",
        reset: `kept, unless --identity is said: ${resetOf(operator, "--identity ", again)}`,
        factoryReset: 'kept, unless it is "slipway state reset --factory --identity"',
        recovery: "kept by every rung",
      };
  }
}

function recoveryOf({ via, target }: Operator, again: string): string {
  if (via === "symlink") return `as ${target}, to which it points`;
  const aside = 'what is set aside comes back by "slipway state restore"';
  return `kept, but for previous-generation (the state before), safe-mode (in memory for that boot) and reinstall-fresh (begins ${again}); ${aside}`;
}

/** A link keeps nothing itself: what it points to has a store, or lies in one. */
function resetOf({ via, path, target }: Operator, option: "" | "--identity ", again: string): string {
  const command = `slipway state reset ${option}`;
  return via === "symlink"
    ? `a link keeps nothing itself: "${command}${target}" is for what it points to`
    : `"${command}${path}" begins it anew at the next boot, ${again}`;
}

function updateOf({ cache, exclude, via, seed, merge }: Operator, again: string): string {
  if (cache) return `not cloned (cache: true): a new image begins ${again}`;
  const but = exclude.length === 0 ? "" : ` but for ${exclude.join(", ")}`;
  const cloned = `cloned${but}: the new image gets a copy of its own at its first try`;
  if (via !== "overlay" && seed !== "image") return cloned;
  const both = {
    local: "where both changed a file, the device's stays",
    image: "where both changed a file, the image's takes its place",
    keyed: "where both changed a file, the device's stays, and the account files are merged by name",
    fail: "where both changed a file, the new image does not boot",
  };
  return `${cloned}; ${both[merge]} (merge: ${merge})`;
}

/** What a new store starts with: "empty", "with a copy of what the image has there". */
function seedOf({ seed, generate, via }: Operator): string {
  if (generate !== null) return `with a new ${{ "machine-id": "machine id", uuid: "UUID", random: "random key" }[generate]}`;
  if (via === "overlay") return "as the image has it";
  if (via === "symlink") return "as what it points to";
  return { image: "with a copy of what the image has there", none: "empty", literal: "with the text of its fragment" }[seed];
}

function notesOf({ kind, via, state, path, size, inodes, onFailure }: Operator): string[] {
  const limits = [...(size === null ? [] : [`${size} bytes`]), ...(inodes === null ? [] : [`${inodes} files`])];
  const kept = state !== null && state !== "ephemeral";
  return [
    ...(kind === "file" && via === "bind"
      ? [`${path} is a mount point: it can be written in place, but not be replaced by rename or removed (EBUSY)`]
      : []),
    ...(via === "overlay" ? ["a directory of the image cannot be renamed there (EXDEV): programs copy it instead"] : []),
    ...(limits.length === 0 ? [] : [`it holds at most ${limits.join(" and ")}`]),
    ...(kept && via !== "symlink"
      ? [
          onFailure === "required"
            ? "where its store cannot be used, the slot does not boot (on-failure: required)"
            : "where its store cannot be used, it is in memory for that boot (on-failure: degraded)",
        ]
      : []),
  ];
}

function closedRemedy({ via, origin }: Operator): StateExplanation["remedy"] {
  const instead = via === "mask" ? "take the mask away" : "take the read-only hole away";
  return {
    say: `Nothing can be written there. To change that, ${instead} in ${origin}, and build the image anew.`,
    file: null,
    yaml: null,
  };
}

function explainUnruled(path: string, operators: readonly Operator[]): StateExplanation {
  const memory = MEMORY.find((tree) => isAtOrBelow(path, tree));
  const none = { path, operator: null, store: null, degraded: null, nestedIn: null, fate: null, notes: [] };
  const below = operators.filter((other) => isAtOrBelow(other.path, path));
  const ruledApart = below.map((other) => ({ path: other.path, state: other.state }));
  if (memory !== undefined) {
    const summary = `${memory} is memory: the kernel and the system fill it anew at every boot, and no operator rules this path.`;
    return { ...none, rule: "memory", summary, ruledApart, remedy: null };
  }
  const summary = "No operator rules it: it is as the image has it, and a write fails (EROFS, read-only file system).";
  return { ...none, rule: "immutable", summary, ruledApart, remedy: openRemedy(path) };
}

function openRemedy(path: string): NonNullable<StateExplanation["remedy"]> {
  const fault = targetFault(path, "persistent");
  if (fault !== null) return { say: `${fault}. Keep what changes in /etc or /var.`, file: null, yaml: null };
  return {
    say: "To keep what is written there, add an operator to the fragment of the package that needs it, and build the image anew. A single file is better kept with its directory, since programs replace files by rename.",
    file: "usr/share/slipway/state.d/PACKAGE.yaml (in the image's tree)",
    yaml: `package: PACKAGE\noperators:\n  - path: ${yamlText(path)}\n    state: persistent   # or ephemeral, shared (with a reason:), identity`,
  };
}

function yamlText(path: string): string {
  return /^[A-Za-z0-9/._-]+$/.test(path) ? path : JSON.stringify(path);
}
