// `resume` and `abort`: the two words that end a hold.

import { type Cluster, requireSnapshot } from "./connect.ts";
import { exitCodes } from "./exit-codes.ts";
import { explainFailure } from "./explain-error.ts";
import { fieldManager } from "./field-manager.ts";
import type { Terminal } from "./terminal.ts";

/** Sets spec.resume or spec.abort, unless the snapshot has ended already; resolves with the exit code. */
export async function requestEnd(options: {
  cluster: Cluster;
  terminal: Terminal;
  name: string;
  word: "resume" | "abort";
}): Promise<number> {
  const { cluster, terminal, name, word } = options;
  const snapshot = await requireSnapshot(cluster, name);
  const { phase, error } = snapshot.status ?? {};
  if (phase === "Failed") {
    const isWanted = word === "abort";
    terminal.error(`kubectl-dsnap: ${name} has Failed already; ${explainFailure(error)}`);
    return isWanted ? exitCodes.completed : exitCodes.failed;
  }
  if (phase === "Completed") {
    const isWanted = word === "resume";
    terminal.error(`kubectl-dsnap: ${name} is Completed already; ${isWanted ? "nothing to do" : "delete it instead"}`);
    return isWanted ? exitCodes.completed : exitCodes.failed;
  }
  // With the uid, a namesake created meanwhile is not touched.
  const patch = { metadata: { uid: snapshot.metadata.uid }, spec: { [word]: true } };
  await cluster.snapshots.mergePatch(name, cluster.namespace, patch, { fieldManager });
  terminal.out(`domainsnapshot.domainsnapshot.io/${name} ${word} requested`);
  return exitCodes.completed;
}
