/** What the options of slipway publish ask for. */
import type { Publication } from "../../../boot/channel/publication.ts";
import { labelFault } from "../../../boot/image/seal.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { type OptionValues, text, texts } from "../../commands/verb.ts";

/** All but the images. @throws BadInput */
export function readOrders(values: OptionValues): Omit<Publication, "images" | "system"> {
  const channel = text(values, "channel") ?? null;
  const fault = channel === null ? null : labelFault(channel);
  if (fault !== null) throw new BadInput(`--channel ${channel} ${fault}`);
  return {
    channel,
    withdraw: texts(values, "withdraw"),
    keep: wholeNumber(values, "keep", 1),
    rollout: byVersion(values, "rollout", (what, share) => {
      if (!/^([0-9]{1,2}|100)$/.test(share)) throw new BadInput(`${what}: a share is a whole number of percent from 0 to 100`);
      return Number(share);
    }),
    minimumVersion: byVersion(values, "minimum-version", (what, minimum) => {
      const wrong = minimum === "" ? null : labelFault(minimum);
      if (wrong !== null) throw new BadInput(`${what}: the version ${wrong}`);
      return minimum === "" ? null : minimum;
    }),
    serial: wholeNumber(values, "serial", 1),
  };
}

function byVersion<Value>(values: OptionValues, name: string, read: (what: string, value: string) => Value): Map<string, Value> {
  const found = new Map<string, Value>();
  for (const given of texts(values, name)) {
    const what = `--${name} ${given}`;
    const [, version, value] = /^([^=]+)=(.*)$/s.exec(given) ?? [];
    if (version === undefined || value === undefined) throw new BadInput(`${what} is not VERSION=VALUE`);
    if (found.has(version)) throw new BadInput(`--${name} is given twice for ${version}`);
    found.set(version, read(what, value));
  }
  return found;
}

function wholeNumber(values: OptionValues, name: string, least: number): number | null {
  const given = text(values, name);
  if (given === undefined) return null;
  const number = /^[0-9]+$/.test(given) ? Number(given) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < least) {
    throw new BadInput(`--${name} ${given} is no whole number from ${least} to ${Number.MAX_SAFE_INTEGER}`);
  }
  return number;
}
