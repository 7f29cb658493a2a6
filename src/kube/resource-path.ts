// The URL path of a resource: collection, object, subresource.

import { Failure } from "../runtime/failure.ts";
import type { ApiResource } from "./kube-object.ts";

/**
 * Path below the server's URL. Without a name it is the collection; without a namespace, a namespaced collection spans all
 * namespaces. Every part is escaped, so that a name from user input can never reach another resource.
 */
export function resourcePath(
  resource: ApiResource,
  at: { namespace?: string | undefined; name?: string | undefined; subresource?: string | undefined } = {},
): string {
  if (resource.namespaced && at.name !== undefined && !at.namespace) {
    throw new Failure("InvalidSpec", `${resource.kind} ${at.name} is namespaced: name its namespace`);
  }
  const parts = resource.group === "" ? ["api", resource.version] : ["apis", resource.group, resource.version];
  if (resource.namespaced && at.namespace) parts.push("namespaces", segment(at.namespace));
  parts.push(resource.plural);
  if (at.name !== undefined) parts.push(segment(at.name));
  if (at.subresource !== undefined) parts.push(at.subresource);
  return `/${parts.join("/")}`;
}

/** Query string with its "?", or "". Undefined values are left out. */
export function queryString(query: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

function segment(text: string): string {
  if (text === "" || text === "." || text === "..") throw new Failure("InvalidSpec", `"${text}" is not a name`);
  return encodeURIComponent(text);
}
