// One configured guest: keeps its Domain object true and lends its monitor to the engine.

import type { Domain } from "../api/v1alpha1/domain.ts";
import type { ContentStatus } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import type { Store } from "../kube/store.ts";
import { Guest } from "../qemu/guest.ts";
import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import type { NodeDomain } from "../snapshot/run.ts";
import type { DomainConfiguration } from "./configuration.ts";
import { DomainWriter } from "./domain-writer.ts";
import { GuestLink, type LentGuest } from "./guest-link.ts";
import { type DomainState, type GuestObservation, observeGuest } from "./guest-observation.ts";
import { ImageRecordFile, type ImageVerdict, judgeImages, socketInstance } from "./image-record.ts";

export interface DomainPublisherOptions {
  readonly configuration: DomainConfiguration;
  readonly nodeName: string;
  readonly stateDirectory: string;
  readonly maximumHoldSeconds: number;
  readonly client: ResourceClient<Domain>;
  readonly store: Store<Domain>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export class DomainPublisher {
  readonly #options: DomainPublisherOptions;
  readonly #writer: DomainWriter;
  readonly #link: GuestLink<Guest>;
  readonly #record: ImageRecordFile;
  #observation: GuestObservation | undefined;
  #state: DomainState = "Unknown";
  #unavailable: { readonly reason: string; readonly message: string } | undefined;
  #activeSnapshot: string | undefined;
  #images: ImageVerdict = { is: "settled" };
  #sawShutdown = false;
  #recordedImages = "";
  /** The record being written: a look must not judge the one before it. */
  #recording: Promise<void> = Promise.resolve();

  constructor(options: DomainPublisherOptions) {
    this.#options = options;
    const { configuration, clock, random, log } = options;
    const { namespace, name } = configuration;
    this.#record = new ImageRecordFile({ stateDirectory: options.stateDirectory, namespace, name });
    this.#writer = new DomainWriter({ ...options, namespace, name });
    this.#link = new GuestLink<Guest>({
      monitor: configuration.monitor,
      open: (signal) => Guest.open({ monitorPath: configuration.socket, clock, log, signal }),
      listener: {
        look: (guest, signal) => this.#look(guest, signal),
        event: (event) => this.#event(event),
        unavailable: (failure) => this.#lost(failure),
      },
      clock,
      random,
    });
  }

  /** UUID of the guest as it was last seen. */
  get uuid(): string | undefined {
    return this.#observation?.uuid;
  }

  /** What the engine may know of the guest. */
  get nodeDomain(): NodeDomain {
    const { configuration, maximumHoldSeconds } = this.#options;
    const { socket, disks, uuid, diskChangeCommand, guestAgent, pauseTimeoutSeconds, ...rest } = configuration;
    return {
      ...rest,
      monitorPath: socket,
      disks,
      maximumHoldSeconds,
      ...(uuid !== undefined && { uuid }),
      ...(diskChangeCommand !== undefined && { diskChangeCommand }),
      ...(guestAgent !== undefined && { guestAgentPath: guestAgent }),
      ...(pauseTimeoutSeconds !== undefined && { pauseTimeoutSeconds }),
    };
  }

  /** Runs until the signal aborts, then resolves with the connection closed. */
  async run(): Promise<void> {
    await this.#link.run(this.#options.signal);
  }

  /** Lends the guest for one snapshot, and shows which. */
  async lend(contentName: string): Promise<LentGuest<Guest>> {
    const lent = await this.#link.lend();
    this.#activeSnapshot = contentName;
    this.#publish();
    return {
      guest: lent.guest,
      [Symbol.dispose]: () => {
        this.#activeSnapshot = undefined;
        // Published by the look that follows: the guest's disks and state as they are now.
        lent[Symbol.dispose]();
      },
    };
  }

  /** While the guest is lent, what the engine reports is how we know its state. */
  snapshotReported(report: ContentStatus): void {
    if (report.domainStateBefore === "Paused") return;
    if (report.resumedAt !== undefined) this.#setState("Running");
    else if (report.pausedAt !== undefined) this.#setState("Paused");
  }

  /** Disks that were moved to new images: remembered until whoever starts the guest uses them. */
  imagesMoved(images: ReadonlyMap<string, string>): void {
    if (images.size === 0 || this.#options.configuration.diskChangeCommand !== undefined) return;
    const key = JSON.stringify([...images]);
    if (key === this.#recordedImages) return;
    this.#recordedImages = key;
    this.#recording = this.#recording
      .then(() => this.#recordImages(images))
      .catch((error: unknown) =>
        this.#options.log.error({ err: error, domain: this.#name }, "cannot remember the new images"),
      );
  }

  async #recordImages(images: ReadonlyMap<string, string>): Promise<void> {
    const instance = await socketInstance(this.#options.configuration.socket).catch(() => "gone");
    const before = await this.#record.read();
    const record = { instance, images: { ...before?.images, ...Object.fromEntries(images) } };
    await this.#record.write(record);
    this.#images = { is: "unannounced", images: new Map(Object.entries(record.images)) };
    this.#publish();
  }

  async #look(guest: Guest, signal: AbortSignal): Promise<void> {
    const { configuration, log } = this.#options;
    const observation = await observeGuest(guest, configuration);
    signal.throwIfAborted();
    if (configuration.uuid !== undefined && configuration.uuid !== observation.uuid) {
      throw new Failure(
        "IdentityMismatch",
        `the guest at ${configuration.socket} has UUID ${observation.uuid}, not ${configuration.uuid}: correct the agent's configuration or the socket`,
      );
    }
    if (this.#unavailable !== undefined || this.#observation === undefined) {
      log.info({ domain: this.#name, qemu: observation.qemuVersion, state: observation.state }, "guest reachable");
    }
    this.#observation = observation;
    this.#unavailable = undefined;
    this.#sawShutdown = false;
    this.#state = observation.state;
    await this.#judgeImages(observation);
    this.#publish();
  }

  #event(event: string): void {
    if (event === "SHUTDOWN") this.#sawShutdown = true;
    if (event === "STOP") this.#setState("Paused");
    if (event === "RESUME") this.#setState("Running");
  }

  #lost(failure: Failure): void {
    const known = ["MonitorUnavailable", "MonitorBusy", "IdentityMismatch"].includes(failure.reason);
    const reason = known ? failure.reason : "MonitorUnavailable";
    if (this.#unavailable?.reason !== reason) {
      this.#options.log.warn({ domain: this.#name, reason, error: failure.message }, "guest not reachable");
    }
    this.#unavailable = { reason, message: failure.message };
    this.#state = this.#sawShutdown ? "ShutOff" : "Unknown";
    this.#publish();
  }

  async #judgeImages(observation: GuestObservation): Promise<void> {
    await this.#recording;
    const record = await this.#record.read();
    if (record === undefined) {
      this.#images = { is: "settled" };
      return;
    }
    const instance = await socketInstance(this.#options.configuration.socket);
    this.#images = judgeImages(record, { instance, images: observation.images });
    if (this.#images.is === "settled") await this.#record.remove();
  }

  #setState(state: DomainState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#publish();
  }

  #publish(): void {
    // A Domain without a UUID cannot be told from another; a guest that was never seen and is not configured has none.
    const uuid = this.#observation?.uuid ?? this.#options.configuration.uuid ?? this.#writer.publishedUuid;
    if (uuid === undefined) return;
    this.#writer.publish(uuid, {
      unavailable: this.#unavailable,
      observation: this.#observation,
      state: this.#state,
      activeSnapshot: this.#activeSnapshot,
      images: this.#images,
    });
  }

  get #name(): string {
    const { namespace, name } = this.#options.configuration;
    return `${namespace}/${name}`;
  }
}
