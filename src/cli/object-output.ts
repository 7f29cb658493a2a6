// Objects as JSON or YAML, as kubectl prints them.

import { stringify } from "yaml";

/** The text of an object or list, without managedFields, which outweigh the rest and tell readers nothing. */
export function objectOutput(object: unknown, format: "json" | "yaml"): string {
  const clean: unknown = JSON.parse(
    JSON.stringify(object, (key, value: unknown) => (key === "managedFields" ? undefined : value)),
  );
  if (format === "json") return JSON.stringify(clean, null, 2);
  // kubectl reads YAML 1.1, to which a bare no is false and a bare 2026-01-01T00:00:00Z a time.
  return stringify(clean, { lineWidth: 0, compat: "yaml-1.1" }).trimEnd();
}
