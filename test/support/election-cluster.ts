// Processes that campaign for a lease: with drifting clocks, unreliable links, crashes and restarts.

import type { ApiRequest, KubeApi, WatchRequest } from "../../src/kube/kube-client.ts";
import { LeaderElector, type Term } from "../../src/kube/leader-elector.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { FakeApiServer } from "./fake-api-server.ts";
import { FakeClock } from "./fake-clock.ts";
import { seededRandom } from "./seeded-random.ts";
import { silentLog } from "./silent-log.ts";

/** A process's way to the API server: slow, or cut before the request or before its answer. */
export class Link implements KubeApi {
  cut: "none" | "request" | "answer" = "none";
  latencyMilliseconds = 0;
  /** Between the server's doing and our learning of it. */
  answerLatencyMilliseconds = 0;
  readonly #server: FakeApiServer;
  readonly #clock: Clock;

  constructor(options: { server: FakeApiServer; clock: Clock }) {
    this.#server = options.server;
    this.#clock = options.clock;
  }

  async request(request: ApiRequest): Promise<unknown> {
    const { signal, ...rest } = request;
    if (this.cut === "request") await this.#silence(signal);
    // The request is on its way whatever its sender does then: it may be carried out late.
    const answer = this.#carryOut(rest);
    answer.catch(() => undefined);
    if (this.cut === "answer") await this.#silence(signal);
    const aborted = new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    return await Promise.race([answer, aborted]);
  }

  async #carryOut(request: ApiRequest): Promise<unknown> {
    await this.#clock.sleep(this.latencyMilliseconds);
    try {
      return await this.#server.request(request);
    } finally {
      await this.#clock.sleep(this.answerLatencyMilliseconds);
    }
  }

  watch(request: WatchRequest): ReturnType<KubeApi["watch"]> {
    return this.#server.watch(request);
  }

  async #silence(signal: AbortSignal | undefined): Promise<void> {
    await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  }
}

/** A machine's clock: its wall clock is off by any amount, its rate by a few percent. */
class DriftingClock implements Clock {
  readonly #base: FakeClock;
  readonly #rate: number;
  readonly #offset: number;

  constructor(options: { base: FakeClock; rate: number; offsetMilliseconds: number }) {
    this.#base = options.base;
    this.#rate = options.rate;
    this.#offset = options.offsetMilliseconds;
  }

  now(): number {
    return this.#base.now() + this.#offset;
  }

  monotonic(): number {
    return this.#base.monotonic() * this.#rate + 1_000_000;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return this.#base.sleep(milliseconds / this.#rate, signal);
  }
}

/** A process that campaigns for ever, as a Deployment would restart it. */
class Candidate {
  readonly link: Link;
  leadingAs: Term | undefined;
  readonly #clock: Clock;
  readonly #random: () => number;
  #crash = new AbortController();
  #incarnation = 0;
  #stop = new AbortController();
  running: Promise<unknown> = Promise.resolve();
  readonly name: string;

  constructor(options: { name: string; server: FakeApiServer; clock: Clock; random: () => number }) {
    this.name = options.name;
    this.#clock = options.clock;
    this.#random = options.random;
    this.link = new Link({ server: options.server, clock: options.clock });
  }

  start(): void {
    this.#incarnation += 1;
    const stop = new AbortController();
    const crash = new AbortController();
    this.#stop = stop;
    this.#crash = crash;
    const link = this.link;
    const client: KubeApi = {
      // A crashed process sends nothing any more, and nothing it does counts.
      request: (request) => (crash.signal.aborted ? new Promise(() => undefined) : link.request(request)),
      watch: (request) => link.watch(request),
    };
    const elector = new LeaderElector({
      client,
      namespace: "system",
      name: "leader",
      identity: `${this.name}-${this.#incarnation}`,
      clock: this.#clock,
      random: this.#random,
      log: silentLog,
    });
    const onStarted = async (signal: AbortSignal, term: Term) => {
      if (crash.signal.aborted) return;
      this.leadingAs = term;
      // The work ends at once when told; what takes longer is the caller's to fence.
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      if (!crash.signal.aborted) this.leadingAs = undefined;
    };
    this.running = elector.run({ signal: stop.signal, onStarted }).catch(() => undefined);
  }

  crash(): void {
    this.#crash.abort();
    this.leadingAs = undefined;
  }

  stop(): void {
    this.#stop.abort();
  }

  restart(): void {
    this.crash();
    this.#stop.abort();
    this.start();
  }
}

/** Candidates for one lease, each with its own clock and its own link to the API server. */
export function electionCluster(options: {
  rates: readonly number[];
  offsets: readonly number[];
  seed: number;
  random?: () => number;
}) {
  const base = new FakeClock();
  const server = new FakeApiServer({ clock: base });
  const candidates = options.rates.map(
    (rate, index) =>
      new Candidate({
        name: `candidate-${index}`,
        server,
        clock: new DriftingClock({ base, rate, offsetMilliseconds: options.offsets[index] ?? 0 }),
        random: options.random ?? seededRandom(options.seed + index),
      }),
  );
  const leaders = () => candidates.filter(({ leadingAs }) => leadingAs !== undefined);
  return { base, server, candidates, leaders };
}
