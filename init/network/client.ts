import { type FileVersion, type Judgement, judgeAnswer, judgePost, type PostJudgement } from "../../boot/network/judge-answer.ts";
import { besides, type SourceUrl } from "../../boot/network/source-url.ts";
import { Answer } from "./answer.ts";
import { Connection } from "./connection.ts";
import type { Identity } from "./identity.ts";
import type { Limits } from "./limits.ts";
import { type Asking, getRequest, postRequest } from "./request.ts";
import type { Told } from "./told.ts";
import { Trouble } from "./trouble.ts";

/** A file of the source: the image itself (""), or one beside it (".idx"). */
export type Suffix = "" | ".idx";

/** An answer with a body that is used, or why there is none. */
export type Reply =
  | { is: "wanted" | "whole"; version: FileVersion; answer: Answer }
  | Exclude<Judgement, { is: "wanted" | "whole" | "redirect" }>;

const MOST_REDIRECTS = 5;

/** Asks one server (and those that it redirects to) for files: connections kept alive, redirects followed, nothing retried. */
export class Client {
  /** Bytes of bodies that came. */
  transferred = 0;
  /** Whether a server ever answered. */
  answered = false;
  readonly #idle = new Map<string, Connection[]>();
  readonly #open = new Set<Connection>();
  /** What was told of certificates. */
  readonly #told = new Set<string>();
  /** Where a file was found behind redirects, so that each range need not follow them again. */
  readonly #found = new Map<Suffix, SourceUrl>();

  constructor(
    readonly url: SourceUrl,
    readonly identity: Identity,
    readonly limits: Limits,
    readonly told: Told = () => {},
  ) {}

  /**
   * Asks once for a range, or for the whole file where it is null. The caller ends with {@link release} whatever became of
   * the answer. Throws Trouble.
   */
  async ask(suffix: Suffix, range: { first: number; last: number } | null, known: FileVersion | null): Promise<Reply> {
    const original = suffix === "" ? this.url : besides(this.url, suffix);
    const found = this.#found.get(suffix);
    if (found !== undefined) {
      // after a failure there the URL itself is asked, which may lead elsewhere by then
      const forget = (): void => void (this.#found.get(suffix) === found && this.#found.delete(suffix));
      const reply = await this.#follow(found, suffix, range, known).catch((error: unknown) => {
        forget();
        throw error;
      });
      if (reply.is === "wanted" || reply.is === "whole") return reply;
      forget();
      // where redirects lead to may be good for a while only
      if (reply.is !== "stop" && reply.is !== "missing") return reply;
    }
    return this.#follow(original, suffix, range, known);
  }

  /** Posts `body`, which is JSON, once, along redirects. Throws Trouble where it was not taken. */
  async post(body: Uint8Array): Promise<void> {
    let url = this.url;
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      const answer = await this.#exchange(url, postRequest(this.#asking(url), body));
      this.#drop(answer.connection); // what it says besides is of no use
      const judgement = judgePost(url, answer.head, answer.framing, this.limits.unixMs());
      if (judgement.is === "taken") return;
      if (judgement.is !== "redirect") throw troubleOf(judgement, this.#way(url));
      url = judgement.to;
    }
    throw new Trouble("stop", tooFar(url));
  }

  /** The answer in a reply that is what was asked for. Throws Trouble for any other. */
  answerIn(reply: Reply): Answer {
    switch (reply.is) {
      case "wanted":
        return reply.answer;
      case "whole":
        this.release(reply.answer);
        throw new Trouble("again", "answers with the whole file where a range was asked for");
      case "retry":
        throw new Trouble("again", reply.reason, reply.asked, reply.busy);
      case "unfit":
      case "beyond":
        throw new Trouble("again", reply.reason);
      case "changed":
      case "missing":
      case "stop":
        throw new Trouble(reply.is, reply.reason);
    }
  }

  /** Takes an answer's connection back: for the next request where that can be, else it is closed. */
  release(answer: Answer): void {
    const { connection } = answer;
    if (answer.reusable && this.#open.has(connection)) this.#idleOf(connection.origin).push(connection);
    else this.#drop(connection);
  }

  /** Ends every exchange that is under way, with a Trouble. */
  interrupt(): void {
    for (const connection of this.#open) connection.destroy();
    this.#open.clear();
    this.#idle.clear();
  }

  async #follow(
    from: SourceUrl,
    suffix: Suffix,
    range: { first: number; last: number } | null,
    known: FileVersion | null,
  ): Promise<Reply> {
    let url = from;
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      const answer = await this.#exchange(url, getRequest(this.#asking(url), range, known));
      const judgement = judgeAnswer({ url, range, known }, answer.head, answer.framing, this.limits.unixMs());
      if (judgement.is === "wanted" || judgement.is === "whole") {
        if (hops > 0) this.#found.set(suffix, url);
        return { is: judgement.is, version: judgement.version, answer };
      }
      this.#drop(answer.connection); // its body is of no use, and may be long
      if (judgement.is !== "redirect") return { ...judgement, reason: this.#way(url) + judgement.reason };
      url = judgement.to;
    }
    return { is: "stop", reason: tooFar(url) };
  }

  #asking(url: SourceUrl): Asking {
    return { url, proxy: this.identity.proxy, token: this.#own(url) ? this.identity.token : null };
  }

  /** How `url` is reached, where not at once: what a reason begins with. */
  #way(url: SourceUrl): string {
    const { proxy } = this.identity;
    const through = proxy === null ? "" : `(through the proxy ${proxy.name}) `;
    return through + (this.#own(url) ? "" : `is redirected to ${url.name}, which `);
  }

  async #exchange(url: SourceUrl, request: Uint8Array): Promise<Answer> {
    for (;;) {
      const { connection, used } = await this.#connect(url);
      try {
        const answer = await Answer.to(request, connection, this.limits);
        this.answered = true;
        return answer;
      } catch (error) {
        // a server may end an idle connection at the very moment at which it is used again: that is no failure
        const raced = used && connection.unanswered && this.#open.has(connection);
        this.#drop(connection);
        if (raced) continue;
        throw located(error, this.#way(url));
      }
    }
  }

  async #connect(url: SourceUrl): Promise<{ connection: Connection; used: boolean }> {
    const idle = this.#idleOf(url.origin);
    for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
      if (connection.idle) return { connection, used: true };
      this.#drop(connection);
    }
    const connection = new Connection(url.origin, this.limits);
    this.#open.add(connection);
    try {
      await connection.open(url, this.identity, this.#own(url), (line) => this.#tellOnce(line));
      return { connection, used: false };
    } catch (error) {
      this.#open.delete(connection);
      throw located(error, this.#way(url));
    }
  }

  #idleOf(origin: string): Connection[] {
    const known = this.#idle.get(origin);
    if (known !== undefined) return known;
    const connections: Connection[] = [];
    this.#idle.set(origin, connections);
    return connections;
  }

  #own(url: SourceUrl): boolean {
    return url.origin === this.url.origin;
  }

  #tellOnce(line: string): void {
    if (this.#told.has(line)) return;
    this.#told.add(line);
    this.told(line);
  }

  #drop(connection: Connection): void {
    this.#open.delete(connection);
    connection.destroy();
  }
}

function tooFar(last: SourceUrl): string {
  return `redirects more than ${MOST_REDIRECTS} times, last to ${last.name}`;
}

function troubleOf(judgement: Exclude<PostJudgement, { is: "taken" | "redirect" }>, way: string): Trouble {
  const reason = way + judgement.reason;
  if (judgement.is === "retry") return new Trouble("again", reason, judgement.asked, judgement.busy);
  return new Trouble(judgement.is === "missing" ? "missing" : "stop", reason);
}

function located(error: unknown, where: string): unknown {
  if (!(error instanceof Trouble) || where === "") return error;
  return new Trouble(error.is, where + error.reason, error.asked, error.busy);
}
