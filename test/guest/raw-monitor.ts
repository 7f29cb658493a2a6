// A minimal QMP client for tests: independent of the code under test.

import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";

const line = z.looseObject({
  id: z.number().optional(),
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
  event: z.string().optional(),
});

/** One command at a time on a monitor of one's own. */
export class RawMonitor implements Disposable {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (reply: z.output<typeof line>) => void>();
  readonly events: string[] = [];
  #nextId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket }).on("line", (text) => {
      const reply = line.parse(JSON.parse(text));
      if (reply.event !== undefined) this.events.push(reply.event);
      if (reply.id !== undefined) this.#waiting.get(reply.id)?.(reply);
    });
  }

  static async connect(path: string): Promise<RawMonitor> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const monitor = new RawMonitor(socket);
    await monitor.execute("qmp_capabilities");
    return monitor;
  }

  async execute(command: string, args?: object): Promise<unknown> {
    const id = ++this.#nextId;
    const reply = await new Promise<z.output<typeof line>>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
    if (reply.error !== undefined) throw new Error(`${command}: ${reply.error.desc}`);
    return reply.return;
  }

  async runState(): Promise<string> {
    return z.looseObject({ status: z.string() }).parse(await this.execute("query-status")).status;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
