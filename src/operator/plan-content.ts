// DomainSnapshot + Domain -> the spec of a Content, or a refusal that needs no guest. Pure.

import type { Domain } from "../api/v1alpha1/domain.ts";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { ContentSpec } from "../api/v1alpha1/domain-snapshot-content.ts";
import { Failure, isFailureReason } from "../runtime/failure.ts";
import { planSnapshot } from "../snapshot/plan.ts";

export type ContentPlan =
  | { readonly kind: "Planned"; readonly spec: ContentSpec }
  | { readonly kind: "Refused"; readonly reason: string; readonly message: string };

/** Plans the Content of a DomainSnapshot that is about to start. */
export function planContent(snapshot: DomainSnapshot, domain: Domain | undefined): ContentPlan {
  const { name, namespace = "", uid = "" } = snapshot.metadata;
  if (domain === undefined) {
    const wanted = `${namespace}/${snapshot.spec.domainRef.name}`;
    return refused(
      "DomainNotFound",
      `no Domain ${wanted}: see kubectl get domains -n ${namespace}, or the agent's configuration`,
    );
  }
  const unreachable = domain.status?.conditions?.find((c) => c.type === "Ready" && c.status === "False");
  // A guest that was shut off has no monitor either; that it is off is the better news.
  if (unreachable !== undefined && domain.status?.state !== "ShutOff") {
    const reason = isFailureReason(unreachable.reason) ? unreachable.reason : "DomainNotRunning";
    return refused(reason, `Domain ${domain.metadata.name} is not ready: ${unreachable.message || unreachable.reason}`);
  }
  try {
    const plan = planSnapshot(
      { namespace, name, uid, ...snapshot.spec },
      {
        state: lastingState(domain),
        disks: domain.status?.disks ?? [],
        ...(domain.status?.captureModes !== undefined && { captureModes: domain.status.captureModes }),
      },
    );
    const spec: ContentSpec = {
      snapshotRef: { namespace, name, uid },
      nodeName: domain.spec.nodeName,
      domain: { namespace, name: domain.metadata.name, uuid: domain.spec.uuid },
      capture: plan.capture,
      memory: plan.memory,
      disks: [...plan.disks],
      quiesce: plan.quiesce,
      hold: plan.hold,
      ...(plan.description === undefined ? {} : { description: plan.description }),
      desired: "Held",
      deletionPolicy: snapshot.spec.deletionPolicy,
    };
    return { kind: "Planned", spec };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return refused(error.reason, error.message);
  }
}

/** States that pass by themselves, such as the pause of the snapshot before this one, are for the agent to judge. */
function lastingState(domain: Domain): string | undefined {
  const state = domain.status?.state;
  return state === "ShutOff" || state === "Crashed" || state === "Suspended" ? state : undefined;
}

function refused(reason: string, message: string): ContentPlan {
  return { kind: "Refused", reason, message };
}
