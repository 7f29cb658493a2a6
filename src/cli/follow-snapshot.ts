// Follows one DomainSnapshot by a watch, never by polling, until somebody has seen enough.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { objectKey } from "../kube/kube-object.ts";
import { Reflector } from "../kube/reflector.ts";
import { Store } from "../kube/store.ts";
import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Cluster } from "./connect.ts";

/**
 * Calls `look` with every state from `first` on, and resolves with what it first returns that is not undefined. Throws a
 * Failure when the snapshot is deleted or replaced, or when the time is up.
 */
export async function followSnapshot<R>(options: {
  cluster: Cluster;
  first: DomainSnapshot;
  look: (snapshot: DomainSnapshot) => R | undefined;
  timeoutMilliseconds: number;
  clock: Clock;
}): Promise<R> {
  const { cluster, first, look, clock, timeoutMilliseconds } = options;
  const seen = look(first);
  if (seen !== undefined) return seen;
  const { name, uid } = first.metadata;
  const key = objectKey({ metadata: { name, namespace: cluster.namespace } });
  const store = new Store<DomainSnapshot>();
  const stop = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<R>();
  const settle = (snapshot: DomainSnapshot | undefined) => {
    try {
      if (snapshot === undefined || snapshot.metadata.uid !== uid) {
        throw new Failure("NotFound", `DomainSnapshot ${key} was deleted meanwhile; create it again if it is needed`);
      }
      const result = look(snapshot);
      if (result !== undefined) resolve(result);
    } catch (error) {
      reject(error);
    }
  };
  store.subscribe((change) => settle(change.type === "Deleted" ? undefined : change.object));
  const reflector = new Reflector<DomainSnapshot>({
    client: cluster.snapshots,
    namespace: cluster.namespace,
    fieldSelector: `metadata.name=${name}`,
    store,
    clock,
    random: Math.random,
    log: cluster.log,
  });
  const watching = reflector.run(stop.signal);
  void store.synced.then(() => {
    if (store.get(key) === undefined) settle(undefined);
  });
  void clock.sleep(timeoutMilliseconds, stop.signal).then(
    () => {
      const phase = store.get(key)?.status?.phase ?? "not seen yet by the operator";
      const hint = "raise --timeout, or look with kubectl dsnap get";
      reject(
        new Failure("Timeout", `DomainSnapshot ${key} is ${phase} after ${timeoutMilliseconds / 1000} s; ${hint}`),
      );
    },
    () => undefined,
  );
  try {
    return await promise;
  } finally {
    stop.abort();
    await watching;
  }
}
