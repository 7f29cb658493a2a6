// Requests and watches against one API server: credentials, refusals, Retry-After. Resource clients stand on it.

import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { ApiError } from "./api-error.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import type { ApiResource, KubeObject } from "./kube-object.ts";
import { LineDecoder } from "./line-decoder.ts";
import { ResourceClient } from "./resource-client.ts";
import { queryString } from "./resource-path.ts";
import { Transport, type TransportRequest } from "./transport.ts";
import { parseWatchEvent, type WatchEvent } from "./watch-event.ts";

export interface ApiRequest {
  readonly method: TransportRequest["method"];
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  readonly body?: unknown;
  /** Default application/json; patches name their own. */
  readonly contentType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type WatchRequest = Pick<ApiRequest, "path" | "query" | "signal">;

/** What resource clients need of a server: {@link KubeClient}, or an in-memory one in tests. */
export interface KubeApi {
  /** Resolves with the parsed body; rejects with an ApiError, or with the signal's reason. */
  request(request: ApiRequest): Promise<unknown>;
  /** Yields events until the server ends the stream; throws an ApiError on a refusal, a cut or 90 s of silence. */
  watch(request: WatchRequest): AsyncIterable<WatchEvent>;
}

/** How often one call is sent again because the server said when (429 and 503 with Retry-After). */
const maxRetries = 4;
const maxRetryAfterSeconds = 15;

export class KubeClient implements KubeApi {
  readonly #config: ClusterConfig;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #transport: Transport;

  constructor(options: { config: ClusterConfig; log: Logger; clock: Clock; userAgent: string }) {
    this.#config = options.config;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#userAgent = options.userAgent;
    this.#transport = new Transport({ server: options.config.server });
  }

  async request(request: ApiRequest): Promise<unknown> {
    const name = `${request.method} ${request.path}`;
    for (let retries = 0; ; retries += 1) {
      const response = await this.#send(request, false);
      const text = await this.#orApiError(name, request.signal, () => response.body.text());
      if (response.statusCode < 300) return parseBody(text, name);
      const error = refusal(name, response.statusCode, text, response.headers["retry-after"]);
      const mayRetry = (error.status === 429 || error.status === 503) && error.retryAfterSeconds !== undefined;
      if (!mayRetry || retries >= maxRetries) throw error;
      const seconds = Math.min(Math.max(error.retryAfterSeconds ?? 1, 0.1), maxRetryAfterSeconds);
      this.#log.debug({ request: name, status: error.status, seconds }, "the API server asks to wait");
      await this.#clock.sleep(seconds * 1000, request.signal);
    }
  }

  async *watch(request: WatchRequest): AsyncGenerator<WatchEvent> {
    const name = `watch ${request.path}`;
    const query = { ...request.query, watch: true, allowWatchBookmarks: true };
    const response = await this.#send({ ...request, query, method: "GET" }, true);
    if (response.statusCode >= 300) {
      const text = await this.#orApiError(name, request.signal, () => response.body.text());
      throw refusal(name, response.statusCode, text, response.headers["retry-after"]);
    }
    const lines = new LineDecoder();
    const chunks = response.body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.#orApiError(name, request.signal, () => chunks.next());
        if (done) break;
        for (const line of lines.push(value)) yield parseWatchEvent(line);
      }
    } finally {
      response.body.destroy();
    }
    if (lines.isWithinLine) throw new ApiError("Unreachable", `${name}: cut within an event`, { status: 0 });
  }

  /** A typed client of one resource. Without `parse`, objects are trusted to be what the API server validated. */
  resource<T extends KubeObject>(resource: ApiResource, parse?: (raw: unknown) => T): ResourceClient<T> {
    return new ResourceClient<T>({ api: this, resource, ...(parse && { parse }) });
  }

  /** Ends all connections; requests that still run reject. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Sends once, and once more with fresh credentials after a 401: tokens rotate while we hold the old one. */
  async #send(request: ApiRequest, streaming: boolean): ReturnType<Transport["send"]> {
    const name = `${request.method} ${request.path}`;
    const attempt = async (force: boolean) => {
      const credentials = await this.#config.credentials(force);
      const outgoing = {
        method: request.method,
        path: request.path + queryString(request.query ?? {}),
        headers: {
          accept: "application/json",
          "user-agent": this.#userAgent,
          ...(request.body !== undefined && { "content-type": request.contentType ?? "application/json" }),
          ...credentials.headers,
        },
        body: request.body === undefined ? undefined : JSON.stringify(request.body),
        signal: request.signal,
        streaming,
      };
      return await this.#orApiError(name, request.signal, () => this.#transport.send(outgoing, credentials.tls));
    };
    const response = await attempt(false);
    if (response.statusCode !== 401) return response;
    await response.body.dump();
    return await attempt(true);
  }

  async #orApiError<R>(name: string, signal: AbortSignal | undefined, work: () => Promise<R>): Promise<R> {
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      throw ApiError.fromNetwork(error, name);
    }
  }
}

function refusal(request: string, status: number, body: string, retryAfter: string | string[] | undefined): ApiError {
  return ApiError.fromResponse({
    status,
    body,
    request,
    retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
  });
}

function parseBody(text: string, request: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError("InternalError", `${request}: the answer is not JSON`, { status: 500, cause: error });
  }
}
