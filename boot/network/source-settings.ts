import { Fields } from "../../state-ops/fields.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { proxyFault } from "../../state-ops/proxy-url.ts";
import { pinFault } from "./public-key-pin.ts";
import { sourceUrl } from "./source-url.ts";

/** What a source over the network may ask for beside its URL: whom to believe, and who we are. */
export interface SourceOptions {
  /** PEM file with the only authorities that may vouch for the server; null: those of the system. */
  ca: string | null;
  /** "sha256//BASE64" of public keys: the server's must be one of them. On top of the certificate's check, never instead. */
  pins: readonly string[];
  /** PEM files of the certificate that we show, with its chain, and its key. */
  certificate: string | null;
  privateKey: string | null;
  /** File with a bearer token. */
  tokenFile: string | null;
  /** "http://HOST:PORT" of the HTTP proxy that it is asked through; null: none. */
  proxy: string | null;
}

/** No authority but the system's, no credentials, no proxy. Files are named, so that no secret is in an argument list. */
export const PLAIN: SourceOptions = {
  ca: null,
  pins: [],
  certificate: null,
  privateKey: null,
  tokenFile: null,
  proxy: null,
};

/** Why options do not go together, or not with a URL that is not `secure`; null where they do. */
export function optionsFault(options: SourceOptions, secure: boolean): string | null {
  if ((options.certificate === null) !== (options.privateKey === null)) {
    return "a client certificate needs its private key, and the key its certificate";
  }
  const [bad] = options.pins.filter((pin) => pinFault(pin) !== null);
  if (bad !== undefined) return `the pin ${JSON.stringify(bad)} ${pinFault(bad)}`;
  const badProxy = options.proxy === null ? null : proxyFault(options.proxy);
  if (badProxy !== null) return badProxy;
  if (secure) return null;
  if (options.tokenFile !== null) return "a token is sent over https: only; anybody on the way could read it";
  const useless = options.ca !== null || options.pins.length > 0 || options.certificate !== null;
  return useless ? "authorities, pins and client certificates are for https: only" : null;
}

/**
 * The options per origin ("https://updates.example") in a settings file:
 *
 *   { "schema": 1, "sources": [ { "origin": "https://updates.example", "ca": "/etc/slipway/ca.pem", "pins": [],
 *     "certificate": "…", "privateKey": "…", "tokenFile": "…", "proxy": "http://proxy.example:3128" } ] }
 *
 * All but the origin may be left out; files are absolute paths. Throws BadInput.
 */
export function parseSourceSettings(what: string, value: unknown): ReadonlyMap<string, SourceOptions> {
  const fields = new Fields(value, what, ["schema", "sources"]);
  fields.oneOf("schema", [1]);
  const settings = new Map<string, SourceOptions>();
  for (const [index, entry] of fields.list("sources").entries()) {
    const where = `${what}: sources[${index}]`;
    const source = new Fields(entry, where, ["origin"], ["ca", "pins", "certificate", "privateKey", "tokenFile", "proxy"]);
    const origin = source.text("origin");
    const url = sourceUrl(origin);
    if (url.origin !== origin) source.fail("origin", `an origin without a path, ${JSON.stringify(url.origin)}`);
    if (settings.has(origin)) throw new BadInput(`${where}: ${origin} is there twice`);
    const path = (key: string): string | null => {
      if (!source.has(key)) return null;
      const text = source.text(key);
      return text.startsWith("/") ? text : source.fail(key, "an absolute path");
    };
    const pins = source.has("pins") ? source.list("pins") : [];
    const options = {
      ca: path("ca"),
      pins: pins.map((pin) => (typeof pin === "string" ? pin : source.fail("pins", "a list of texts"))),
      certificate: path("certificate"),
      privateKey: path("privateKey"),
      tokenFile: path("tokenFile"),
      proxy: source.has("proxy") ? source.text("proxy") : null,
    };
    const fault = optionsFault(options, url.secure);
    if (fault !== null) throw new BadInput(`${where}: ${fault}`);
    settings.set(origin, options);
  }
  return settings;
}
