// One child process of ours: its output goes to a file, and it is ended by the id it was started with.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** A process that the tests or the quickstart run beside themselves. */
export class ManagedProcess implements AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;

  constructor(options: {
    name: string;
    argv: readonly string[];
    logFile: string;
    env?: Readonly<Record<string, string>>;
  }) {
    this.name = options.name;
    this.logFile = options.logFile;
    const log = openSync(options.logFile, "a");
    const [command, ...rest] = options.argv;
    if (command === undefined) throw new Error(`${options.name}: an empty command line`);
    this.#child = spawn(command, rest, { stdio: ["ignore", log, log], env: { ...process.env, ...options.env } });
    closeSync(log);
    this.#exited = new Promise((resolve, reject) => {
      this.#child.once("exit", (code) => resolve(code));
      this.#child.once("error", reject);
    });
  }

  get pid(): number {
    const pid = this.#child.pid;
    if (pid === undefined) throw new Error(`${this.name} did not start`);
    return pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves with the exit code, null after a signal. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  get log(): string {
    return readFileSync(this.logFile, "utf8");
  }

  /** Resident memory in MiB, now. */
  residentMebibytes(): number {
    const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    return Math.round(Number(match?.[1] ?? 0) / 1024);
  }

  /** Sends the signal and waits for the end; SIGKILL after ten seconds. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (!this.running) return;
    this.#child.kill(signal);
    const late = Symbol("late");
    const ended = await Promise.race([this.#exited, delay(10_000, late, { ref: false })]);
    if (ended === late) {
      this.#child.kill("SIGKILL");
      await this.#exited;
    }
  }

  /** Lets the process outlive its parent. */
  release(): void {
    this.#child.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
