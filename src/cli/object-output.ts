// Objects as JSON or YAML, as kubectl prints them.

import { stringify } from "yaml";

/** The text of an object or list, without managedFields, which outweigh the rest and tell readers nothing. */
export function objectOutput(object: unknown, format: "json" | "yaml"): string {
  const clean: unknown = JSON.parse(
    JSON.stringify(object, (key, value: unknown) => (key === "managedFields" ? undefined : value)),
  );
  return format === "json" ? JSON.stringify(clean, null, 2) : stringify(clean, { lineWidth: 0 }).trimEnd();
}
