// Cuts a byte stream into lines, whatever the chunking. A line has a bound, so that a broken peer cannot fill the memory.

import { Failure } from "../runtime/failure.ts";

const newline = 0x0a;

export class LineDecoder {
  readonly #maxLineBytes: number;
  readonly #decoder = new TextDecoder();
  #parts: Uint8Array[] = [];
  #partBytes = 0;

  /** The default is far above etcd's 1.5 MiB an object, JSON escapes included. */
  constructor(options: { maxLineBytes?: number } = {}) {
    this.#maxLineBytes = options.maxLineBytes ?? 16 * 1024 * 1024;
  }

  /** Yields the lines that this chunk completes; blank ones are left out. Throws `LineTooLong` beyond the bound. */
  *push(chunk: Uint8Array): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end));
      start = end + 1;
      const line = this.#take();
      if (line.trim() !== "") yield line;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** Whether bytes of an unfinished line are held: at the end of a stream, it was cut within a line. */
  get isWithinLine(): boolean {
    return this.#partBytes > 0;
  }

  #keep(part: Uint8Array): void {
    this.#partBytes += part.length;
    if (this.#partBytes > this.#maxLineBytes) {
      throw new Failure("LineTooLong", `a line of the stream exceeds ${this.#maxLineBytes} bytes`, { retryable: true });
    }
    if (part.length > 0) this.#parts.push(part);
  }

  /** Decodes whole lines only: a character cut by a chunk boundary is whole again here. */
  #take(): string {
    const [first, ...rest] = this.#parts;
    const bytes = rest.length === 0 ? (first ?? new Uint8Array()) : Buffer.concat(this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
    return this.#decoder.decode(bytes);
  }
}
