import type { LastBoot } from "./last-boots.ts";
import type { LoaderChoiceFacts, StoreFacts } from "./loader-facts.ts";
import { askedText, recoveryLines } from "./status-recovery.ts";
import type { SlotFacts, Status } from "./status-shape.ts";
import { table, timeText } from "./text.ts";

type Paint = (text: string, colour: "bold" | "green" | "yellow" | "red" | "dim") => string;

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

/** How many of the 32 attempts are shown unless all are asked for. */
const SHOWN = 8;

function remarks(slot: SlotFacts): string {
  // The state says the rest.
  const reason = slot.state === "empty" ? "" : (slot.reason?.replace(/^damaged: /, "") ?? "");
  return [slot.running ? "runs now" : "", slot.next ? "boots next" : "", reason].filter((word) => word !== "").join(", ");
}

function slotTable(status: Status, paint: Paint): string[] {
  const colours = { committed: "green", trial: "yellow", empty: "dim", damaged: "red" } as const;
  const rows = status.slots.map((slot) => [
    slot.name,
    slot.file ?? slot.device ?? "missing",
    slot.imageId?.slice(0, 12) ?? "-",
    slot.state,
    `${slot.tries} of ${slot.triesOf}`,
    String(slot.priority),
    remarks(slot),
  ]);
  return table([["SLOT", "DEVICE", "IMAGE", "STATE", "TRIES", "PRIORITY", ""], ...rows], (text, row, column) => {
    const slot = status.slots[row - 1];
    if (!slot) return paint(text, "bold");
    if (column === 3) return paint(text, colours[slot.state]);
    return column === 6 && slot.reason !== null ? paint(text, "red") : text;
  });
}

function bootTable(boots: LastBoot[], paint: Paint): string[] {
  const rows = boots.map((boot) => [
    `  ${boot.attempt}`,
    timeText(boot.startedUnixMs),
    boot.slot,
    boot.trial ? "trial" : "committed",
    boot.ended,
  ]);
  return table(rows, (text, row, column) => {
    const outcome = boots[row]?.outcome;
    if (column === 4 && (outcome === "failed" || outcome === "unclean")) return paint(text, "red");
    return column === 1 ? paint(text, "dim") : text;
  });
}

function headline(status: Status): string {
  const { running, slots, recovery } = status;
  const slot = slots.find((candidate) => candidate.running);
  const mode = recovery.safeMode === null ? "" : " in SAFE MODE";
  const standing = slot?.state === "committed" ? "committed" : "on trial";
  const version = slot?.version ? `, ${slot.version}` : "";
  return `Slot ${running.slot} runs${mode}, ${standing}${version} (attempt ${running.attempt}: ${running.why}).`;
}

function recordLine({ record }: Status): string {
  const unclean =
    record.uncleanEnds === 0 ? "" : `, ${record.uncleanEnds} unclean ${record.uncleanEnds === 1 ? "end" : "ends"} in a row`;
  const where = record.device === null ? "" : `, ${record.device}`;
  const writable = record.writable ? "" : ", CANNOT BE WRITTEN";
  return `${record.condition}${where}${writable}${unclean}${record.reason === null ? "" : ` (${record.reason})`}`;
}

function nextBootText({ next, recovery }: Status): string {
  if (recovery.asked !== null) return `begins with ${askedText(recovery.asked)}`;
  if (next.slot !== null) return `slot ${next.slot}: ${next.why}`;
  return recovery.ladder.length === 0 ? next.why : `${next.why}: a recovery begins (${recovery.ladder.join(", ")})`;
}

/** Nothing where slipway chooses, and the boot record is the only store. */
function loaderLines({ bootloader, trust }: Status): string[] {
  const { chooser, named, nonce, store, merged } = bootloader;
  const { name, entry } = trust.loader;
  if (chooser === "slipway" && store === null) return [];
  const said = named === null ? "it named no slot at this boot" : `it named slot ${named} at this boot`;
  const chose = chooser === "loader" ? `the bootloader chooses the slot: ${said}` : "slipway chooses the slot";
  return [
    ...(name === null ? [] : [`${name}${entry === null ? "" : `, which started ${entry}`}`]),
    chose,
    ...(store === null ? [] : [storeLine(store, nonce), ...store.differences]),
    ...merged,
  ];
}

const HEARD = {
  same: ", which the loader reads",
  other: ", and THE LOADER READS ANOTHER STORE",
  none: "; whether the loader reads it is not known: it passes no slipway.nonce= on",
  unknown: "",
} as const;

function storeLine({ kind, place, condition, reason, summary }: StoreFacts, nonce: LoaderChoiceFacts["nonce"]): string {
  const says = summary === null ? "" : `: ${summary}`;
  const state = condition === "valid" ? "" : `, ${condition}`;
  return `${kind} in ${place}${state}${reason === null ? "" : ` (${reason})`}${HEARD[nonce]}${says}`;
}

function factOf(name: string, text: string | null): [string, string][] {
  return text === null ? [] : [[name, text]];
}

/** The status as people read it. `colour`: with escape sequences for a terminal. `all`: every attempt of the journal. */
export function statusText(status: Status, { colour, all }: { colour: boolean; all: boolean }): string {
  const paint: Paint = (text, name) => (colour && text !== "" ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text);
  const boots = all ? status.boots : status.boots.slice(0, SHOWN);
  const more = status.boots.length - boots.length;
  const { trust } = status;
  const facts: [string, string][] = [
    ["Next boot", nextBootText(status)],
    ["Image", trust.summary],
    ...factOf("Floors", trust.floors === null ? null : `boot ${trust.floors.boot}, install ${trust.floors.install}`),
    ...trust.quarantined.map(({ imageId, attempt, reason }): [string, string] => [
      "Quarantined",
      `image ${imageId.slice(0, 12)}, in attempt ${attempt}: ${reason}`,
    ]),
    ["Loader", trust.loader.summary],
    ...loaderLines(status).map((line): [string, string] => ["", line]),
    ["Boot record", recordLine(status)],
    ["Watchdog", status.watchdog.summary],
    ...recoveryLines(status.recovery).map((line, index): [string, string] => [index === 0 ? "Recovery" : "", line]),
    ...factOf("State", status.generation === null ? null : `generation ${status.generation}`),
    ...status.stateNotes.map((note): [string, string] => ["", note]),
    ...status.pinned.map(({ generation, reason, attempt }): [string, string] => [
      "Pinned",
      `generation ${generation}, in attempt ${attempt}: ${reason}`,
    ]),
    ...status.pending.map((line): [string, string] => ["Pending", line]),
    ...factOf("Pending", status.recovery.asked === null ? null : askedText(status.recovery.asked)),
    ...factOf("Pending", status.pendingTrial === null ? null : `slot ${status.pendingTrial} waits for its trial`),
    ...factOf("Rollback", status.rollback?.story ?? null),
  ];
  const problems = [...status.degraded.map(({ path, reason }) => `degraded: ${path} (${reason})`), ...status.warnings];
  return [
    headline(status),
    "",
    ...slotTable(status, paint),
    "",
    ...table(facts, (text, _row, column) => (column === 0 ? paint(text, "bold") : text)),
    ...(problems.length === 0 ? [] : ["", paint("Warnings", "bold"), ...problems.map((text) => paint(`  ${text}`, "yellow"))]),
    "",
    paint("Last boots", "bold"),
    ...(boots.length === 0 ? ["  none known"] : bootTable(boots, paint)),
    ...(more > 0 ? [`  and ${more} before; see slipway status --all`] : []),
    "",
    `${paint("Next:", "bold")} ${status.nextStep}`,
  ].join("\n");
}
