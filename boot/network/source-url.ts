import { BadInput } from "../../state-ops/outcome.ts";
import { quoted } from "./answer-head.ts";

/** Where something is fetched: only what connecting and asking need. */
export interface SourceUrl {
  secure: boolean;
  /** Name or address to connect to, an IPv6 address without brackets. */
  host: string;
  port: number;
  /** What the Host field says. */
  authority: string;
  /** Path and query of the request line. */
  target: string;
  /** "https://updates.example:8443": who credentials are for. */
  origin: string;
  /** As messages name it: without a query, which may hold a secret. */
  name: string;
}

/** Of a URL in a message: a server may redirect to one of any length. */
const LONGEST_NAME = 200;

/** The parts of what people gave. Throws BadInput. */
export function sourceUrl(text: string): SourceUrl {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:\/\//i.test(text)) throw new BadInput(`${shown(text)} is no http: or https: URL`);
  if (url.username !== "" || url.password !== "") {
    const remedy = "it would show in the list of processes; put a token into a file and name it with --token-file";
    throw new BadInput(`${nameOf(url)}: a URL may hold no user or password: ${remedy}`);
  }
  return parts(url);
}

/** The same URL with `suffix` behind its path: image.img, image.img.idx. */
export function besides(url: SourceUrl, suffix: string): SourceUrl {
  const beside = new URL(url.origin + url.target);
  beside.pathname += suffix;
  return parts(beside);
}

/** Where an answer's Location leads to; or why it is not followed. */
export function redirectTarget(from: SourceUrl, location: string | null): SourceUrl | { fault: string } {
  const base = from.origin + from.target;
  if (location === null || !URL.canParse(location, base)) {
    return { fault: `redirects to ${location === null ? "no place" : "what is no URL"}` };
  }
  const url = new URL(location, base);
  if (url.protocol !== "https:" && url.protocol !== "http:") return { fault: `redirects to ${quoted(url.protocol)}` };
  if (from.secure && url.protocol === "http:") {
    return {
      fault: `redirects from https: to ${nameOf(url)}, which is refused; name that URL yourself if you trust the way there`,
    };
  }
  if (url.username !== "" || url.password !== "") return { fault: `redirects to ${nameOf(url)} with a password in the URL` };
  return parts(url);
}

function parts(url: URL): SourceUrl {
  const secure = url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return {
    secure,
    host,
    port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
    authority: url.host,
    target: url.pathname + url.search,
    origin: url.origin,
    name: nameOf(url),
  };
}

function nameOf(url: URL): string {
  const name = `${url.origin}${url.pathname}${url.search === "" ? "" : "?…"}`;
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}

/** What is no URL of ours may still hold a password: nothing before an @ is shown. */
export function shown(text: string): string {
  return quoted(text.replace(/^.*@/s, "…@"));
}
