// The one error class of the project: every boundary (HTTP, QMP, file system, zod) converts into it exactly once.

/**
 * Every reason a snapshot can fail with, CamelCase as Kubernetes conditions want it, with who can mend it.
 * They appear as `status.error.reason` and as the reason of the condition `Ready`.
 */
export const failureReasons = {
  DomainNotFound: "user: spec.domainRef names no Domain in this namespace",
  DomainNotRunning: "user: the guest is shut off, crashed or suspended; start it first",
  DomainBusy: "nobody: another snapshot, block job or migration of this domain runs; wait",
  InvalidDisk: "user: a disk is unknown, listed twice, or cannot take the mode asked for",
  InvalidSpec: "user: the fields of the spec contradict each other",
  NothingSelected: "user: no memory and no disk is selected",
  CaptureUnavailable: "user: this guest's QEMU cannot do the capture mode",
  IdentityMismatch: "admin: the guest behind the monitor socket has another UUID than the domain",
  MonitorUnavailable: "admin: the QMP socket is gone or does not answer",
  MonitorBusy: "admin: another client holds the QMP socket; give the agent a socket of its own",
  MigrationBlocked: "user: a device of the guest cannot be migrated",
  FileExists: "user: a file that would be written exists; name another or remove it",
  PathNotAllowed: "admin: a path lies outside the domain's allowed directories",
  NoSpace: "admin: not enough free space for the memory file",
  MemorySaveFailed: "admin: QEMU could not write the memory file",
  DiskSwitchFailed: "admin: QEMU refused an overlay or the transaction",
  DiskChangeFailed: "admin: the domain's diskChangeCommand failed",
  ExternalNotSupported: "admin: whoever starts this guest cannot be told of a new disk image",
  PauseTimeout: "admin: the stop before the hold took longer than its bound",
  ResumeFailed: "admin: QEMU did not resume the guest; look at it at once",
  QuiesceFailed: "user: the guest's own agent could not freeze or thaw its file systems",
  HoldExpired: "user: nobody resumed before hold.timeoutSeconds",
  HoldLost: "admin: somebody else resumed the guest during the hold",
  Aborted: "user: abort was requested",
  HookFailed: "user: the command run during the hold failed",
  CommandFailed: "admin: QEMU refused a command of the monitor; its words are in the message, more may be in its log",
  GuestLost: "admin: QEMU exited or was replaced",
  AgentLost: "admin: the agent of the domain's node is gone",
  Replayed: "user: a restored or re-created object must not pause a guest again",
  DeadlineExceeded: "user: spec.notAfter or spec.startDeadlineSeconds had passed before the snapshot could begin",
  NotAuthorized: "admin: the caller may not do this",
  InternalError: "developers: a defect of this project",
} as const;

/** One of {@link failureReasons}. */
export type FailureReason = keyof typeof failureReasons;

/** The reason as users may meet it: what a boundary called otherwise is a refusal of QEMU's, or a defect. */
export function userReason(failure: Failure): FailureReason {
  if (isFailureReason(failure.reason)) return failure.reason;
  return failure.reason === "QmpError" ? "CommandFailed" : "InternalError";
}

/** An error with a stable reason. Messages say what, where, and what to do. */
export class Failure extends Error {
  /** Stable CamelCase reason. A plain string, since boundaries below the engine (QMP, HTTP) have reasons of their own. */
  readonly reason: string;
  /** True if the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;

  constructor(reason: string, message: string, options: { cause?: unknown; retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Failure";
    this.reason = reason;
    this.retryable = options.retryable ?? false;
  }

  /** Passes a Failure through and wraps anything else under `reason`. */
  static from(error: unknown, reason: FailureReason = "InternalError"): Failure {
    if (error instanceof Failure) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new Failure(reason, message, { cause: error });
  }
}

/** Whether a reason is one that users meet in a status. */
export function isFailureReason(reason: string): reason is FailureReason {
  return Object.hasOwn(failureReasons, reason);
}
