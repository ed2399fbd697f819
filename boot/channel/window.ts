/** The hours in which an unattended install may begin: "02:00-04:00", in the machine's own time. */
import { BadInput } from "../../state-ops/outcome.ts";

export interface InstallWindow {
  /** Minutes since midnight. `from` is in it, `to` is not; where it is not after `from`, the window ends the next day. */
  from: number;
  to: number;
}

/** Reads "HH:MM-HH:MM"; `what` names it: "--window". Throws BadInput. */
export function parseWindow(what: string, text: string): InstallWindow {
  const [, ...parts] = /^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]|24):([0-5][0-9])$/.exec(text) ?? [];
  const [fromHour, fromMinute, toHour, toMinute] = parts.map(Number);
  if (fromHour === undefined || fromMinute === undefined || toHour === undefined || toMinute === undefined) {
    throw new BadInput(`${what} must be a window of hours and minutes, "02:00-04:00", is ${JSON.stringify(text)}`);
  }
  const window = { from: fromHour * 60 + fromMinute, to: toHour * 60 + toMinute };
  if (window.to > 24 * 60) throw new BadInput(`${what}: ${text} ends after 24:00`);
  if (window.from === window.to) throw new BadInput(`${what}: ${text} is an empty window; leave it out for any time`);
  return window;
}

/** Whether `minute` of the day is in the window. */
export function isInside({ from, to }: InstallWindow, minute: number): boolean {
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

/** "02:00-04:00" */
export function windowText({ from, to }: InstallWindow): string {
  const clock = (minutes: number) =>
    `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
  return `${clock(from)}-${clock(to)}`;
}
