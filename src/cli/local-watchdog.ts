// A detached process that outlives a `local` that is killed, and lets the guest run again.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { LocalState } from "./local-state.ts";

const startMilliseconds = 5000;

/** Watches this process through a pipe: its end without a word is the death of this process. */
export class LocalWatchdog implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves once it watches, so that its start does not compete with the pause. */
  static async start(options: { monitorPath: string; state: LocalState }): Promise<LocalWatchdog> {
    const { monitorPath, state } = options;
    const program = process.argv[1] ?? "";
    const child = spawn(
      process.execPath,
      [
        ...[...process.execArgv, program, "local", "--recover", "--when-parent-ends"],
        ...["--qmp", monitorPath, "--state-directory", state.directory],
      ],
      { detached: true, stdio: ["pipe", "pipe", "ignore"] },
    );
    child.stdin.on("error", () => undefined);
    const watching = Promise.race([once(child.stdout, "data"), once(child, "exit")]);
    await Promise.race([watching, once(AbortSignal.timeout(startMilliseconds), "abort")]);
    child.stdout.destroy();
    child.unref();
    return new LocalWatchdog(child);
  }

  /** All is well: it ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.ref();
    this.#child.stdin?.end("well\n");
    await ended;
  }
}
