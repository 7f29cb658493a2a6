import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectQmp } from "./connection.ts";

interface Command {
  readonly execute: string;
  readonly id: number;
}

/** Greets, then answers each command with the lines that `answer` gives. */
class ScriptedPeer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: { path: string; greets: boolean; answer: (command: Command) => readonly object[] }) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      const send = (message: object) => socket.write(`${JSON.stringify(message)}\r\n`);
      if (options.greets) {
        send({ QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: "test" }, capabilities: [] } });
      }
      createInterface({ input: socket }).on("line", (line) => {
        const command: Command = JSON.parse(line);
        if (command.execute === "quit") socket.destroy();
        else if (command.execute === "qmp_capabilities") send({ return: {}, id: command.id });
        else for (const reply of options.answer(command)) send(reply);
      });
    });
    this.#server.listen(options.path);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

let directory: string;
let peer: ScriptedPeer | undefined;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "dsnap-qmp-"));
  path = join(directory, "qmp");
});

afterEach(async () => {
  await peer?.stop();
  peer = undefined;
  await rm(directory, { recursive: true, force: true });
});

function listen(answer: (command: Command) => readonly object[], greets = true): void {
  peer = new ScriptedPeer({ path, greets, answer });
}

const timestamp = { seconds: 1, microseconds: 500_000 };

describe("a QMP session", () => {
  it("matches replies by id, whatever their order, and passes events on", async () => {
    let first: Command | undefined;
    listen((command) => {
      if (first === undefined) {
        first = command;
        return [{ event: "STOP", timestamp }];
      }
      return [
        { return: command.execute, id: command.id },
        { return: first.execute, id: first.id },
      ];
    });
    await using connection = await connectQmp({ path });
    const events: unknown[] = [];
    connection.on("STOP", (event) => events.push(event));
    connection.on("RESUME", (event) => events.push(event));
    expect(await Promise.all([connection.execute("a"), connection.execute("b")])).toEqual(["a", "b"]);
    expect(events).toEqual([{ event: "STOP", data: {}, at: 1500 }]);
    expect(connection.version).toMatchObject({ major: 7, minor: 2 });
  });

  it("turns a refusal into an error that names the command", async () => {
    listen(({ id }) => [{ error: { class: "GenericError", desc: "no such thing" }, id }]);
    await using connection = await connectQmp({ path });
    await expect(connection.execute("stop")).rejects.toMatchObject({
      class: "GenericError",
      message: "stop: no such thing",
    });
  });

  it("says that another client holds a monitor which does not greet", async () => {
    listen(() => [], false);
    const connecting = connectQmp({ path, greetingTimeoutMilliseconds: 50 });
    await expect(connecting).rejects.toMatchObject({
      reason: "MonitorBusy",
      message: expect.stringContaining("another client holds this monitor"),
    });
  });

  it("says that there is no socket", async () => {
    await expect(connectQmp({ path })).rejects.toMatchObject({ reason: "MonitorUnavailable" });
  });

  it("bounds a command that is not answered, and can be aborted", async () => {
    listen(() => []);
    await using connection = await connectQmp({ path });
    await expect(connection.execute("stop", {}, { timeoutMilliseconds: 20 })).rejects.toMatchObject({
      reason: "MonitorUnavailable",
    });
    const abort = new AbortController();
    const pending = connection.execute("stop", {}, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(pending).rejects.toThrow("enough");
  });

  it("rejects what is pending when QEMU goes, and says so", async () => {
    listen(() => []);
    await using connection = await connectQmp({ path });
    const pending = connection.execute("stop");
    connection.execute("quit").catch(() => undefined);
    await expect(pending).rejects.toMatchObject({ reason: "MonitorUnavailable" });
    await expect(connection.closed).resolves.toMatchObject({ reason: "MonitorUnavailable" });
    await expect(connection.execute("cont")).rejects.toMatchObject({ reason: "MonitorUnavailable" });
  });

  it("ends when the peer speaks something else", async () => {
    listen(() => [{ hello: "world" }]);
    await using connection = await connectQmp({ path });
    await expect(connection.execute("stop")).rejects.toMatchObject({ message: expect.stringContaining("not QMP") });
  });
});
