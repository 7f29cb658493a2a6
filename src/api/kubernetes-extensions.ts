// Types the x-kubernetes-* keys that schemas carry in zod's meta, so that a misspelt extension does not compile.

/** One CEL rule, as `x-kubernetes-validations` takes it. */
export interface ValidationRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: "FieldValueInvalid" | "FieldValueForbidden" | "FieldValueRequired" | "FieldValueDuplicate";
  /** Relative to the schema that carries the rule, such as `.spec.resume`. */
  readonly fieldPath?: string;
  /** The rule also runs on create, with `oldSelf` as an optional. */
  readonly optionalOldSelf?: boolean;
}

declare module "zod" {
  interface GlobalMeta {
    "x-kubernetes-validations"?: readonly ValidationRule[];
    "x-kubernetes-list-type"?: "atomic" | "set" | "map";
    "x-kubernetes-list-map-keys"?: readonly string[];
    "x-kubernetes-map-type"?: "atomic" | "granular";
    "x-kubernetes-int-or-string"?: true;
    /** JSON Schema's name for what a string or number is; integers say int32 or int64. */
    format?: string;
  }
}
