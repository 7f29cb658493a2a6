// An error that no retry can mend: the controller leaves the key alone until its object changes.

import { Failure } from "../runtime/failure.ts";

/** Thrown by a reconcile whose input must change first. Any Failure that is not retryable means the same. */
export class TerminalFailure extends Failure {
  constructor(reason: string, message: string, options: { cause?: unknown } = {}) {
    super(reason, message, { ...options, retryable: false });
    this.name = "TerminalFailure";
  }
}

/** Whether to wait for the next event instead of trying again. Errors of unknown make are tried again. */
export function isTerminal(error: unknown): boolean {
  return error instanceof Failure && !error.retryable;
}
