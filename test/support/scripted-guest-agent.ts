// A qemu-guest-agent that does what a test wants, in the words of the real one (recorded from 7.2 over its unix-listen
// channel): an error line for a stray 0xFF, 0xFF before a delimited reply, 0 file systems for a needless thaw.

import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";

/** How a command is answered: with a value, with an error, or never. */
export type AgentAnswer = { readonly value: unknown } | { readonly error: string } | "hang";

export class ScriptedGuestAgent implements AsyncDisposable {
  readonly path: string;
  readonly calls: { readonly command: string; readonly at: number; readonly args: Record<string, unknown> }[] = [];
  frozen = false;
  /** Answers a command otherwise than the real one would. */
  answer: (command: string, call: number) => AgentAnswer | undefined = () => undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(path: string): Promise<ScriptedGuestAgent> {
    const agent = new ScriptedGuestAgent(path);
    await rm(path, { force: true });
    await new Promise<void>((resolve) => agent.#server.listen(path, resolve));
    return agent;
  }

  /** How often the command came. */
  count(command: string): number {
    return this.calls.filter((call) => call.command === command).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    let text = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        this.#line(socket, line);
      }
    });
  }

  #line(socket: Socket, line: string): void {
    if (line.startsWith("\xff")) {
      const desc = "JSON parse error, stray '\\uFFFD'";
      socket.write(`${JSON.stringify({ error: { class: "GenericError", desc } })}\n`);
    }
    const { execute: command, arguments: args = {} }: { execute: string; arguments?: Record<string, unknown> } =
      JSON.parse(line.replaceAll("\xff", ""));
    this.calls.push({ command, at: Date.now(), args });
    const answer = this.answer(command, this.count(command)) ?? this.#real(command, args);
    if (answer === "hang") return;
    const reply =
      "error" in answer ? { error: { class: "GenericError", desc: answer.error } } : { return: answer.value };
    const delimiter = command === "guest-sync-delimited" ? Buffer.from([0xff]) : Buffer.alloc(0);
    socket.write(Buffer.concat([delimiter, Buffer.from(`${JSON.stringify(reply)}\n`)]));
  }

  #real(command: string, args: Record<string, unknown>): AgentAnswer {
    switch (command) {
      case "guest-sync-delimited":
        return { value: args["id"] };
      case "guest-fsfreeze-freeze":
        this.frozen = true;
        return { value: 2 };
      case "guest-fsfreeze-thaw": {
        const value = this.frozen ? 2 : 0;
        this.frozen = false;
        return { value };
      }
      case "guest-set-time":
        return { value: {} };
      default:
        return { error: `The command ${command} has not been found` };
    }
  }
}
