// The connection to one guest's monitor: kept warm when it is ours alone, made on demand when it is shared, lent to the engine.

import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { DomainConfiguration } from "./configuration.ts";

const firstBackoffMilliseconds = 250;
/** A guest that starts should be seen within seconds; a connect to a socket without a listener costs nothing. */
const lastBackoffMilliseconds = 5_000;
const probeMilliseconds = 30_000;
/** Another tool on a shared monitor is done in moments; only one that stays is worth a word. */
const toleratedBusyProbes = 3;

/** The part of a guest that the link itself needs. */
export interface LinkedGuest extends AsyncDisposable {
  readonly connection: {
    readonly closed: Promise<Failure>;
    on(event: "*", listener: (event: { readonly event: string }) => void): () => void;
  };
}

/** What the link tells its owner; calls never overlap. */
export interface GuestLinkListener<G> {
  /** The guest can be talked to: look at it. Called again after `poke`, on events and at times. */
  look(guest: G, signal: AbortSignal): Promise<void>;
  /** An event of the guest, before any look it leads to. */
  event(name: string): void;
  /** The monitor cannot be used. */
  unavailable(failure: Failure): void | Promise<void>;
}

export interface GuestLinkOptions<G> {
  readonly monitor: DomainConfiguration["monitor"];
  readonly open: (signal: AbortSignal) => Promise<G>;
  readonly listener: GuestLinkListener<G>;
  readonly clock: Clock;
  readonly random: () => number;
}

/** A guest lent to the engine; while lent, the link sends nothing and opens nothing. */
export interface LentGuest<G> extends Disposable {
  /** The warm connection, if there is one; else the engine opens its own. */
  readonly guest: G | undefined;
}

/** Events after which the guest looks different. */
const telling: ReadonlySet<string> = new Set([
  "STOP",
  "RESUME",
  "SHUTDOWN",
  "RESET",
  "SUSPEND",
  "WAKEUP",
  "GUEST_PANICKED",
  "BLOCK_IO_ERROR",
  "DEVICE_DELETED",
  "DEVICE_TRAY_MOVED",
  "BLOCK_JOB_COMPLETED",
  "BLOCK_JOB_CANCELLED",
]);

export class GuestLink<G extends LinkedGuest> {
  readonly #options: GuestLinkOptions<G>;
  #guest: G | undefined;
  #lent = 0;
  #dirty = false;
  #wake = new AbortController();
  /** Pending while a connect or a look is under way. */
  #busy: Promise<void> | undefined;

  constructor(options: GuestLinkOptions<G>) {
    this.#options = options;
  }

  /** Lends the guest, after what the link itself is doing. */
  async lend(): Promise<LentGuest<G>> {
    this.#lent += 1;
    await this.#busy;
    let returned = false;
    return {
      guest: this.#guest,
      [Symbol.dispose]: () => {
        if (returned) return;
        returned = true;
        this.#lent -= 1;
        this.poke();
      },
    };
  }

  /** Asks for a look, soon. */
  poke(): void {
    this.#dirty = true;
    this.#wake.abort();
  }

  /** Connects and reconnects until the signal aborts; then closes the connection and resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { monitor, listener } = this.#options;
    for (let failures = 0; !signal.aborted; ) {
      if (this.#lent > 0) {
        await this.#rest(Number.POSITIVE_INFINITY, signal);
        continue;
      }
      const failure = await this.#exclusively(() => this.#connect(signal));
      if (failure === undefined) failures = 0;
      else if (!signal.aborted && this.#lent === 0) {
        const passing = monitor === "shared" && failure.reason === "MonitorBusy" && failures < toleratedBusyProbes;
        if (!passing) await listener.unavailable(failure);
      }
      if (monitor === "shared" && failure === undefined) {
        await this.#rest(probeMilliseconds, signal);
      } else if (failure !== undefined) {
        const bound = Math.min(firstBackoffMilliseconds * 2 ** failures, lastBackoffMilliseconds);
        failures = Math.min(failures + 1, 10);
        await this.#rest(bound * (0.5 + this.#options.random() / 2), signal);
      } else {
        await this.#stayConnected(signal);
      }
    }
  }

  /** Opens and looks once. Returns why it could not. */
  async #connect(signal: AbortSignal): Promise<Failure | undefined> {
    let guest: G | undefined;
    this.#dirty = false;
    try {
      guest = await this.#options.open(signal);
      await this.#options.listener.look(guest, signal);
      if (this.#options.monitor === "dedicated") {
        this.#guest = guest;
        guest = undefined;
      }
      return undefined;
    } catch (error) {
      return Failure.from(error, "MonitorUnavailable");
    } finally {
      await guest?.[Symbol.asyncDispose]();
    }
  }

  /** Looks again whenever something happened, until the connection ends. */
  async #stayConnected(signal: AbortSignal): Promise<void> {
    const guest = this.#guest;
    if (guest === undefined) return;
    let failure: Failure | undefined;
    void guest.connection.closed.then((reason) => {
      failure = reason;
      this.#wake.abort();
    });
    const unsubscribe = guest.connection.on("*", (event) => {
      if (!telling.has(event.event)) return;
      this.#options.listener.event(event.event);
      this.poke();
    });
    try {
      while (!signal.aborted && failure === undefined) {
        await this.#rest(probeMilliseconds, signal);
        if (signal.aborted || failure !== undefined || this.#lent > 0) continue;
        this.#dirty = false;
        await this.#exclusively(() => this.#options.listener.look(guest, signal));
      }
    } catch (error) {
      failure ??= Failure.from(error, "MonitorUnavailable");
    } finally {
      unsubscribe();
      this.#guest = undefined;
      await guest[Symbol.asyncDispose]();
    }
    if (failure !== undefined && !signal.aborted) await this.#options.listener.unavailable(failure);
  }

  async #exclusively<R>(work: () => Promise<R>): Promise<R> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#busy = promise;
    try {
      return await work();
    } finally {
      this.#busy = undefined;
      resolve();
    }
  }

  /** Sleeps until something happens or the time is over. */
  async #rest(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (this.#dirty && this.#lent === 0) return;
    this.#wake = new AbortController();
    const bounded = Math.min(milliseconds, 3_600_000);
    await this.#options.clock.sleep(bounded, AbortSignal.any([this.#wake.signal, signal])).catch(() => {});
  }
}
