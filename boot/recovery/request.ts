import { RUNGS, type Rung } from "../../state-ops/recovery.ts";

/** Longest text that a request's file is read for, bytes. */
export const LONGEST_REQUEST = 256;
const SHOWN = 60;

/** What the text of a request's file asks for; `doubt` says why it is not what somebody may have meant. */
export function readRequest(text: string, ladder: readonly Rung[]): { asks: Rung | "ladder"; doubt: string | null } {
  const word = text.trim();
  if (word === "") return { asks: "ladder", doubt: null };
  const rung = RUNGS.find((known) => known === word);
  if (rung !== undefined && ladder.includes(rung)) return { asks: rung, doubt: null };
  const seen = JSON.stringify(word.length > SHOWN ? `${word.slice(0, SHOWN)}…` : word);
  const why = rung === undefined ? "which is no rung" : "which the control file does not allow";
  return { asks: "ladder", doubt: `says ${seen}, ${why}: the ladder begins at its first; allowed are ${ladder.join(", ")}` };
}
