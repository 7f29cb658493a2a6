// The connections to one API server. Calls share a small keep-alive pool; each watch has a socket of its own.

import { isDeepStrictEqual } from "node:util";
import { type Dispatcher, Pool } from "undici";
import type { TlsMaterial } from "./cluster-config.ts";

export interface TransportRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query below the server's URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A watch: streams for minutes, so it must not take a connection from the calls. */
  readonly streaming?: boolean;
}

interface Pools {
  readonly tls: TlsMaterial;
  readonly calls: Pool;
  readonly watches: Pool;
}

/** Enough for all workers of a process; a handshake each would cost more than the wait for a free connection. */
const callConnections = 8;
const callTimeoutMilliseconds = 30_000;
/** API servers send a bookmark each minute: 90 s of silence mean a dead peer that TCP has not noticed. */
const watchIdleMilliseconds = 90_000;
/** Below the 90 s after which API servers close idle connections, so that we never write into a closing one. */
const keepAliveMilliseconds = 60_000;

export class Transport {
  readonly #origin: string;
  readonly #basePath: string;
  #pools: Pools | undefined;
  #closed = false;

  constructor(options: { server: string }) {
    const url = new URL(options.server);
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/+$/, "");
  }

  /** Sends one request; resolves with the head, the body still to be read. Rejects with whatever undici or the signal give. */
  send(request: TransportRequest, tls: TlsMaterial): Promise<Dispatcher.ResponseData> {
    const pools = this.#poolsFor(tls);
    return (request.streaming ? pools.watches : pools.calls).request({
      method: request.method,
      path: this.#basePath + request.path,
      headers: request.headers,
      body: request.body ?? null,
      signal: request.signal ?? null,
    });
  }

  /** Ends all connections, open watches included. */
  async close(): Promise<void> {
    this.#closed = true;
    const pools = this.#pools;
    this.#pools = undefined;
    await Promise.all([pools?.calls.destroy(), pools?.watches.destroy()]);
  }

  #poolsFor(tls: TlsMaterial): Pools {
    if (this.#closed) throw new Error("the client is closed");
    if (this.#pools !== undefined && isDeepStrictEqual(this.#pools.tls, tls)) return this.#pools;
    const old = this.#pools;
    // HTTP/1.1 only: over HTTP/2 all would share one session, which undici does not always recover after a GOAWAY.
    const shared = {
      allowH2: false,
      keepAliveTimeout: keepAliveMilliseconds,
      headersTimeout: callTimeoutMilliseconds,
      connect: { ...tls, timeout: 10_000 },
    };
    this.#pools = {
      tls,
      calls: new Pool(this.#origin, { ...shared, connections: callConnections, bodyTimeout: callTimeoutMilliseconds }),
      watches: new Pool(this.#origin, { ...shared, connections: null, bodyTimeout: watchIdleMilliseconds }),
    };
    // Certificates rotated: what runs on the old connections may end there, watches at their next timeout.
    void old?.calls.close();
    void old?.watches.close();
    return this.#pools;
  }
}
