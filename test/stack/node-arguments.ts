// How our own mains are started from a checkout: the project's Node 24 runs the TypeScript as it is.

import { fileURLToPath } from "node:url";

/** Absolute path of a file of the checkout. */
export function checkoutPath(relative: string): string {
  return fileURLToPath(new URL(`../../${relative}`, import.meta.url));
}

/** argv that runs one of src/main. */
export function mainArgv(main: "operator" | "agent" | "kubectl-dsnap", args: readonly string[]): string[] {
  return [process.execPath, "--disable-warning=ExperimentalWarning", checkoutPath(`src/main/${main}.ts`), ...args];
}
