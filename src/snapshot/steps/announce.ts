// Whoever starts the guest next must open the right images: the domain's diskChangeCommand tells them.

import { spawn } from "node:child_process";
import type { Overlay } from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";

const limitMilliseconds = 10_000;

/** Before the guest runs on its overlays. Taken back disk by disk with the switch (`announceBase`). */
export const announce: Step = {
  name: "announce",
  phase: "SwitchingDisks",
  applies: (context) => context.prepared.overlays.length > 0 && context.job.domain.diskChangeCommand !== undefined,
  async run(context, signal) {
    const startedAt = context.clock.monotonic();
    for (const overlay of context.prepared.overlays) {
      const base = overlay.disk.filename ?? "";
      await tell(context, overlay, { oldPath: base, newPath: overlay.path, chain: [overlay.path, base] }, signal);
    }
    context.log.info(
      { milliseconds: Math.round(context.clock.monotonic() - startedAt) },
      "the new images were announced",
    );
  },
};

/**
 * Says that the base is the disk's image again, if anything else may have been said. Called once the overlay is merged or
 * was never written to, and before it is unlinked: told earlier, a guest started from the base would miss its last writes.
 */
export async function announceBase(context: SnapshotContext, overlay: Overlay): Promise<void> {
  if (!context.begun.has(announce.name)) return;
  const base = overlay.disk.filename ?? "";
  await tell(context, overlay, { oldPath: overlay.path, newPath: base, chain: [base] });
}

async function tell(
  context: SnapshotContext,
  overlay: Overlay,
  change: { oldPath: string; newPath: string; chain: readonly string[] },
  signal?: AbortSignal,
): Promise<void> {
  const { namespace, name, diskChangeCommand = [] } = context.job.domain;
  const [command = "", ...args] = diskChangeCommand;
  const domain = { namespace, name, uuid: context.prepared.uuid };
  const timeout = AbortSignal.timeout(limitMilliseconds);
  const child = spawn(command, args, {
    stdio: ["pipe", "ignore", "pipe"],
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (said.length < 2000) said += chunk;
  });
  // A command that does not read its input is no error.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${JSON.stringify({ domain, disk: overlay.disk.name, ...change })}\n`);
  const outcome = await new Promise<string | undefined>((resolve) => {
    child.once("error", (error) =>
      resolve(timeout.aborted ? `took longer than ${limitMilliseconds / 1000} s` : error.message),
    );
    child.once("exit", (code, killed) => resolve(code === 0 ? undefined : `ended with ${code ?? killed}`));
  });
  signal?.throwIfAborted();
  if (outcome === undefined) return;
  throw new Failure(
    "DiskChangeFailed",
    `diskChangeCommand ${command} for ${overlay.disk.name} (now ${change.newPath}) ${outcome}${said === "" ? "" : `: ${said.trim()}`}`,
  );
}
