// The boundary of the file system: errno becomes a reason that a person can act on.

import { Failure, type FailureReason } from "../runtime/failure.ts";

const reasons: Readonly<Record<string, FailureReason>> = {
  ENOSPC: "NoSpace",
  EDQUOT: "NoSpace",
  EACCES: "PathNotAllowed",
  EPERM: "PathNotAllowed",
  EROFS: "PathNotAllowed",
  ELOOP: "PathNotAllowed",
  EEXIST: "FileExists",
};

/** Passes a Failure through; a system error gets the reason of its errno, anything else `otherwise`. */
export function fileFailure(error: unknown, what: string, otherwise: FailureReason = "InternalError"): Failure {
  if (error instanceof Failure) return error;
  const code = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  return new Failure(reasons[code ?? ""] ?? otherwise, `${what}: ${message}`, { cause: error });
}

/** The errno name of a system error, such as ENOENT. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
