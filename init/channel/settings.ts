import { parseUpdateSettings, type UpdateSettings } from "../../boot/channel/update-settings.ts";
import { type InstallWindow, isInside, windowText } from "../../boot/channel/window.ts";
import { parseJson } from "../../boot/image/envelope.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { readOwned } from "../network/identity.ts";

/** Where a machine says where its updates come from. */
export const UPDATE_FILE = "/etc/slipway/update.json";

/** The machine's settings. Throws BadInput for a file that is missing or not sound. */
export function readUpdateSettings(kernel: Kernel, file = UPDATE_FILE): UpdateSettings {
  let bytes: Uint8Array;
  try {
    bytes = readOwned(kernel, file, 0o022, "only its owner may write it: chmod go-w");
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const remedy = "give a SOURCE, or say there where updates come from (slipway check --help)";
    throw new BadInput(`no SOURCE is given, and ${file} cannot be read (${error.code}); ${remedy}`);
  }
  return parseUpdateSettings(file, parseJson(file, bytes));
}

/** Throws Refusal outside of the window, by the machine's own time zone. */
export function refuseOutside(kernel: Kernel, window: InstallWindow | null): void {
  if (window === null) return;
  const now = new Date(kernel.now().unixMs);
  const minute = now.getHours() * 60 + now.getMinutes();
  if (isInside(window, minute)) return;
  throw new Refusal(
    `it is ${windowText({ from: minute, to: 0 }).slice(0, 5)}, and installs may begin from ${windowText(window).replace("-", " to ")} only; wait, or give another --window`,
  );
}
