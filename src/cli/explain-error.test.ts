// Errors in one line, with the remedy and the exit code.

import { expect, test } from "vitest";
import { ApiError } from "../kube/api-error.ts";
import { Failure } from "../runtime/failure.ts";
import { explainError, explainFailure } from "./explain-error.ts";

test("a refusal tells the answer and the remedy, not the request", () => {
  const error = new ApiError("Forbidden", "GET /apis/x/y: dsnap is forbidden", { status: 403 });
  expect(explainError(error)).toEqual({
    line: "dsnap is forbidden; ask the cluster's admin for a role that allows it",
    code: 1,
  });
});

test("an error of several lines becomes one", () => {
  expect(explainError(new Failure("InvalidSpec", "a:\n  b\n"))).toEqual({ line: "a: b", code: 2 });
});

test("what is not known to be bad input is a failure", () => {
  expect(explainError(new Error("boom"))).toEqual({ line: "boom", code: 1 });
});

test("a snapshot's error says who can do what", () => {
  const error = { reason: "NoSpace", message: "2 GiB short", step: "memory" };
  expect(explainFailure(error)).toBe("NoSpace: 2 GiB short (admin: not enough free space for the memory file)");
});
