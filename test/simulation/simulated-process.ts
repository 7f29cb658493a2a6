// One life of the program that takes snapshots: its sessions to the simulated guest, its faults, and its sudden death.

import { Guest } from "../../src/qemu/guest.ts";
import type { ExecuteOptions, QmpConnection } from "../../src/qmp/connection.ts";
import type { QmpEvent } from "../../src/qmp/message.ts";
import { QmpError } from "../../src/qmp/qmp-error.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { Failure } from "../../src/runtime/failure.ts";
import type { AutoClock } from "./auto-clock.ts";
import type { SimulatedGuest } from "./simulated-guest.ts";

export const faultKinds = [
  "refuse",
  "hang",
  "cutBefore",
  "cutAfter",
  "crashBefore",
  "crashAfter",
  "killQemu",
  "startAgain",
  "foreignCont",
  "foreignContStop",
] as const;

/** What goes wrong, at the how-manieth command of this life. */
export interface Fault {
  readonly at: number;
  readonly kind: (typeof faultKinds)[number] | "loseWrites";
}

const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

export class SimulatedProcess {
  readonly clock: Clock;
  readonly died: Promise<void>;
  /** Names of the commands sent, for the story of a counterexample. */
  readonly sent: string[] = [];
  readonly #guest: SimulatedGuest;
  readonly #time: AutoClock;
  readonly #faults: readonly Fault[];
  readonly #death = Promise.withResolvers<void>();
  readonly #sessions = new Set<object>();
  #dead = false;

  constructor(options: { guest: SimulatedGuest; time: AutoClock; faults: readonly Fault[] }) {
    this.#guest = options.guest;
    this.#time = options.time;
    this.#faults = options.faults;
    this.died = this.#death.promise;
    const { time } = options;
    this.clock = {
      now: () => {
        if (this.#dead) throw new Error("this process is dead");
        return time.now();
      },
      monotonic: () => time.monotonic(),
      sleep: async (milliseconds, signal) => (this.#dead ? await never() : await time.sleep(milliseconds, signal)),
    };
  }

  get isDead(): boolean {
    return this.#dead;
  }

  /** SIGKILL: nothing that this process awaits ever comes. */
  crash(): void {
    this.end();
    this.#dead = true;
    this.#death.resolve();
  }

  /** The kernel closes what a process leaves open. */
  end(): void {
    if (this.#sessions.has(this.#guest.session ?? {})) this.#guest.session = undefined;
  }

  async openGuest(): Promise<Guest> {
    if (this.#dead) return await never();
    if (!this.#guest.alive) throw gone();
    await Promise.resolve();
    if (this.#guest.session !== undefined) {
      await this.clock.sleep(2000);
      throw new Failure("MonitorBusy", "no greeting; another client holds this monitor", { retryable: true });
    }
    return new Guest({ connection: this.#connect(), monitorPath: "/simulated/monitor", clock: this.clock });
  }

  #connect(): QmpConnection {
    const listeners = new Map<string, Set<(event: QmpEvent) => void>>();
    const closed = Promise.withResolvers<Failure>();
    let open = true;
    const session = {};
    this.#sessions.add(session);
    this.#guest.session = session;
    const close = (reason: Failure) => {
      open = false;
      if (this.#guest.session === session) this.#guest.session = undefined;
      unsubscribe();
      closed.resolve(reason);
    };
    const unsubscribe = this.#guest.subscribe(({ event, data }) => {
      if (this.#dead) return;
      const seen: QmpEvent = { event, data, at: this.#time.now() };
      for (const name of [event, "*"]) for (const listener of listeners.get(name) ?? []) listener(seen);
    });
    const execute = async (command: string, args?: object, options: ExecuteOptions = {}): Promise<unknown> => {
      options.signal?.throwIfAborted();
      if (this.#dead) return await never();
      if (!open || !this.#guest.alive) {
        close(gone());
        throw gone();
      }
      await Promise.resolve();
      // QMP has no lock: what another client does between our last look and the one command that moves a disk back cannot
      // be kept from happening, nor be seen in time (docs/failure-modes.md).
      const unseen = command === "qom-set";
      const fault = this.#faults.find(
        ({ at, kind }) => at === this.sent.length && !(unseen && kind.startsWith("foreign")),
      );
      this.sent.push(fault === undefined ? command : `${command}!${fault.kind}`);
      return await this.#execute(command, { args: { ...args }, fault, close });
    };
    return {
      version: this.#guest.version,
      closed: closed.promise,
      execute,
      on: (event, listener) => {
        const known = listeners.get(event) ?? new Set();
        listeners.set(event, known.add(listener));
        return () => known.delete(listener);
      },
      close: async () => {
        close(gone());
        await Promise.resolve();
      },
      [Symbol.asyncDispose]: async () => {
        close(gone());
        await Promise.resolve();
      },
    };
  }

  async #execute(
    command: string,
    call: { args: Record<string, unknown>; fault: Fault | undefined; close: (reason: Failure) => void },
  ): Promise<unknown> {
    const { args, fault, close } = call;
    const guest = this.#guest;
    switch (fault?.kind) {
      case "refuse":
        throw new QmpError({ command, class: "GenericError", description: "refused on demand" });
      case "hang":
        await this.clock.sleep(30_000);
        throw new Failure("MonitorUnavailable", `${command} was not answered within 30000 ms`, { retryable: true });
      case "cutBefore":
        close(gone());
        throw gone();
      case "cutAfter":
        guest.execute(command, args);
        close(gone());
        throw gone();
      case "crashBefore":
        this.crash();
        return await never();
      case "crashAfter":
        guest.execute(command, args);
        this.crash();
        return await never();
      case "killQemu":
        guest.kill();
        close(gone());
        throw gone();
      case "startAgain":
        guest.kill();
        guest.startAgain();
        close(gone());
        throw gone();
      case "foreignCont":
        guest.execute("cont");
        return guest.execute(command, args);
      case "foreignContStop":
        if (guest.runState !== "running") {
          guest.execute("cont");
          guest.execute("stop");
        }
        return guest.execute(command, args);
      case "loseWrites":
        guest.images.clear();
        return guest.execute(command, args);
      case undefined:
        return guest.execute(command, args);
      default:
        return fault?.kind satisfies undefined;
    }
  }
}

/** What a socket without a listener says. */
function gone(): Failure {
  const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  return new Failure("MonitorUnavailable", "nobody listens there; QEMU has ended", { cause, retryable: true });
}
