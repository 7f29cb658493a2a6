// Stands before the API server and answers some requests itself, as a server in trouble does; the rest pass through.

import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Agent, request } from "node:https";
import type { AddressInfo, Socket } from "node:net";

/** How a request is answered instead of being passed on; `lost` is passed on, and its answer thrown away. */
export const quickTroubles = [409, 410, 429, 500, 503, "cut", "lost"] as const;
export type Trouble = (typeof quickTroubles)[number] | "hang";

export class FlakyApiServer implements AsyncDisposable {
  /** What happens to the next request; undefined passes it on. */
  trouble: (method: string, path: string) => Trouble | undefined = () => undefined;
  readonly told = new Map<Trouble, number>();
  readonly #target: URL;
  readonly #agent: Agent;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string, caFile: string) {
    this.#target = new URL(target);
    this.#agent = new Agent({ keepAlive: true, ca: readFileSync(caFile) });
    this.#server = createServer((incoming, outgoing) => this.#serve(incoming, outgoing));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  static async listen(target: string, caFile: string): Promise<FlakyApiServer> {
    const proxy = new FlakyApiServer(target, caFile);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  /** Breaks every connection, watches among them. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cutAll();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = "GET", url: path = "/" } = incoming;
    const trouble = this.trouble(method, path);
    if (trouble !== undefined) this.told.set(trouble, (this.told.get(trouble) ?? 0) + 1);
    switch (trouble) {
      case undefined:
        this.#pass(incoming, outgoing);
        return;
      case "hang":
        incoming.resume();
        return;
      case "cut":
        incoming.socket.destroy();
        return;
      case "lost":
        this.#pass(incoming, undefined, () => incoming.socket.destroy());
        return;
      default:
        incoming.resume();
        outgoing.writeHead(trouble, { "content-type": "application/json", "retry-after": "1" });
        outgoing.end(JSON.stringify({ kind: "Status", status: "Failure", code: trouble, reason: reasons[trouble] }));
    }
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse | undefined, done: () => void = () => undefined): void {
    const { method, headers } = incoming;
    const target = new URL(incoming.url ?? "/", this.#target);
    const passed = request(target, { method, headers, agent: this.#agent }, (answer) => {
      if (outgoing === undefined) {
        answer.resume().once("end", done);
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
      answer.once("error", () => outgoing.destroy());
    });
    passed.once("error", () => (outgoing === undefined ? done() : outgoing.destroy()));
    outgoing?.once("close", () => passed.destroy());
    incoming.pipe(passed);
  }
}

const reasons = {
  409: "Conflict",
  410: "Expired",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
} as const;
