/**
 * What the running system asks the next boot to do with state: `updater/requests.json` on the data filesystem, replaced
 * whole. PID 1 carries it out before it lays state, makes that durable, then removes the file; doing it twice changes
 * nothing more.
 */
import { canonicalJson } from "./canonical-json.ts";
import { Fields } from "./fields.ts";
import { generationName } from "./layout.ts";
import { idFault, slotNameFault } from "./operator-rules.ts";
import { BadInput } from "./outcome.ts";

/** Relative to the data filesystem's root. */
export const REQUESTS = { directory: "updater", file: "requests.json" } as const;

export interface StateRequests {
  schema: 1;
  /**
   * Stores to begin anew, in whatever slot boots next. `stores`: these ids (an id that the image does not declare is left
   * alone). `factory`: every generation of every slot and all shared stores; identity stores only where `identity` says so.
   */
  reset: { what: "stores"; ids: string[] } | { what: "factory"; identity: boolean } | null;
  /** The next boot of `slot` begins with a clone of `generation`, and its own is pinned. Any other slot drops it. */
  carry: { slot: string; generation: number } | null;
}

export const NO_REQUESTS: StateRequests = { schema: 1, reset: null, carry: null };

/** The text of the file. */
export function formatRequests(requests: StateRequests): string {
  return canonicalJson(requests);
}

/** Reads the file. Throws BadInput naming what is anything but what {@link formatRequests} writes. */
export function parseRequests(text: string): StateRequests {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadInput(`${REQUESTS.file} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const fields = new Fields(value, "", ["schema", "reset", "carry"]);
  return {
    schema: fields.oneOf("schema", [1]),
    reset: fields.nullable("reset", () => reset(fields)),
    carry: fields.nullable("carry", () => {
      const carry = fields.object("carry", ["slot", "generation"]);
      const generation = carry.integer("generation", 1, Number.MAX_SAFE_INTEGER);
      return { slot: carry.sound("slot", carry.text("slot"), slotNameFault), generation };
    }),
  };
}

function reset(fields: Fields): StateRequests["reset"] {
  const value = fields.value("reset");
  const factory = typeof value === "object" && value !== null && "what" in value && value.what === "factory";
  if (factory) {
    const entry = fields.object("reset", ["what", "identity"]);
    return { what: "factory", identity: entry.oneOf("identity", [true, false]) };
  }
  const entry = fields.object("reset", ["what", "ids"]);
  const ids = entry
    .list("ids")
    .map((id) => (typeof id === "string" ? entry.sound("ids", id, idFault) : entry.fail("ids", "a list of ids")));
  return { what: entry.oneOf("what", ["stores"]), ids };
}

/** The requests as lines for people. */
export function requestLines({ reset, carry }: StateRequests): string[] {
  return [
    ...(reset?.what === "stores" ? [`the next boot begins these stores anew: ${reset.ids.join(", ")}`] : []),
    ...(reset?.what === "factory"
      ? [`the next boot is a factory reset${reset.identity ? ", identity included" : "; identity is kept"}`]
      : []),
    ...(carry === null
      ? []
      : [`the next boot of slot ${carry.slot} begins with the state of generation ${generationName(carry.generation)}`]),
  ];
}
