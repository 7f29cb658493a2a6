// What the quickstart tells its reader: one line per event, with the seconds since it began.

import { styleText } from "node:util";

export class Narrator {
  readonly #start = performance.now();
  readonly #stream: NodeJS.WriteStream;

  /** With --json, people read stderr and programs stdout. */
  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  heading(text: string): void {
    this.#line(`\n${this.#style("bold", text)}`);
  }

  step(text: string): void {
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(1).padStart(6);
    this.#line(`${this.#style("dim", `${seconds}s`)}  ${text}`);
  }

  good(text: string): void {
    this.step(`${this.#style("green", "✓")} ${text}`);
  }

  bad(text: string): void {
    this.step(`${this.#style("red", "✗")} ${text}`);
  }

  plain(text: string): void {
    this.#line(text);
  }

  #style(format: "bold" | "dim" | "green" | "red", text: string): string {
    return this.#stream.isTTY ? styleText(format, text) : text;
  }

  #line(text: string): void {
    this.#stream.write(`${text}\n`);
  }
}
