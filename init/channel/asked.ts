import { type InstallWindow, parseWindow } from "../../boot/channel/window.ts";
import { type OptionValues, text } from "../commands/verb.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { PLAIN, type SourceOptions, sourceOptions } from "../network/options.ts";
import { isUrl } from "./place.ts";
import { readUpdateSettings } from "./settings.ts";

/** Which source is asked, and how. */
export interface Asked {
  source: string;
  /** The name that it must have where it is a channel; null: any. */
  channel: string | null;
  /** When an install may begin; null: at any time. */
  window: InstallWindow | null;
  options: SourceOptions;
}

/** The source that the command line names, or else the machine's own. Throws BadInput. */
export function askedOf(kernel: Kernel, values: OptionValues, named: string | undefined): Asked {
  const settings = named === undefined ? readUpdateSettings(kernel) : null;
  const source = named ?? settings?.source ?? "";
  const window = text(values, "window");
  return {
    source,
    channel: text(values, "channel") ?? settings?.channel ?? null,
    window: window === undefined ? (settings?.window ?? null) : parseWindow("--window", window),
    options: isUrl(source) ? sourceOptions(kernel, values, source) : PLAIN,
  };
}
