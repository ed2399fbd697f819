import { pinOf } from "../../boot/network/public-key-pin.ts";
import type { SourceUrl } from "../../boot/network/source-url.ts";
import type { Identity } from "./identity.ts";
import type { Limits } from "./limits.ts";
import { codeOf, reasonOf, Trouble } from "./trouble.ts";

/**
 * Bytes after which garbage is collected. Each piece that comes is memory of its own, of up to 512 KiB; left alone, the collector
 * lets 40 MiB of it pile up, which small machines have not got.
 */
const COLLECT_EVERY = 16 * 1024 * 1024;

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
   * Connects, with TLS where the URL says so. Throws Trouble: `stop` for a server that is not who it should be.
   *
   * @param own whether `url` is of the origin that the identity's client certificate is for
   */
  async open(url: SourceUrl, identity: Identity, own: boolean): Promise<void> {
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    this.#refuse = reject;
    ready.catch(() => {}); // it may be refused before anybody waits for it
    const late = setTimeout(() => this.#end(new Trouble("again", "does not answer")), this.#limits.connectMs);
    const fail = (error: unknown): void => this.#end(new Trouble("again", reasonOf(error)));
    try {
      const opening = Bun.connect({
        hostname: url.host,
        port: url.port,
        ...(url.secure ? { tls: tlsOptions(url, identity, own) } : {}),
        socket: {
          open: (socket) => {
            this.#socket = socket;
            if (!url.secure) resolve();
          },
          handshake: (socket, sound, error) => {
            const trouble = judgePeer(socket, sound, error, identity);
            if (trouble === null) resolve();
            else this.#end(trouble);
          },
          data: (_, bytes) => this.#take(bytes),
          end: () => this.#end(null),
          close: (_, error) => (error ? fail(error) : this.#end(null)),
          error: (_, error) => fail(error),
          connectError: (_, error) => fail(error),
        },
      });
      // one that opens after all must not stay open
      opening.then((socket) => this.#ended !== null && socket.terminate(), fail);
      await ready;
    } catch (error) {
      this.destroy();
      if (error instanceof Trouble) throw error;
      throw new Trouble("stop", `cannot be asked: ${misfits[codeOf(error)] ?? reasonOf(error)}`);
    } finally {
      clearTimeout(late);
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

  /** Sends a request's head, which is small enough for the kernel to take it whole. */
  send(text: string): void {
    this.#cameSinceRequest = false;
    const bytes = new TextEncoder().encode(text);
    if (this.#ended !== null || this.#socket === null) throw new Trouble("again", "ended the connection");
    if (this.#socket.write(bytes) < bytes.length) throw new Trouble("again", "takes no request");
    this.#socket.flush();
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
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function tlsOptions(url: SourceUrl, identity: Identity, own: boolean): Bun.TLSOptions & { serverName?: string } {
  return {
    // said explicitly: without it a variable of the environment switches verification off
    rejectUnauthorized: true,
    ...(identity.ca === null ? {} : { ca: identity.ca }),
    ...(own && identity.client !== null ? { cert: identity.client.certificate, key: identity.client.privateKey } : {}),
    // an address is checked against the certificate's addresses by itself, and is no name to be sent
    ...(/^[0-9.]+$|:/.test(url.host) ? {} : { serverName: url.host }),
  };
}

/** Why the other side is not who it should be; null where it is. */
function judgePeer(socket: Bun.Socket<undefined>, sound: boolean, error: Error | null, identity: Identity): Trouble | null {
  if (!sound || error !== null) {
    const code = codeOf(error);
    if (code === "" || code === "EPROTO") return new Trouble("again", "ends the TLS handshake; is it an https: server?");
    return new Trouble("stop", `is not proven to be that server: ${refusals[code] ?? code}`);
  }
  if (identity.pins.length === 0) return null;
  const certificate = socket.getPeerCertificate();
  const raw = "raw" in certificate && certificate.raw instanceof Uint8Array ? certificate.raw : null;
  const pin = raw === null ? null : pinOf(raw);
  if (pin !== null && identity.pins.includes(pin)) return null;
  return new Trouble("stop", `is not proven to be that server: its key is ${pin ?? "unreadable"}, none of those that are pinned`);
}

/** What is wrong with the files that a connection was to be made with. */
const misfits: Record<string, string> = {
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: "--private-key is not the key of --certificate",
  ERR_BORINGSSL: "the certificates of --ca, or --certificate and --private-key, cannot be read; are they PEM files?",
};

const unknownAuthority = "no authority that is believed vouches for its certificate; name yours with --ca";

const refusals: Record<string, string> = {
  CERT_HAS_EXPIRED: "its certificate has expired; is the clock right?",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is the clock right?",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed; name it with --ca if you know it",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
};
