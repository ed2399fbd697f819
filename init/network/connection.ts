import type { SourceUrl } from "../../boot/network/source-url.ts";
import type { Identity } from "./identity.ts";
import type { Limits } from "./limits.ts";
import { judgePeer, misfits, tlsOptions } from "./peer.ts";
import type { Told } from "./told.ts";
import { codeOf, reasonOf, Trouble } from "./trouble.ts";
import { askForTunnel } from "./tunnel.ts";

/**
 * Bytes after which garbage is collected. Each piece that comes is memory of its own, of up to 512 KiB; left alone, the collector
 * lets 40 MiB of it pile up, which small machines have not got.
 */
const COLLECT_EVERY = 16 * 1024 * 1024;

/** What a TLS handshake is judged by. */
interface Tls {
  identity: Identity;
  own: boolean;
  told: Told;
}

/**
 * One connection to a server, read piece by piece: what is not asked for stays in the kernel's buffers, so that a slow reader
 * holds the server back. Bun's sockets and not its fetch: that one obeys https_proxy and NODE_TLS_REJECT_UNAUTHORIZED of the
 * environment, keeps no bound on headers, and takes 1.4 times as long.
 */
export class Connection {
  /** By all connections, since memory was collected last. */
  static #received = 0;
  readonly #limits: Limits;
  #socket: Bun.Socket<undefined> | null = null;
  /** What came and was not read yet: one piece, since the socket is paused while there is one. */
  #pieces: Uint8Array[] = [];
  /** Why nothing more will come; null while more may. */
  #ended: { error: Trouble | null } | null = null;
  #wake: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;
  /** Counts what was put over the socket: itself, then TLS in a tunnel. */
  #layer = 0;
  /** How long was waited for bytes, and how many came, since the pace was judged last. */
  #waitedMs = 0;
  #cameBytes = 0;
  #cameSinceRequest = false;

  #refuse: (error: Trouble) => void = () => {};

  constructor(
    /** Of the URL that it is for. */
    readonly origin: string,
    limits: Limits,
  ) {
    this.#limits = limits;
  }

  /**
   * Connects, through the identity's proxy where there is one, with TLS where the URL says so.
   *
   * @param own whether `url` is of the origin that the identity's client certificate is for
   * @param told takes what is to be known of the other side's certificate
   * @throws Trouble: `stop` for a server that is not who it should be
   */
  async open(url: SourceUrl, identity: Identity, own: boolean, told: Told): Promise<void> {
    const { proxy } = identity;
    try {
      await this.#connect(proxy ?? url, url, proxy === null && url.secure ? { identity, own, told } : null).catch((error) => {
        throw proxy !== null && error instanceof Trouble
          ? new Trouble(error.is, `cannot be asked: the proxy ${error.reason}`)
          : error;
      });
      if (proxy !== null && url.secure) await this.#tunnel(url, { identity, own, told });
    } catch (error) {
      this.destroy();
      if (error instanceof Trouble) throw error;
      throw new Trouble("stop", `cannot be asked: ${misfits[codeOf(error)] ?? reasonOf(error)}`);
    }
  }

  /** Whether nothing came that was not asked for and the other side is still there. */
  get idle(): boolean {
    return this.#ended === null && this.#pieces.length === 0;
  }

  /** Whether the other side ended it before it answered the last request with as much as a byte. */
  get unanswered(): boolean {
    return this.#ended !== null && !this.#cameSinceRequest;
  }

  /** Sends a request. Throws Trouble where it is not taken in time. */
  async send(bytes: Uint8Array): Promise<void> {
    this.#cameSinceRequest = false;
    for (let rest = bytes; ; ) {
      if (this.#ended?.error) throw this.#ended.error;
      if (this.#ended !== null || this.#socket === null) throw new Trouble("again", "ended the connection");
      // -1 where it is closing
      const taken = Math.max(0, this.#socket.write(rest));
      this.#socket.flush();
      rest = rest.subarray(taken);
      if (rest.length === 0) return;
      if (!(await this.#drained()))
        throw new Trouble("again", `took no more of the request for ${seconds(this.#limits.stallMs)}`);
    }
  }

  /**
   * The next bytes, which are the caller's; null when the other side ended the connection.
   *
   * @param ms how long to wait for them
   * @throws Trouble `again` where none came in time, or too few by and by
   */
  async next(ms: number): Promise<Uint8Array | null> {
    if (this.#pieces.length === 0 && this.#ended === null) await this.#wait(ms);
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      if (this.#pieces.length === 0) this.#socket?.resume();
      this.#cameBytes += piece.length;
      return piece;
    }
    if (this.#ended?.error) throw this.#ended.error;
    if (this.#ended) return null;
    throw new Trouble("again", `sent nothing for ${seconds(ms)}`);
  }

  destroy(): void {
    this.#end(new Trouble("again", "was given up"));
    this.#pieces = [];
    this.#socket?.terminate();
    this.#socket = null;
  }

  async #connect(to: { host: string; port: number }, url: SourceUrl, tls: Tls | null): Promise<void> {
    await this.#within(async (ready) => {
      const opening = Bun.connect({
        hostname: to.host,
        port: to.port,
        ...(tls === null ? {} : { tls: tlsOptions(url, tls.identity, tls.own) }),
        socket: this.#handlers(url, tls, ready),
      });
      // one that opens after all must not stay open
      opening.then(
        (socket) => this.#ended !== null && socket.terminate(),
        (error: unknown) => this.#end(new Trouble("again", reasonOf(error))),
      );
    });
  }

  /** From here on everything is said to the server, and the proxy sees bytes only. */
  async #tunnel(url: SourceUrl, tls: Tls): Promise<void> {
    await askForTunnel(this, url, this.#limits);
    const socket = this.#socket;
    if (socket === null || !this.idle) throw new Trouble("again", "cannot be asked: the proxy speaks before it is asked to");
    await this.#within(async (ready) => {
      socket.upgradeTLS({
        data: undefined,
        tls: { ...tlsOptions(url, tls.identity, tls.own), serverName: url.host },
        socket: this.#handlers(url, tls, ready),
      });
    });
  }

  /** Runs `begin`, and waits until what it was given is called or the connection ends. */
  async #within(begin: (ready: () => void) => Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#refuse = reject;
    promise.catch(() => {}); // it may be refused before anybody waits for it
    const late = setTimeout(() => this.#end(new Trouble("again", "does not answer")), this.#limits.connectMs);
    try {
      await begin(resolve);
      await promise;
    } finally {
      clearTimeout(late);
    }
  }

  #handlers(url: SourceUrl, tls: Tls | null, ready: () => void): Bun.SocketHandler<undefined> {
    const fail = (error: unknown): void => this.#end(new Trouble("again", reasonOf(error)));
    this.#layer += 1;
    const layer = this.#layer;
    return {
      open: (socket) => {
        this.#socket = socket;
        if (tls === null) ready();
      },
      handshake: (socket, sound, error) => {
        if (tls === null) return;
        judgePeer(socket, sound, error, url, tls.identity, tls.told).then(
          (trouble) => (trouble === null ? ready() : this.#end(trouble)),
          fail,
        );
      },
      // below TLS in a tunnel, what came is seen once more as it came
      data: (_, bytes) => {
        if (layer === this.#layer) this.#take(bytes);
      },
      drain: () => this.#wakeWriter?.(),
      end: () => this.#end(null),
      close: (_, error) => (error ? fail(error) : this.#end(null)),
      error: (_, error) => fail(error),
      connectError: (_, error) => fail(error),
    };
  }

  /** Waits until the kernel takes bytes again; false where it does not in time. */
  #drained(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), this.#limits.stallMs);
      this.#wakeWriter = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  async #wait(ms: number): Promise<void> {
    const began = performance.now();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
    this.#waitedMs += performance.now() - began;
    const { paceMs, paceBytes } = this.#limits;
    if (this.#waitedMs < paceMs) return;
    if (this.#cameBytes < paceBytes) throw new Trouble("again", `sent ${this.#cameBytes} bytes in ${seconds(this.#waitedMs)}`);
    this.#waitedMs = 0;
    this.#cameBytes = 0;
  }

  #take(bytes: Uint8Array): void {
    if (this.#ended !== null) return;
    this.#cameSinceRequest = true;
    // not as a Buffer, whose slice() is no copy
    this.#pieces.push(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
    this.#socket?.pause();
    Connection.#received += bytes.length;
    if (Connection.#received > COLLECT_EVERY) {
      Connection.#received = 0;
      Bun.gc(true);
    }
    this.#wake?.();
  }

  #end(error: Trouble | null): void {
    this.#ended ??= { error };
    this.#refuse(error ?? new Trouble("again", "ends the connection before anything was asked"));
    this.#wake?.();
    this.#wakeWriter?.();
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
