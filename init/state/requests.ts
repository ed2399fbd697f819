/** PID 1's side of updater/requests.json: read, carried out as far as it is not about generations, and forgotten. */
import { LAYOUT, LONGEST_TEXT } from "../../state-ops/layout.ts";
import type { RequestPlan } from "../../state-ops/request-plan.ts";
import { NO_REQUESTS, parseRequests, REQUESTS, type StateRequests } from "../../state-ops/requests.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { exists, type OnProgress, type OnUnreadable, readText, warningOf, withDirectory } from "./beneath.ts";
import { emptyTrash, moveToTrash } from "./remove-tree.ts";

export interface FoundRequests {
  requests: StateRequests;
  /** There is a file to be forgotten when everything was done. */
  found: boolean;
  warnings: string[];
}

/**
 * What the running system asked for. What is anything but its own text is moved to the trash, with a warning: a request
 * that nobody can read must not keep the machine from booting, nor be asked again at every boot. Unless `onUnreadable` throws.
 */
export function readRequests(kernel: Kernel, data: Descriptor, onUnreadable: OnUnreadable = () => {}): FoundRequests {
  const none = { requests: NO_REQUESTS, found: false, warnings: [] };
  if (!exists(kernel, data, REQUESTS.directory)) return none;
  try {
    return withDirectory(kernel, data, REQUESTS.directory, (updater) => {
      if (!exists(kernel, updater, REQUESTS.file)) return none;
      const text = readText(kernel, updater, REQUESTS.file, LONGEST_TEXT, onUnreadable);
      const read = text === null ? `it is no regular file of at most ${LONGEST_TEXT} bytes` : parseRequestsText(text);
      if (typeof read !== "string") return { requests: read, found: true, warnings: [] };
      return { ...none, warnings: [droppedRequests(read), ...discard(kernel, data, updater, REQUESTS.file)] };
    });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    onUnreadable(error);
    return { ...none, warnings: [droppedRequests(error.message), ...discard(kernel, data, data, REQUESTS.directory)] };
  }
}

/** The requests, or what is wrong with their text. */
export function parseRequestsText(text: string): StateRequests | string {
  try {
    return parseRequests(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The warning that requests were dropped. */
export function droppedRequests(reason: string): string {
  return `${REQUESTS.directory}/${REQUESTS.file} on the data filesystem asks for nothing that is known, and was dropped: ${reason.slice(0, 200)}`;
}

function discard(kernel: Kernel, data: Descriptor, directory: Descriptor, name: string): string[] {
  const move = () => {
    moveToTrash(kernel, data, directory, name);
    kernel.sync(directory);
  };
  return warningOf(move, (message) => `${name} on the data filesystem could not be moved to the trash: ${message}`);
}

/** Everything was done and is durable: the file goes. A power cut before that does all of it again. */
export function forgetRequests(kernel: Kernel, data: Descriptor): string[] {
  const remove = () =>
    withDirectory(kernel, data, REQUESTS.directory, (updater) => {
      kernel.remove(REQUESTS.file, { at: updater });
      kernel.sync(updater);
    });
  const file = `${REQUESTS.directory}/${REQUESTS.file}`;
  return warningOf(remove, (message) => `${file} could not be removed, so the next boot does it again: ${message}`);
}

/**
 * Stores in shared/ that begin anew are renamed into the trash, and are gone for good when this returns. What cannot be
 * moved is reported: it goes on as it is.
 */
export function resetShared(kernel: Kernel, data: Descriptor, plan: RequestPlan["shared"], onProgress: OnProgress): string[] {
  const goes = (name: string) => ("remove" in plan ? plan.remove.includes(name) : !plan.keep.includes(name));
  if ("remove" in plan && plan.remove.length === 0) return [];
  const warnings = withDirectory(kernel, data, LAYOUT.shared, (shared) => {
    const names = kernel.readDirectory(shared).map(({ name }) => name);
    const going = names.filter((name) => goes(new TextDecoder().decode(name)));
    const failed = going.flatMap((name) =>
      warningOf(
        () => moveToTrash(kernel, data, shared, name),
        (message) => `${LAYOUT.shared}/${new TextDecoder().decode(name)} could not be reset: ${message}`,
      ),
    );
    if (going.length > 0) kernel.sync(shared);
    return failed;
  });
  return [...warnings, ...emptyTrash(kernel, data, onProgress)];
}
