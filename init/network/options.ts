import { parseJson } from "../../boot/image/envelope.ts";
import { optionsFault, PLAIN, parseSourceSettings, type SourceOptions } from "../../boot/network/source-settings.ts";
import { sourceUrl } from "../../boot/network/source-url.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { type OptionValues, text, texts, type Verb } from "../commands/verb.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { readOwned } from "./identity.ts";

export { PLAIN, type SourceOptions } from "../../boot/network/source-settings.ts";

/** Where a machine keeps the options of its sources, by origin: root's alone, since it names who is believed. */
export const SETTINGS_FILE = "/etc/slipway/sources.json";

/** The options of every verb that reads from the network, and their help. */
export const SOURCE_FLAGS: Verb["options"] = {
  ca: { type: "string" },
  pin: { type: "string", multiple: true },
  certificate: { type: "string" },
  "private-key": { type: "string" },
  "token-file": { type: "string" },
  proxy: { type: "string" },
};

export const SOURCE_HELP = `
Options of sources over the network, all but --proxy for https: only, before those that ${SETTINGS_FILE} has for the same server:
  --ca FILE           PEM file with the only authorities that may vouch for the server (default: the system's)
  --pin PIN           sha256//BASE64 of the server's public key, as curl writes it; once more for each key that may be.
                      Checked on top of the certificate: for a self-signed one give that as --ca
  --certificate FILE, --private-key FILE
                      PEM files of the certificate to show to the server, and its key without a passphrase
  --token-file FILE   file with a bearer token, readable by its owner and group only
  --proxy http://HOST:PORT
                      HTTP proxy that it is asked through (default: none, whatever the environment says)
In that file: { "schema": 1, "sources": [ { "origin": "https://HOST", "ca": FILE, "pins": [PIN, …], "certificate": FILE,
"privateKey": FILE, "tokenFile": FILE, "proxy": "http://HOST:PORT" }, … ] }.`.trim();

/**
 * What `url` needs: each option given on the command line, else as the settings file has it for the URL's origin. Token and
 * client certificate go to that origin only, wherever it redirects to.
 *
 * @throws BadInput for options that do not go together, a settings file that is not sound, and a URL that is none
 */
export function sourceOptions(kernel: Kernel, values: OptionValues, url: string, file = SETTINGS_FILE): SourceOptions {
  const { origin, secure, name } = sourceUrl(url);
  const kept = readSettings(kernel, file).get(origin) ?? PLAIN;
  const pins = texts(values, "pin");
  const certificate = text(values, "certificate");
  const privateKey = text(values, "private-key");
  const own = certificate !== undefined || privateKey !== undefined;
  const options = {
    ca: text(values, "ca") ?? kept.ca,
    pins: pins.length > 0 ? pins : kept.pins,
    certificate: own ? (certificate ?? null) : kept.certificate,
    privateKey: own ? (privateKey ?? null) : kept.privateKey,
    tokenFile: text(values, "token-file") ?? kept.tokenFile,
    proxy: text(values, "proxy") ?? kept.proxy,
  };
  const fault = optionsFault(options, secure);
  if (fault !== null) throw new BadInput(`${name}: ${fault}`);
  return options;
}

/** The options of each origin in the settings file; none without one. Throws BadInput for a file that is not sound. */
export function readSettings(kernel: Kernel, file = SETTINGS_FILE): ReadonlyMap<string, SourceOptions> {
  let bytes: Uint8Array;
  try {
    bytes = readOwned(kernel, file, 0o022, "only its owner may write it: chmod go-w");
  } catch (error) {
    if (error instanceof KernelError && error.code === "ENOENT") return new Map();
    if (error instanceof KernelError) throw new BadInput(`${file} cannot be read: ${error.code}`);
    throw error;
  }
  return parseSourceSettings(file, parseJson(file, bytes));
}
