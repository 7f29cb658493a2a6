// Waits for an object to become something, by watching instead of polling.

import type { KubeObject } from "../../src/kube/kube-object.ts";
import type { Store } from "../../src/kube/store.ts";

/** Resolves with the object under `key` once `predicate` holds; rejects with what it last looked like. */
export async function awaitObject<T extends KubeObject>(options: {
  store: Store<T>;
  key: string;
  what: string;
  predicate: (object: T) => boolean;
  timeoutMilliseconds: number;
}): Promise<T> {
  const { store, key, what, predicate, timeoutMilliseconds } = options;
  return await new Promise<T>((resolve, reject) => {
    // subscribe() replays what is there before it returns.
    let unsubscribe: () => void = () => undefined;
    let settled = false;
    const settle = (action: () => void) => {
      settled = true;
      clearTimeout(timer);
      unsubscribe();
      action();
    };
    const look = () => {
      if (settled) return;
      const object = store.get(key);
      if (object !== undefined && predicate(object)) settle(() => resolve(object));
    };
    const timer = setTimeout(() => {
      const last = JSON.stringify(store.get(key) ?? "no such object", null, 1);
      settle(() => reject(new Error(`${key}: not ${what} within ${timeoutMilliseconds} ms; last seen: ${last}`)));
    }, timeoutMilliseconds);
    unsubscribe = store.subscribe(look);
    if (settled) unsubscribe();
  });
}
