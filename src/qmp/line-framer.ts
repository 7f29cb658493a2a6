// QMP's framing: one JSON object per line. Chunks may break anywhere; a line is bounded.

import { Failure } from "../runtime/failure.ts";

/** QEMU's largest honest reply (query-qmp-schema) is below 1 MiB. */
export const defaultMaxLineBytes = 16 << 20;

/** Cuts a byte stream into lines. */
export class LineFramer {
  readonly #maxLineBytes: number;
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(options: { maxLineBytes?: number } = {}) {
    this.#maxLineBytes = options.maxLineBytes ?? defaultMaxLineBytes;
  }

  /** Takes the next bytes and gives the lines they complete, without line ends; throws Failure on a line too long. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      const line = Buffer.concat(this.#parts).toString("utf8").trimEnd();
      this.#parts = [];
      this.#partBytes = 0;
      if (line !== "") lines.push(line);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#partBytes += part.length;
    if (this.#partBytes > this.#maxLineBytes) {
      throw new Failure(
        "MonitorUnavailable",
        `the monitor sent a line of more than ${this.#maxLineBytes} bytes: it is not a QMP socket`,
      );
    }
    this.#parts.push(part);
  }
}
