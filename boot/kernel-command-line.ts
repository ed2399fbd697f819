/**
 * The kernel's command line, as far as PID 1 obeys it. Words that belong to the kernel (`quiet`, which the kernel's log obeys
 * for us; `panic=`, which preinit respects too) or to the system are left alone.
 */
import { isHex } from "../state-ops/plain-text.ts";
import { RUNGS, type Rung } from "../state-ops/recovery.ts";
import { isNetworkWord, type NetworkWords, noNetworkWords, readNetworkWords } from "./network/ip-words.ts";

/** Where `rd.break=` can stop: before the named step is done. */
const BREAK_STAGES = ["modules", "devices", "record", "proof", "image", "state", "handover"] as const;
export type BreakStage = (typeof BREAK_STAGES)[number];

export interface CommandLine {
  /** The next init, resolved in the new root; null: the usual places. */
  init: string | null;
  /** `rd.break` alone stops before the handover. */
  breakAt: BreakStage | null;
  shell: boolean;
  /** Which slot is asked for, by its name or its bootname. `slipway.slot=` wins over `rauc.slot=`. */
  slot: { name: string; from: "slipway.slot" | "rauc.slot" | "bootloader/partition" } | null;
  /** What the bootloader found in its store: boot/stores/nonce.ts. */
  nonce: string | null;
  /** `slipway.kexec=NONCE`: PID 1 started this kernel itself, in the attempt that has this nonce. */
  kexec: string | null;
  /** `slipway.data=adopt`: another data filesystem than the boot record knows is used, and known from then on. */
  adoptData: boolean;
  /** `slipway.recover`: what of the ladder keeps the state (rungsAsked of ladder.ts); `slipway.recover=RUNG`: that one. Null: nobody asks. */
  recover: Rung | "ladder" | null;
  /** What a recovery's network is to be like. It chooses no program, so that a locked command line may say it as well. */
  network: NetworkWords;
  /** What the kernel would have passed to the next init: run levels, and every word after `--`. */
  initArguments: string[];
  /** Everything that was ignored or read in a way somebody may not expect, one sentence each. */
  warnings: string[];
}

interface Word {
  name: string;
  /** Null: no equals sign. */
  value: string | null;
}

function isBlank(character: string): boolean {
  return " \t\n\v\f\r".includes(character);
}

/**
 * Words as the kernel's next_arg() splits them (lib/cmdline.c): double quotes keep blanks together, around a whole word or
 * a value; there is no escape. `--` is a word like others here.
 */
function splitWords(text: string): Word[] {
  const words: Word[] = [];
  let at = 0;
  while (at < text.length) {
    if (isBlank(text.charAt(at))) {
      at++;
      continue;
    }
    const quoted = text[at] === '"';
    if (quoted) at++;
    const start = at;
    let inQuotes = quoted;
    while (at < text.length && (inQuotes || !isBlank(text.charAt(at)))) {
      if (text[at] === '"') inQuotes = !inQuotes;
      at++;
    }
    const raw = text.slice(start, at);
    const equals = raw.indexOf("=", 1);
    const name = equals < 0 ? raw : raw.slice(0, equals);
    const value = equals < 0 ? null : raw.slice(equals + 1);
    if (value === null) words.push({ name: quoted ? name.replace(/"$/, "") : name, value });
    else if (value.startsWith('"')) words.push({ name, value: value.slice(1).replace(/"$/, "") });
    else words.push({ name, value: quoted ? value.replace(/"$/, "") : value });
  }
  return words;
}

function print(word: Word): string {
  const text = word.value === null ? word.name : `${word.name}=${word.value}`;
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

/** Bare words that the kernel hands on and inits understand as a run level. */
const runLevels = new Set(["single", "emergency", "rescue", "s", "S", "1", "2", "3", "4", "5"]);

/** Words that say which root to mount and how: the control file's business. */
const rootWords = new Set(["root", "rootflags", "rootfstype", "rootwait", "rootdelay", "roothash"]);

/** Words that PID 1 obeys and that are said once. */
const single = new Set([
  "init",
  "rd.break",
  "rd.shell",
  "slipway.slot",
  "slipway.data",
  "slipway.recover",
  "slipway.nonce",
  "slipway.kexec",
  "rauc.slot",
]);

/** Reads `text`, what /proc/cmdline holds. Never fails: what cannot be obeyed is in `warnings`. */
export function parseCommandLine(text: string): CommandLine {
  const words = splitWords(text);
  const dashes = words.findIndex((word) => word.name === "--" && word.value === null);
  const before = dashes < 0 ? words : words.slice(0, dashes);
  const after = dashes < 0 ? [] : words.slice(dashes + 1);
  const line: CommandLine = {
    init: null,
    breakAt: null,
    shell: false,
    slot: null,
    nonce: null,
    kexec: null,
    adoptData: false,
    recover: null,
    network: noNetworkWords(),
    initArguments: [],
    warnings: [],
  };
  const seen = new Map<string, Word>();
  const about = before.filter(({ name }) => isNetworkWord(name));
  line.network = readNetworkWords(about, (word, why) => line.warnings.push(`${print(word)} is ignored: ${why}`));
  for (const word of before) {
    const former = seen.get(word.name);
    if (single.has(word.name)) {
      if (former && former.value !== word.value) line.warnings.push(`${print(word)} overrules ${print(former)} before it`);
      seen.set(word.name, word);
    } else if (!isNetworkWord(word.name)) readPlainWord(line, word);
    // The kernel forgets arguments that stand before init=: old loaders put words of their own there.
    if (word.name === "init" && word.value !== null) line.initArguments = [];
  }
  for (const word of seen.values()) readSingleWord(line, word);
  line.initArguments.push(...after.map((word) => (word.value === null ? word.name : `${word.name}=${word.value}`)));
  return line;
}

function readPlainWord(line: CommandLine, word: Word): void {
  const { name, value } = word;
  if (name === "rw" && value === null) {
    line.warnings.push(`"rw" is ignored: a slot is only ever mounted read-only`);
  } else if (rootWords.has(name)) {
    line.warnings.push(`${print(word)} is ignored: the control file says where the slots are`);
  } else if (name.startsWith("slipway.") || name.startsWith("rd.")) {
    line.warnings.push(`${print(word)} is unknown to slipway and ignored`);
  } else if (value === null && runLevels.has(name)) line.initArguments.push(name);
}

function readSingleWord(line: CommandLine, word: Word): void {
  const { name, value } = word;
  const ignore = (why: string) => line.warnings.push(`${print(word)} is ignored: ${why}`);
  if (name === "rd.break") {
    const stage = value === null ? "handover" : BREAK_STAGES.find((known) => known === value);
    if (stage) line.breakAt = stage;
    else ignore(`known stages are ${BREAK_STAGES.join(", ")}`);
  } else if (name === "rd.shell") {
    if (value === null || value === "1") line.shell = true;
    else if (value !== "0") ignore("write rd.shell, rd.shell=1 or rd.shell=0");
  } else if (name === "slipway.recover") {
    const rung = value === null ? "ladder" : RUNGS.find((known) => known === value);
    if (rung) line.recover = rung;
    else ignore(`write slipway.recover alone, or with one of ${RUNGS.join(", ")}`);
  } else if (value === null || value === "") {
    ignore("it has no value");
  } else if (name === "init") {
    if (value.startsWith("/")) line.init = value;
    else ignore("init= takes an absolute path in the new root");
  } else if (name === "slipway.data") {
    if (value === "adopt") line.adoptData = true;
    else ignore("write slipway.data=adopt");
  } else if (name === "slipway.nonce") {
    if (isHex(value, 16)) line.nonce = value;
    else ignore("it is not 16 hex digits");
  } else if (name === "slipway.kexec") line.kexec = value;
  else if (name === "slipway.slot") {
    if (line.slot && line.slot.name !== value) line.warnings.push(`${print(word)} overrules rauc.slot=${line.slot.name}`);
    line.slot = { name: value, from: "slipway.slot" };
  } else if (name === "rauc.slot") {
    if (!line.slot) line.slot = { name: value, from: "rauc.slot" };
    else if (line.slot.name !== value) ignore(`slipway.slot=${line.slot.name} overrules it`);
  }
}

/**
 * The words that are left where the control file says `command-line: locked`: whoever can edit the command line chooses no
 * program, no shell and no state. Each word that is refused is in `warnings`.
 */
export function applyLock(line: CommandLine, locked: boolean): CommandLine {
  if (!locked) return line;
  const refused = [
    ...(line.init === null ? [] : [`init=${line.init}`]),
    ...(line.breakAt === null ? [] : [`rd.break=${line.breakAt}`]),
    ...(line.shell ? ["rd.shell"] : []),
    ...(line.adoptData ? ["slipway.data=adopt"] : []),
    ...line.initArguments,
  ];
  const warnings = refused.map((word) => `${JSON.stringify(word)} is refused: the control file says command-line: locked`);
  const nothing = { init: null, breakAt: null, shell: false, adoptData: false, initArguments: [] };
  return { ...line, ...nothing, warnings: [...line.warnings, ...warnings] };
}

/**
 * What is left of {@link CommandLine.recover} where the control file allows only the rungs of `ladder`. It is no matter of the
 * lock: a recovery does nothing that the machine would not do by itself.
 */
export function applyLadder(line: CommandLine, ladder: readonly Rung[]): CommandLine {
  const { recover } = line;
  if (recover === null || (recover === "ladder" ? ladder.length > 0 : ladder.includes(recover))) return line;
  const word = recover === "ladder" ? "slipway.recover" : `slipway.recover=${recover}`;
  const allowed = ladder.length === 0 ? "allows no recovery" : `allows ${ladder.join(", ")}`;
  return {
    ...line,
    recover: null,
    warnings: [...line.warnings, `${JSON.stringify(word)} is refused: the control file ${allowed}`],
  };
}
