// One line of a watch, parsed.

import { ApiError } from "./api-error.ts";

/** What a watch can tell. `object` is raw: the resource's parser has not seen it yet. */
export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: unknown }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string }
  | { readonly type: "ERROR"; readonly error: ApiError };

/** Parses a line. Types this client does not know throw, since what they mean for the cache is unknown too. */
export function parseWatchEvent(line: string): WatchEvent {
  const raw: unknown = JSON.parse(line);
  const type: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "type") : undefined;
  const object: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "object") : undefined;
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type, object };
    case "BOOKMARK":
      return { type, resourceVersion: resourceVersionOf(object) ?? "" };
    case "ERROR":
      return { type, error: ApiError.fromStatus(object, { request: "watch" }) };
    default:
      throw new ApiError("InternalError", `unknown watch event: ${line.slice(0, 200)}`, { status: 500 });
  }
}

/** `metadata.resourceVersion` of a raw object or list. */
export function resourceVersionOf(raw: unknown): string | undefined {
  const metadata: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "metadata") : undefined;
  const version: unknown =
    typeof metadata === "object" && metadata !== null ? Reflect.get(metadata, "resourceVersion") : undefined;
  return typeof version === "string" && version !== "" ? version : undefined;
}
