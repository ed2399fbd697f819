import type { SlotName } from "../../boot/record/record.ts";
import type { Places } from "./machine.ts";
import { requestReboot } from "./systemctl.ts";

/** What a command that changes something has to say. */
export interface CommandAnswer {
  /** Whether anything is different from before. */
  changed: boolean;
  /** What changed, a sentence each. */
  did: string[];
  /** What does not stand in the way but should be known. */
  warnings: string[];
  /** What to do next, one sentence. */
  next: string;
}

/** What a command about a slot has to say. */
export interface Answer extends CommandAnswer {
  slot: SlotName;
}

/** Prints it: as sentences, or as one line of JSON. */
export function print(answer: CommandAnswer, json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ schema: 1, ...answer }));
    return;
  }
  for (const line of answer.did) console.log(line);
  for (const warning of answer.warnings) console.error(`Warning: ${warning}`);
  console.log(`Next: ${answer.next}`);
}

/** Prints the answer, and reboots where that was asked for. Returns the exit code. */
export function finish(answer: Answer, values: { json: boolean; reboot: boolean }, places: Places): number {
  print(values.reboot ? { ...answer, next: "wait for the reboot." } : answer, values.json);
  if (!values.reboot || requestReboot(places.systemctl)) return 0;
  throw new Error(`the boot record is changed, but systemd did not take the reboot; ${answer.next}`);
}
