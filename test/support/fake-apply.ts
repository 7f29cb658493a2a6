// JSON merging for the fake API server: merge patches, and an approximation of server-side apply.

export type Json = Record<string, unknown>;

/** RFC 7386, which is close enough to an apply once {@link absent} has named what is to go. */
export function merge(current: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const result: Json = { ...asJson(current) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null) delete result[name];
    else result[name] = merge(result[name], value);
  }
  return result;
}

/** Nulls for every field that `before` has and `now` has not. */
export function absent(before: unknown, now: unknown): Json {
  const result: Json = {};
  for (const [name, value] of Object.entries(asJson(before))) {
    const present = asJson(now)[name];
    if (present === undefined) result[name] = null;
    else if (isMap(value) && isMap(present)) result[name] = absent(value, present);
  }
  return result;
}

function isMap(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function asJson(value: unknown): Json {
  return isMap(value) ? value : {};
}
