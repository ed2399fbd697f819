/** How install and repair are told: progress while they go on, and what came of it. */
import { amountsText, bytesOf, type Planned, type PlannedBytes } from "../../boot/converge/amounts-text.ts";
import type { Donor } from "../converge/compare.ts";
import { outputOf, type Telling } from "../converge/tell-progress.ts";
import { type Answer, finish, print } from "./answer.ts";
import type { Places } from "./machine.ts";
import { requestReboot } from "./systemctl.ts";

/** An answer with the image that it is about and where its bytes came from, or would. */
export interface ConvergeAnswer extends Answer {
  image: { version: string; imageId: string; size: number } | null;
  bytes: PlannedBytes | null;
  networkBytes: number;
}

/** How progress is told to whoever started this. */
export function tellingOf(json: boolean): Telling {
  if (json) return "json";
  return process.stderr.isTTY ? "bar" : "lines";
}

/** What `planned` says, in bytes and in lines. */
export function amountsOf(planned: Planned, donors: readonly Donor[], slot: string): { bytes: PlannedBytes; lines: string[] } {
  const bytes = bytesOf(
    planned,
    donors.map(({ name }) => name),
  );
  return { bytes, lines: amountsText(bytes, slot) };
}

/** Prints the answer, as the last of the lines of JSON where those were asked for, and reboots where that was. */
export function finishConverge(answer: ConvergeAnswer, values: { json: boolean; reboot: boolean }, places: Places): number {
  if (!values.json) return finish(answer, values, places);
  printConverged(values.reboot ? { ...answer, next: "wait for the reboot." } : answer, true);
  return values.reboot ? finishQuietly(answer, places) : 0;
}

/** Prints it: as sentences, or as the last of the lines of JSON. */
export function printConverged(answer: ConvergeAnswer, json: boolean): void {
  if (json) outputOf("json").line(JSON.stringify({ schema: 1, type: "result", ...answer }));
  else print(answer, false);
}

function finishQuietly(answer: Answer, places: Places): number {
  if (requestReboot(places.systemctl)) return 0;
  throw new Error(`the boot record is changed, but systemd did not take the reboot; ${answer.next}`);
}
