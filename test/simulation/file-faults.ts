// Makes the file system fail on demand under the engine: the n-th operation, once or from then on.

import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

export const errnos = ["ENOSPC", "EIO", "EACCES"] as const;
export type Errno = (typeof errnos)[number];

export interface FileFault {
  readonly at: number;
  readonly errno: Errno;
  /** False: the operation after it works again. */
  readonly lasts: boolean;
}

const patched = ["open", "link", "unlink", "rm", "mkdir", "lstat", "readdir", "statfs", "truncate", "stat"] as const;
const handleMethods = new Set(["sync", "datasync", "appendFile", "writeFile", "write", "stat"]);

/** Counts the operations below a directory, and fails those that a fault names. */
export class FileFaults implements Disposable {
  readonly operations: string[] = [];
  readonly #directory: string;
  readonly #fault: FileFault | undefined;
  readonly #originals = new Map<string, unknown>();
  #active = true;

  constructor(directory: string, fault?: FileFault) {
    this.#directory = directory;
    this.#fault = fault;
    for (const name of patched) {
      const original = fs[name];
      this.#originals.set(name, original);
      const call = async (...args: unknown[]): Promise<unknown> => {
        const path = String(args[0]);
        if (this.#active && path.startsWith(this.#directory)) this.#operate(name, path);
        const result: unknown = await Reflect.apply(original, fs, args);
        return name === "open" && typeof result === "object" && result !== null ? this.#handle(result, path) : result;
      };
      Object.assign(fs, { [name]: call });
    }
    // Named imports of a built-in module follow.
    syncBuiltinESMExports();
  }

  /** From here on everything works. */
  heal(): void {
    this.#active = false;
  }

  [Symbol.dispose](): void {
    Object.assign(fs, Object.fromEntries(this.#originals));
    syncBuiltinESMExports();
  }

  #handle(handle: object, path: string): object {
    return new Proxy(handle, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          if (this.#active && typeof property === "string" && handleMethods.has(property)) {
            try {
              this.#operate(property, path);
            } catch (error) {
              return Promise.reject(error);
            }
          }
          return Reflect.apply(value, target, args);
        };
      },
    });
  }

  #operate(name: string, path: string): void {
    const index = this.operations.length;
    this.operations.push(`${name} ${path.slice(this.#directory.length)}`);
    const fault = this.#fault;
    if (fault === undefined || (fault.lasts ? index < fault.at : index !== fault.at)) return;
    throw Object.assign(new Error(`${fault.errno}: on demand, ${name} '${path}'`), { code: fault.errno });
  }
}
