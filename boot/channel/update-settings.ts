import { Fields } from "../../state-ops/fields.ts";
import { labelFault } from "../image/seal.ts";
import { type InstallWindow, parseWindow } from "./window.ts";

/** Where a machine's updates come from when nobody is there to say it. */
export interface UpdateSettings {
  /** A channel: its URL or directory. What the server asks for is in sources.json. */
  source: string;
  /** The channel's name: another one is not taken for it, even where its signatures are right. */
  channel: string;
  /** When an install may begin; null: at any time. */
  window: InstallWindow | null;
}

/**
 * The settings in a file:
 *
 *   { "schema": 1, "source": "https://updates.example/gateway/stable", "channel": "stable", "window": "02:00-04:00" }
 *
 * The window may be left out. Throws BadInput.
 */
export function parseUpdateSettings(what: string, value: unknown): UpdateSettings {
  const fields = new Fields(value, what, ["schema", "source", "channel"], ["window"]);
  fields.oneOf("schema", [1]);
  return {
    source: fields.text("source"),
    channel: fields.sound("channel", fields.text("channel"), labelFault),
    window: fields.has("window") ? parseWindow(`${what}.window`, fields.text("window")) : null,
  };
}
