// An error that QEMU answered a command with.

import { Failure } from "../runtime/failure.ts";

/** `error.class` is nearly always GenericError; CommandNotFound tells a feature that this QEMU lacks. */
export class QmpError extends Failure {
  readonly command: string;
  readonly class: string;
  /** QEMU's own text. */
  readonly description: string;

  constructor(options: { command: string; class: string; description: string }) {
    super("QmpError", `${options.command}: ${options.description}`);
    this.name = "QmpError";
    this.command = options.command;
    this.class = options.class;
    this.description = options.description;
  }
}
