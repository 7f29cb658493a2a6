// What a request to the fake API server is about: collection, namespace, name, and selectors.

import type { WatchRequest } from "../../src/kube/kube-client.ts";
import { asJson } from "./fake-apply.ts";

export interface Target {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

export function parsePath(path: string): Target {
  const parts = path.split("/").slice(1).map(decodeURIComponent);
  const prefix = parts.splice(0, parts[0] === "api" ? 2 : 3).join("/");
  const namespace = parts[0] === "namespaces" && parts.length > 2 ? parts.splice(0, 2)[1] : undefined;
  const [plural = "", name, subresource] = parts;
  return { collection: `${prefix}/${plural}`, namespace, name, subresource };
}

export function idOf(target: Target): string {
  return `${target.collection}/${target.namespace ?? ""}/${target.name}`;
}

export function isWithin(target: Target, wanted: Target): boolean {
  return target.collection === wanted.collection && (wanted.namespace ?? target.namespace) === target.namespace;
}

/** Equality terms on dotted fields and on labels. */
export function selectorOf(query: WatchRequest["query"]): (object: unknown) => boolean {
  const terms = (text: unknown, path: readonly string[]) =>
    (typeof text === "string" ? text : "")
      .split(",")
      .filter(Boolean)
      .map((term) => {
        const [name = "", value] = term.split(/==?/);
        return { path: path.length > 0 ? [...path, name] : name.split("."), value };
      });
  const all = [...terms(query?.["fieldSelector"], []), ...terms(query?.["labelSelector"], ["metadata", "labels"])];
  return (object) =>
    all.every(({ path, value }) => String(path.reduce((at: unknown, name) => asJson(at)[name], object)) === value);
}
