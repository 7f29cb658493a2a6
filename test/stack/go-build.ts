// Builds one program with Go, and says from time to time that it is still at it.

import { spawn, spawnSync } from "node:child_process";
import { rename } from "node:fs/promises";

/** Builds `package` of the module in `directory` into `output`, which appears only when it is whole. */
export async function goBuild(options: {
  directory: string;
  package: string;
  output: string;
  ldflags: string;
  progress: (line: string) => void;
}): Promise<void> {
  const partial = `${options.output}.${process.pid}`;
  const args = ["build", "-trimpath", `-ldflags=${options.ldflags}`, "-o", partial, options.package];
  const child = spawn("go", args, {
    cwd: options.directory,
    env: { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "-buildvcs=false -mod=readonly" },
    stdio: ["ignore", 2, 2],
  });
  const start = performance.now();
  const heartbeat = setInterval(() => {
    options.progress(`still building ${options.package} (${Math.round((performance.now() - start) / 1000)} s)`);
  }, 20_000);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", resolve);
    });
    if (code !== 0) throw new Error(`go ${args.join(" ")} ended with ${code} in ${options.directory}`);
  } finally {
    clearInterval(heartbeat);
  }
  await rename(partial, options.output);
}

/** Throws unless Go 1.26 or newer is there; `remedy` says what else would do. */
export function requireGo(purpose: string, remedy = ""): void {
  const probe = spawnSync("go", ["version"], { encoding: "utf8", env: { ...process.env, GOTOOLCHAIN: "local" } });
  const match = /go(\d+)\.(\d+)/.exec(probe.stdout ?? "");
  const version = match === null ? 0 : Number(match[1]) * 1000 + Number(match[2]);
  if (version >= 1026) return;
  const found = match === null ? "no Go is on the PATH" : `${match[0]} is too old`;
  throw new Error(`${purpose} is built with Go, but ${found}: install Go 1.26 or newer${remedy}`);
}
