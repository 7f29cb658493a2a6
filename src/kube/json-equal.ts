// Equality and containment of JSON values, as the API server sees them: an undefined field is no field.

/** Deep equality. The order of fields does not matter, that of lists does. */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => jsonEqual(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const names = definedNames(a);
  return (
    names.length === definedNames(b).length &&
    names.every((name) => Object.hasOwn(b, name) && jsonEqual(Reflect.get(a, name), Reflect.get(b, name)))
  );
}

/**
 * Whether `whole` shows everything that `part` says: fields of others may stand beside ours, and items of others in a list
 * that is merged by key. This is what a server-side apply of `part` would leave unchanged.
 */
export function jsonContains(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part)) {
    return Array.isArray(whole) && part.every((item) => whole.some((other) => jsonContains(other, item)));
  }
  if (!isObject(part)) return Object.is(whole, part);
  return (
    isObject(whole) &&
    definedNames(part).every(
      (name) => Object.hasOwn(whole, name) && jsonContains(Reflect.get(whole, name), Reflect.get(part, name)),
    )
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function definedNames(object: object): string[] {
  return Object.keys(object).filter((name) => Reflect.get(object, name) !== undefined);
}
