import { describe, expect, onTestFinished, test } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { Failure } from "../runtime/failure.ts";
import { GuestLink, type LinkedGuest } from "./guest-link.ts";

class FakeGuest implements LinkedGuest {
  readonly #closed = Promise.withResolvers<Failure>();
  readonly #listeners = new Set<(event: { readonly event: string }) => void>();
  disposed = false;
  readonly connection = {
    closed: this.#closed.promise,
    on: (_event: "*", listener: (event: { readonly event: string }) => void) => {
      this.#listeners.add(listener);
      return () => void this.#listeners.delete(listener);
    },
  };

  emit(event: string): void {
    for (const listener of this.#listeners) listener({ event });
  }

  die(): void {
    this.#closed.resolve(new Failure("MonitorUnavailable", "QEMU is gone"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
  }
}

function linking(monitor: "dedicated" | "shared" = "dedicated") {
  const clock = new FakeClock();
  const stop = new AbortController();
  const happened: string[] = [];
  const guests: FakeGuest[] = [];
  const refuse: { with: Failure | undefined } = { with: undefined };
  const link = new GuestLink<FakeGuest>({
    monitor,
    open: async () => {
      if (refuse.with !== undefined) throw refuse.with;
      const guest = new FakeGuest();
      guests.push(guest);
      return guest;
    },
    listener: {
      look: async () => void happened.push("look"),
      event: (name) => void happened.push(name),
      unavailable: (failure) => void happened.push(failure.reason),
    },
    clock,
    random: () => 1,
  });
  const running = link.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
  return { clock, happened, guests, refuse, link };
}

describe("the connection to a guest", () => {
  test("a dedicated one is kept, and looked through again on events", async () => {
    const { clock, happened, guests } = linking();
    await clock.advance(10);
    guests[0]?.emit("STOP");
    guests[0]?.emit("RTC_CHANGE");
    await clock.advance(10);
    expect(happened).toEqual(["look", "STOP", "look"]);
    expect(guests).toHaveLength(1);
  });

  test("a guest that goes is told of, and found again when it comes back", async () => {
    const { clock, happened, guests, refuse } = linking();
    await clock.advance(10);
    refuse.with = new Failure("MonitorUnavailable", "no socket");
    guests[0]?.emit("SHUTDOWN");
    guests[0]?.die();
    await clock.advance(600);
    refuse.with = undefined;
    await clock.advance(5000);
    expect(guests).toHaveLength(2);
    expect(guests[0]?.disposed).toBe(true);
    expect([happened[0], happened.at(-1)]).toEqual(["look", "look"]);
    expect(happened).toContain("MonitorUnavailable");
  });

  test("a shared one is let go after each look", async () => {
    const { clock, happened, guests } = linking("shared");
    await clock.advance(100);
    expect(guests.map((guest) => guest.disposed)).toEqual([true]);
    await clock.advance(30_000);
    expect(guests.map((guest) => guest.disposed)).toEqual([true, true]);
    expect(happened).toEqual(["look", "look"]);
  });

  test("a shared one that is busy for a moment is no news", async () => {
    const { clock, happened, refuse } = linking("shared");
    refuse.with = new Failure("MonitorBusy", "another client");
    await clock.advance(1000);
    expect(happened).toEqual(["look"]);
    await clock.advance(40_000);
    expect(happened).toContain("MonitorBusy");
  });

  test("nothing is sent or opened while the guest is lent; it is looked at when it comes back", async () => {
    const { clock, happened, guests, link } = linking();
    await clock.advance(10);
    const lent = await link.lend();
    expect(lent.guest).toBe(guests[0]);
    guests[0]?.emit("STOP");
    await clock.advance(60_000);
    expect(happened).toEqual(["look", "STOP"]);
    lent[Symbol.dispose]();
    await settle();
    expect(happened).toEqual(["look", "STOP", "look"]);
  });

  test("a guest that dies while lent is told of, and not reconnected before it comes back", async () => {
    const { clock, happened, guests, link } = linking();
    await clock.advance(10);
    const lent = await link.lend();
    guests[0]?.die();
    await clock.advance(60_000);
    expect(happened).toEqual(["look", "MonitorUnavailable"]);
    expect(guests).toHaveLength(1);
    lent[Symbol.dispose]();
    await clock.advance(10);
    expect(guests).toHaveLength(2);
  });

  test("a shared guest is lent without a connection", async () => {
    const { clock, link } = linking("shared");
    await clock.advance(10);
    using lent = await link.lend();
    expect(lent.guest).toBeUndefined();
  });
});
