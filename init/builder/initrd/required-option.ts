import { BadInput } from "../../../state-ops/outcome.ts";
import { type OptionValues, text } from "../../commands/verb.ts";

/** The value of an option that `slipway VERB` cannot do without. */
export function requiredOption(verb: string, values: OptionValues, name: string): string {
  const value = text(values, name);
  if (value === undefined) throw new BadInput(`slipway ${verb} needs --${name} (see slipway ${verb} --help)`);
  return value;
}
