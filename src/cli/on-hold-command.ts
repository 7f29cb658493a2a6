// The storage owner's command: runs once while the guest is held; its exit code decides.

import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import type { SnapshotReport } from "../snapshot/job.ts";
import type { LocalControl } from "./local-control.ts";

export class OnHoldCommand {
  readonly #command: string | undefined;
  readonly #directory: string;
  readonly #control: LocalControl;
  readonly #signal: AbortSignal;
  #child: ChildProcess | undefined;
  #exited: Promise<void> | undefined;
  #failure: string | undefined;
  #endedByUs = false;

  constructor(options: { command: string | undefined; directory: string; control: LocalControl; signal: AbortSignal }) {
    this.#command = options.command;
    this.#directory = options.directory;
    this.#control = options.control;
    this.#signal = options.signal;
  }

  /** Why the command did not succeed. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Starts the command at the begin of the hold; ends it when the hold is over without it. */
  look(report: SnapshotReport): void {
    if (report.phase === "ManualStoragePending" && this.#child === undefined) this.#start(report);
    else if (report.phase === "Completed" || report.phase === "Failed") this.#end();
    else if (report.phase === "Resuming" && this.#control.desired() === "Held") this.#end();
  }

  /** Resolves when the command, if it was started, has ended. */
  async ended(): Promise<void> {
    await this.#exited;
  }

  #start(report: SnapshotReport): void {
    const child = spawn("sh", ["-c", this.#command ?? "true"], {
      // Its output must not mix with the result on stdout.
      stdio: ["ignore", 2, 2],
      detached: true,
      env: { ...process.env, DSNAP_DIRECTORY: this.#directory, DSNAP_DISKS: JSON.stringify(this.#disks(report)) },
    });
    this.#child = child;
    this.#signal.addEventListener("abort", () => this.#end(), { once: true });
    this.#exited = new Promise((ended) => {
      const settle = (failure: string | undefined) => {
        if (!this.#endedByUs) this.#failure = failure;
        this.#control.decide(failure === undefined ? "Released" : "Aborted");
        ended();
      };
      child.once("error", (error) => settle(`the command cannot be started: ${error.message}`));
      child.once("exit", (code, signal) => settle(code === 0 ? undefined : `the command ended with ${code ?? signal}`));
    });
  }

  /** With absolute paths, whatever the command's own directory. */
  #disks(report: SnapshotReport): object[] {
    return (report.disks ?? []).map((disk) => ({
      ...disk,
      ...(disk.overlay !== undefined && { overlay: resolve(this.#directory, disk.overlay) }),
    }));
  }

  /** The command and what it started: it leads a process group of its own. */
  #end(): void {
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.#endedByUs = true;
    try {
      process.kill(-child.pid, "SIGTERM");
    } catch {
      child.kill("SIGKILL");
    }
  }
}
