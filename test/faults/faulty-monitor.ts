// Stands between the agent and QEMU's monitor: passes everything on, until a certain command comes by.

import { createConnection, createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** What the monitor does with the command it waits for. */
export type Treatment =
  /** Passes it on after the work. */
  | "before"
  /** Passes it on, and does the work when the reply is there; the reply is passed on then. */
  | "after"
  /** Answers it with an error; QEMU never hears of it. */
  | "refuse"
  /** Never answers it; QEMU never hears of it. */
  | "swallow";

interface Trap {
  readonly command: string;
  readonly treatment: Treatment;
  readonly spring: () => Promise<void>;
}

interface Line {
  readonly execute?: string;
  readonly id?: number;
}

export class FaultyMonitor implements AsyncDisposable {
  readonly path: string;
  readonly #target: () => string;
  #server: Server;
  readonly #sockets = new Set<Socket>();
  #trap: Trap | undefined;

  private constructor(path: string, target: () => string) {
    this.path = path;
    this.#target = target;
    this.#server = createServer();
  }

  static async listen(path: string, target: () => string): Promise<FaultyMonitor> {
    const monitor = new FaultyMonitor(path, target);
    await monitor.open();
    return monitor;
  }

  /** Listens, as QEMU does from its start. */
  async open(): Promise<void> {
    this.#server = createServer((client) => this.#accept(client));
    await new Promise<void>((resolve) => this.#server.listen(this.path, resolve));
  }

  /** Nobody listens any more, as after QEMU's end. */
  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Waits for the next such command, once; resolves when `work` has been done. */
  trap(command: string, treatment: Treatment, work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#trap = {
        command,
        treatment,
        spring: async () => {
          await work().then(resolve, reject);
        },
      };
    });
  }

  disarm(): void {
    this.#trap = undefined;
  }

  /** Breaks every session; new ones are served. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(client: Socket): void {
    const upstream = createConnection(this.#target());
    const both = [client, upstream];
    for (const socket of both) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        for (const other of both) other.destroy();
      });
    }
    /** The reply to this command is held back until the work is done. */
    let awaited: { id: number | undefined; spring: () => Promise<void> } | undefined;
    linesOf(client, (text) => {
      const { execute, id }: Line = JSON.parse(text);
      const trap = this.#trap;
      if (trap === undefined || execute !== trap.command) {
        upstream.write(`${text}\n`);
        return;
      }
      this.#trap = undefined;
      switch (trap.treatment) {
        case "before":
          void trap.spring().then(() => upstream.writable && upstream.write(`${text}\n`));
          return;
        case "after":
          awaited = { id, spring: trap.spring };
          upstream.write(`${text}\n`);
          return;
        case "refuse":
          client.write(`${JSON.stringify({ id, error: { class: "GenericError", desc: "refused by the test" } })}\n`);
          void trap.spring();
          return;
        case "swallow":
          void trap.spring();
          return;
      }
    });
    linesOf(upstream, (text) => {
      const pass = () => client.writable && client.write(`${text}\n`);
      const { id }: Line = JSON.parse(text);
      if (awaited === undefined || id === undefined || id !== awaited.id) {
        pass();
        return;
      }
      const { spring } = awaited;
      awaited = undefined;
      void spring().then(pass);
    });
  }
}

function linesOf(socket: Socket, onLine: (text: string) => void): void {
  // The interface has the socket's errors as its own.
  createInterface({ input: socket })
    .on("error", () => undefined)
    .on("line", onLine);
}
