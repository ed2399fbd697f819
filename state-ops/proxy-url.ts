import { BadInput } from "./outcome.ts";

/** An HTTP proxy: what connecting to it needs. */
export interface ProxyUrl {
  /** An IPv6 address without brackets. */
  host: string;
  port: number;
  /** As messages name it: "http://proxy.example:3128". */
  name: string;
}

/** A name, an IPv4 address, or an IPv6 address in brackets; then the port. */
const FORM = /^http:\/\/([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})\/?$/i;

/** Why `text` names no proxy; null where it does. The message shows nothing of the text, which may hold a password. */
export function proxyFault(text: string): string | null {
  return parsed(text) === null ? "a proxy is http://HOST:PORT, without user, password and path" : null;
}

/** The parts of "http://HOST:PORT". Throws BadInput. */
export function proxyUrl(text: string): ProxyUrl {
  const proxy = parsed(text);
  if (proxy === null) throw new BadInput(proxyFault(text) ?? "");
  return proxy;
}

/**
 * The proxies to try, one after the other, null for none: the one that the way to the network was given with, the control file's,
 * and at last none, since a proxy may be what is broken. Each once; what names no proxy is left out.
 */
export function proxiesToTry(ofWay: string | null, ofControlFile: string | null): (string | null)[] {
  const sound = [ofWay, ofControlFile].filter((text) => text !== null && proxyFault(text) === null);
  return [...new Set([...sound, null])];
}

function parsed(text: string): ProxyUrl | null {
  const [, host = "", digits = ""] = FORM.exec(text) ?? [];
  const port = Number(digits);
  if (host === "" || port < 1 || port > 65_535 || !URL.canParse(`http://${host}/`)) return null;
  return { host: host.replace(/^\[|\]$/g, ""), port, name: `http://${host}:${port}` };
}
