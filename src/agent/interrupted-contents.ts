// What an agent before this one began, by the journals that it left.

import { interruptedSnapshots } from "../snapshot/interrupted.ts";
import { defaultHold } from "../snapshot/plan.ts";
import type { InterruptedContent } from "./content-reconciler.ts";

/** One for every journal; of one that cannot be read only the uid is known. */
export async function interruptedContents(journalDirectory: string): Promise<InterruptedContent[]> {
  const found = await interruptedSnapshots(journalDirectory);
  return found.map(({ uid, known }) => ({
    uid,
    domainKey: known === undefined ? "" : `${known.job.domain.namespace}/${known.job.domain.name}`,
    hold: known?.bound ?? defaultHold,
  }));
}
