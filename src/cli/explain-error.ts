// Errors as people need them: one line with the remedy, and the exit code.

import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import { ApiError } from "../kube/api-error.ts";
import { Failure, failureReasons, isFailureReason } from "../runtime/failure.ts";
import { exitCodes } from "./exit-codes.ts";

/** The line and exit code for an error that ended a command. */
export function explainError(error: unknown): { readonly line: string; readonly code: number } {
  const failure = Failure.from(error);
  const oneLine = failure.message.replace(/\s+/g, " ").trim();
  // Of a refusal, the request's path tells people nothing that the answer does not.
  const message = failure instanceof ApiError && failure.status > 0 ? oneLine.replace(/^[A-Z]+ \/\S*: /, "") : oneLine;
  const remedy = failure instanceof ApiError ? apiRemedy(failure) : undefined;
  return { line: remedy === undefined ? message : `${message}; ${remedy}`, code: exitCodeOf(failure) };
}

function exitCodeOf(failure: Failure): number {
  if (failure instanceof ApiError) {
    return [400, 404, 409, 422].includes(failure.status) ? exitCodes.badInput : exitCodes.failed;
  }
  return ["InvalidSpec", "InvalidKubeConfig", "NotFound"].includes(failure.reason)
    ? exitCodes.badInput
    : exitCodes.failed;
}

function apiRemedy(error: ApiError): string | undefined {
  switch (error.status) {
    case 0:
      return "check that the cluster is up and that --kubeconfig and --context name it";
    case 401:
      return "log in to the cluster again";
    case 403:
      return "ask the cluster's admin for a role that allows it";
    case 404:
      return "check the namespace, and that the CRDs are installed: kubectl apply --server-side -f crds";
    case 409:
      return error.reason === "AlreadyExists" ? "choose another name, or delete that one first" : "try again";
    // 422 among them: the CRDs' rules say themselves what to do.
    default:
      return undefined;
  }
}

/** What went wrong in a snapshot, and who can do what about it. */
export function explainFailure(error: DomainSnapshotStatus["error"]): string {
  if (error === undefined) return "no error was recorded; look at the operator's log";
  const { reason, message } = error;
  const what = `${reason}: ${message}`;
  return isFailureReason(reason) ? `${what} (${failureReasons[reason]})` : what;
}
