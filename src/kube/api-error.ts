// What the API server refused, as one error class. HTTP and network errors become an ApiError here and nowhere else.

import { Failure } from "../runtime/failure.ts";

/** One detail of a refusal: which field, why. */
export interface ApiErrorCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

/** Statuses that no repetition of the same request can mend. */
const finalStatuses = new Set([400, 405, 406, 413, 415, 422]);

const reasonOfStatus: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  410: "Gone",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/**
 * A refused or failed request. `reason` is the API's own (NotFound, AlreadyExists, Conflict, Invalid, Expired, ...), or
 * `Unreachable` when no answer came (`status` is 0 then).
 */
export class ApiError extends Failure {
  /** HTTP status, 0 when there was no answer. */
  readonly status: number;
  readonly causes: readonly ApiErrorCause[];
  /** How long the server asked to wait before the next try. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    reason: string,
    message: string,
    options: {
      status: number;
      causes?: readonly ApiErrorCause[];
      retryAfterSeconds?: number | undefined;
      cause?: unknown;
    },
  ) {
    super(reason, message, { cause: options.cause, retryable: !finalStatuses.has(options.status) });
    this.name = "ApiError";
    this.status = options.status;
    this.causes = options.causes ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** From a `Status` object: the body of a refusal, or the object of a watch's ERROR event. */
  static fromStatus(
    body: unknown,
    options: { status?: number; request?: string; retryAfter?: string | undefined } = {},
  ): ApiError {
    const status = numberOf(body, "code") ?? options.status ?? 500;
    const reason = textOf(body, "reason") || reasonOfStatus[status] || "InternalError";
    const message = textOf(body, "message") ?? `HTTP ${status}`;
    const details = fieldOf(body, "details");
    const rawCauses = fieldOf(details, "causes");
    return new ApiError(reason, options.request === undefined ? message : `${options.request}: ${message}`, {
      status,
      causes: Array.isArray(rawCauses) ? rawCauses.map(parseCause) : [],
      retryAfterSeconds: retryAfterSeconds(options.retryAfter) ?? numberOf(details, "retryAfterSeconds"),
    });
  }

  /** From an answer that is not 2xx. Bodies that are no `Status` (a proxy's page) are kept in part. */
  static fromResponse(options: {
    status: number;
    body: string;
    request: string;
    retryAfter?: string | undefined;
  }): ApiError {
    let body: unknown;
    try {
      body = JSON.parse(options.body);
    } catch {
      body = { message: options.body.slice(0, 300).trim() || `HTTP ${options.status}` };
    }
    const code = numberOf(body, "code") ?? options.status;
    const whole = typeof body === "object" && body !== null ? { ...body, code } : { code };
    return ApiError.fromStatus(whole, options);
  }

  /** From an exception below HTTP: refused, reset, timed out, bad certificate. */
  static fromNetwork(error: unknown, request: string): ApiError {
    if (error instanceof ApiError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new ApiError("Unreachable", `${request}: no answer from the API server: ${message}`, {
      status: 0,
      cause: error,
    });
  }

  /** Another field manager owns a field that was applied without force: told apart from a stale resourceVersion by its causes. */
  get isFieldManagerConflict(): boolean {
    return this.status === 409 && this.causes.some((cause) => cause.reason === "FieldManagerConflict");
  }

  /** The resourceVersion or continue token is too old for the server's history: list again. */
  get isExpired(): boolean {
    return this.status === 410;
  }

  /** The resourceVersion is newer than the server's (etcd restored from a backup): list again. */
  get isResourceVersionTooLarge(): boolean {
    return this.causes.some((cause) => cause.reason === "ResourceVersionTooLarge");
  }
}

/** Whether an error is the API's refusal with that reason, such as "NotFound" or "Conflict". */
export function isApiError(error: unknown, reason: string): error is ApiError {
  return error instanceof ApiError && error.reason === reason;
}

function parseCause(raw: unknown): ApiErrorCause {
  const [reason, message, field] = [textOf(raw, "reason"), textOf(raw, "message"), textOf(raw, "field")];
  return { ...(reason && { reason }), ...(message && { message }), ...(field && { field }) };
}

/** Seconds, or an HTTP date, which API servers never send: ignored. */
function retryAfterSeconds(header: string | undefined): number | undefined {
  return header !== undefined && /^\d+$/.test(header) ? Number(header) : undefined;
}

function fieldOf(raw: unknown, name: string): unknown {
  return typeof raw === "object" && raw !== null ? Reflect.get(raw, name) : undefined;
}

function textOf(raw: unknown, name: string): string | undefined {
  const value = fieldOf(raw, name);
  return typeof value === "string" ? value : undefined;
}

function numberOf(raw: unknown, name: string): number | undefined {
  const value = fieldOf(raw, name);
  return typeof value === "number" ? value : undefined;
}
