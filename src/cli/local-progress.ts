// Progress of a local snapshot on stderr: a line per phase, on a terminal also the percentage of the memory.

import type { SnapshotReport } from "../snapshot/job.ts";

export class LocalProgress {
  readonly #stream: NodeJS.WriteStream;
  #shown = "";

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(report: SnapshotReport): void {
    const percent = report.phase === "SavingMemory" ? report.memory?.progressPercent : undefined;
    const line = percent !== undefined && this.#stream.isTTY ? `${report.phase} ${percent} %` : report.phase;
    if (line === this.#shown || line === "Completed" || line === "Failed") return;
    this.#shown = line;
    this.#stream.write(
      this.#stream.isTTY ? `\r\u001b[K${line}${report.phase === "SavingMemory" ? "" : "\n"}` : `${line}\n`,
    );
  }

  end(report: SnapshotReport): void {
    const { pause, error } = report;
    const paused =
      pause?.totalMilliseconds === undefined ? "" : `, the guest stood still for ${pause.totalMilliseconds} ms`;
    this.#stream.write(
      error === undefined ? `Completed${paused}\n` : `Failed/${error.reason}: ${error.message}${paused}\n`,
    );
  }
}
