/** A relay in front of a server that behaves as bad lines and overloaded servers do. */
import { connect, createServer, type Server, type Socket } from "node:net";

export interface UnsteadyRelayOptions {
  /** Port on 127.0.0.1 that it leads to. */
  to: number;
  /** How often it breaks a connection (RST) after so many bytes of answers, before it lets all through. */
  resets?: { times: number; afterBytes: number };
  /** Bytes a second that it lets through from the server, all connections together. */
  rate?: number;
}

export interface UnsteadyRelay {
  port: number;
  /** Connections that it broke. */
  broken(): number;
  /** Connections that were made to it, refused ones aside. */
  connections(): number;
  /** From here on nobody listens on the port, and what was connected is cut. */
  close(): Promise<void>;
  /** Somebody listens on the same port again. */
  open(): Promise<void>;
}

/** Milliseconds between two looks at what a slow line may let through. */
const TICK = 50;

/** Starts the relay on a free loopback port; with `closed` nobody listens there until {@link UnsteadyRelay.open}. */
export async function startUnsteadyRelay(options: UnsteadyRelayOptions, closed = false): Promise<UnsteadyRelay> {
  const sockets = new Set<Socket>();
  let broken = 0;
  let connections = 0;
  let allowance = 0;
  const refill = setInterval(() => {
    allowance = Math.min(options.rate ?? 0, allowance + ((options.rate ?? 0) * TICK) / 1000);
  }, TICK);
  refill.unref();

  const serve = (client: Socket): void => {
    connections += 1;
    let passed = 0;
    const server = connect({ host: "127.0.0.1", port: options.to });
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.on("data", (bytes) => server.write(bytes)).on("close", () => server.destroy());
    server.on("close", () => client.end());
    server.on("data", (bytes: Buffer) => {
      passed += bytes.length;
      const { resets } = options;
      if (resets && broken < resets.times && passed > resets.afterBytes) {
        broken += 1;
        client.resetAndDestroy();
        return;
      }
      pass(bytes);
    });
    const pass = (bytes: Buffer): void => {
      if (options.rate === undefined) {
        if (!client.write(bytes)) {
          server.pause();
          client.once("drain", () => server.resume());
        }
        return;
      }
      server.pause();
      const count = Math.min(bytes.length, Math.floor(allowance));
      allowance -= count;
      if (count > 0) client.write(bytes.subarray(0, count));
      if (count === bytes.length) server.resume();
      else setTimeout(() => pass(bytes.subarray(count)), TICK);
    };
  };

  let listener: Server | null = null;
  const listen = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const server = createServer(serve);
      listener = server;
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        const address = server.address();
        if (address === null || typeof address === "string") reject(new Error("the relay got no port"));
        else resolve(address.port);
      });
    });
  const close = async (): Promise<void> => {
    const server = listener;
    listener = null;
    if (server === null) return;
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await ended;
  };
  const port = await listen(0);
  if (closed) await close();
  return {
    port,
    broken: () => broken,
    connections: () => connections,
    close,
    open: async () => void (await listen(port)),
  };
}
