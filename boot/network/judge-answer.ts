import { type AnswerHead, type Framing, fieldOf, printable, quoted } from "./answer-head.ts";
import { parseContentRange } from "./content-range.ts";
import { retryAfterMs } from "./retry.ts";
import { redirectTarget, type SourceUrl } from "./source-url.ts";
import { isWebPage, WEB_PAGE } from "./web-page.ts";

/** What tells one content of a file from another. */
export interface FileVersion {
  /** Bytes; null where the server did not say. */
  size: number | null;
  etag: string | null;
  modified: string | null;
}

/** What was asked for. */
export interface Question {
  url: SourceUrl;
  /** Offsets of the first and the last byte; null for the whole file. */
  range: { first: number; last: number } | null;
  /** What the file was at the first answer; null before there was one. */
  known: FileVersion | null;
}

/** What an answer is. Reasons go on from the URL's name: "https://… answers 404". */
export type Judgement =
  /** The body is what was asked for, to the byte: the range, or the whole file. */
  | { is: "wanted"; version: FileVersion }
  /** The body is the whole file, and a range was asked for. */
  | { is: "whole"; version: FileVersion }
  | { is: "redirect"; to: SourceUrl }
  /** It may be otherwise the next time. `asked`: its Retry-After in ms. `busy`: it has too many requests, perhaps ours. */
  | { is: "retry"; reason: string; asked: number | null; busy: boolean }
  /** Ranges are answered against the rules. */
  | { is: "unfit"; reason: string }
  | { is: "changed"; reason: string }
  /** The file does not reach to the range (416). */
  | { is: "beyond"; reason: string }
  | { is: "missing"; reason: string }
  | { is: "stop"; reason: string };

type Refused = Extract<Judgement, { is: "retry" | "changed" | "beyond" | "missing" | "stop" }>;

const REDIRECTS = [301, 302, 303, 307, 308];

export function judgeAnswer(question: Question, head: AnswerHead, framing: Framing, nowUnixMs: number): Judgement {
  const { status } = head;
  if (status === 200 || status === 206) {
    const coding = head.fields.get("content-encoding")?.join(", ").toLowerCase() ?? "identity";
    const remedy = "though it was asked not to encode; switch compression off there";
    if (coding !== "identity" && coding !== "") {
      return { is: "stop", reason: `answers with Content-Encoding ${quoted(coding)}, ${remedy}` };
    }
    return status === 200 ? judgeWhole(question, head, framing) : judgeRange(question, head, framing);
  }
  if (REDIRECTS.includes(status)) return redirected(question.url, head);
  return judgeFailure(question.url, head, nowUnixMs);
}

/** What an answer is that neither has a body that is used nor redirects. */
function judgeFailure(url: SourceUrl, head: AnswerHead, nowUnixMs: number): Refused {
  const { status } = head;
  const stop = (reason: string): Refused => ({ is: "stop", reason });
  if (status === 404 || status === 410) return { is: "missing", reason: `answers ${status}: there is nothing of that name` };
  if (status === 412) return { is: "changed", reason: "answers 412" };
  if (status === 416) return { is: "beyond", reason: "answers 416: the file does not reach that far" };
  const remedy = status === 400 && !url.secure ? "is it an http: server?" : remedies[status];
  if (remedy !== undefined) return stop(`answers ${status}: ${remedy}`);
  if (status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505)) {
    const asked = retryAfterMs(fieldOf(head, "retry-after"), nowUnixMs);
    return { is: "retry", reason: `answers ${status}`, asked, busy: status === 429 || status === 503 };
  }
  return stop(`answers ${status}`);
}

function redirected(from: SourceUrl, head: AnswerHead): Extract<Judgement, { is: "redirect" | "stop" }> {
  const to = redirectTarget(from, fieldOf(head, "location"));
  return "fault" in to ? { is: "stop", reason: to.fault } : { is: "redirect", to };
}

/**
 * What became of a POST. Any 2xx takes it, but for a web page of a server that nobody vouches for: that is a login page's. It is
 * sent on only where a redirect leaves the method as it is.
 */
export function judgePost(url: SourceUrl, head: AnswerHead, framing: Framing, nowUnixMs: number): PostJudgement {
  const { status } = head;
  if (status >= 200 && status < 300) {
    const empty = framing.by === "length" && framing.length === 0;
    return isWebPage(head) && !url.secure && !empty ? { is: "stop", reason: WEB_PAGE } : { is: "taken" };
  }
  if (status === 307 || status === 308) return redirected(url, head);
  if (REDIRECTS.includes(status)) {
    const to = redirected(url, head);
    const where = to.is === "redirect" ? ` to ${to.to.name}` : "";
    return {
      is: "stop",
      reason: `redirects${where} with ${status}, after which it would be another request; is there a login page in between?`,
    };
  }
  return judgeFailure(url, head, nowUnixMs);
}

export type PostJudgement = { is: "taken" } | { is: "redirect"; to: SourceUrl } | Refused;

/** What to do about answers that will not be others the next time. */
const remedies: Partial<Record<number, string>> = {
  400: "where the server wants a client certificate, give --certificate and --private-key",
  401: "it wants credentials, or others; give --token-file, or --certificate and --private-key",
  403: "it forbids that; are the credentials the right ones, and may the server read the file?",
  407: "a proxy is in between and wants credentials, which are never sent to proxies",
  511: "the network wants somebody to log in first",
};

function judgeWhole({ range, known }: Question, head: AnswerHead, framing: Framing): Judgement {
  if (isWebPage(head)) return { is: "stop", reason: WEB_PAGE };
  const version = { ...versionOf(head), size: framing.by === "length" ? framing.length : null };
  const changed = known === null ? null : differenceOf(known, version);
  if (changed !== null) return { is: "changed", reason: changed };
  return { is: range === null ? "wanted" : "whole", version };
}

function judgeRange({ range, known }: Question, head: AnswerHead, framing: Framing): Judgement {
  const unfit = (reason: string): Judgement => ({ is: "unfit", reason });
  if (range === null) return unfit("answers with a part where the whole was asked for");
  const type = fieldOf(head, "content-type") ?? "";
  if (/^multipart\//i.test(type)) return unfit(`answers with ${quoted(type)} where one range was asked for`);
  const said = fieldOf(head, "content-range");
  const content = said === null ? null : parseContentRange(said);
  if (content === null) return unfit(`answers with Content-Range ${said === null ? "missing" : quoted(said)}`);
  const version = { ...versionOf(head), size: content.size };
  const changed = known === null ? null : differenceOf(known, version);
  if (changed !== null) return { is: "changed", reason: changed };
  const wanted = `bytes ${range.first}-${range.last}`;
  if (content.range?.first !== range.first || content.range.last !== range.last) {
    return unfit(`answers with ${quoted(said ?? "")} where ${wanted} were asked for`);
  }
  const length = range.last - range.first + 1;
  if (framing.by === "length" && framing.length !== length) {
    return unfit(`answers with Content-Length ${framing.length} where ${wanted} were asked for`);
  }
  return { is: "wanted", version };
}

function versionOf(head: AnswerHead): { etag: string | null; modified: string | null } {
  return { etag: fieldOf(head, "etag"), modified: fieldOf(head, "last-modified") };
}

/** What shows that `now` is another content than `then`; null where nothing does. */
function differenceOf(then: FileVersion, now: FileVersion): string | null {
  const differ = <Value>(one: Value | null, other: Value | null) => one !== null && other !== null && one !== other;
  if (differ(then.size, now.size)) return `had ${then.size} bytes and has ${now.size}`;
  if (differ(then.etag, now.etag)) return `had ETag ${printable(then.etag ?? "")} and has ${printable(now.etag ?? "")}`;
  // where ETags agree, dates of two servers behind one name may differ
  if ((then.etag === null || now.etag === null) && differ(then.modified, now.modified)) {
    return `had the date ${quoted(then.modified ?? "")} and has ${quoted(now.modified ?? "")}`;
  }
  return null;
}

/**
 * What If-Range may name (RFC 9110 13.1.5); null where there is nothing fit. Never a date: a server that thinks it too young
 * to be sure of answers with the whole file.
 */
export function rangeCondition({ etag }: FileVersion): string | null {
  return etag !== null && /^"[\x21\x23-\x7e]*"$/.test(etag) ? etag : null;
}
