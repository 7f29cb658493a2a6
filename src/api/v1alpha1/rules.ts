// CEL rules that more than one kind needs. Messages name the field and say what to do.

import type { ValidationRule } from "../kubernetes-extensions.ts";

/** `spec.<field>` may neither change, nor come, nor go. Belongs on the spec. */
export function immutable(field: string, required: boolean, remedy: string): ValidationRule {
  const [now, before] = [`self.${field}`, `oldSelf.${field}`];
  return {
    rule: required ? `${now} == ${before}` : `has(${now}) == has(${before}) && (!has(${now}) || ${now} == ${before})`,
    message: `spec.${field} is immutable: ${remedy}`,
    reason: "FieldValueForbidden",
    fieldPath: `.${field}`,
  };
}

/** Belongs on the spec of both kinds that carry `capture` and `memory`. */
export const captureNeedsMemory: ValidationRule = {
  rule: "self.capture == 'paused' || (has(self.memory) && self.memory.snapshot == 'external')",
  messageExpression:
    "'spec.capture: ' + self.capture + ' captures memory; set spec.memory.snapshot: external, or spec.capture: paused'",
  message: "spec.capture: live and background need spec.memory.snapshot: external",
  fieldPath: ".capture",
};

export const quiesceWithoutMemory: ValidationRule = {
  rule: "self.quiesce == 'Never' || !has(self.memory) || self.memory.snapshot == 'none'",
  message:
    "spec.quiesce: a guest agent's freeze is only possible without memory; set spec.quiesce: Never, or leave out spec.memory",
  fieldPath: ".quiesce",
};

/** Belongs on an object with `snapshot` and `file`. */
export const memoryFileOnlyExternal: ValidationRule = {
  rule: "!has(self.file) || self.snapshot == 'external'",
  message: "memory.file: only with memory.snapshot: external; leave out the file, or set snapshot: external",
  fieldPath: ".file",
};

/** What makes `self.file` a file that can be named on a node. `field` is how messages call it. */
export function sanePath(field: string): ValidationRule[] {
  const wrong = (rule: string, message: string): ValidationRule => ({
    rule: `!has(self.file) || ${rule}`,
    message: `${field}: ${message}`,
    fieldPath: ".file",
  });
  return [
    wrong(
      "!self.file.matches('(^|/)[.][.](/|$)')",
      "must not have a component ..; name the file relative to its directory, or absolute",
    ),
    wrong("!self.file.matches('(/|(^|/)[.])$')", "must name a file, not a directory; drop the trailing / or /."),
    wrong("!self.file.matches('[[:cntrl:]]')", "must not have control characters; use a plain file name"),
  ];
}
