import { describe, expect, it } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { type EventRecord, EventRecorder, events } from "./event-recorder.ts";

function setUp() {
  const clock = new FakeClock();
  const server = new FakeApiServer({ clock });
  const recorder = new EventRecorder({
    client: server,
    component: "test.io/operator",
    instance: "pod-1",
    clock,
    log: silentLog,
  });
  const metadata = { name: "w", namespace: "ns", uid: "uid-w" };
  const event: EventRecord = {
    regarding: { apiVersion: "test.io/v1", kind: "Widget", metadata },
    type: "Normal",
    reason: "Held",
    action: "Hold",
    note: "the guest is held",
  };
  const written = () => server.all(events).map((raw) => raw as unknown as Record<string, unknown>);
  return { clock, server, recorder, event, written };
}

describe("EventRecorder", () => {
  it("writes an event with everything that people look for", async () => {
    const { recorder, event, written } = setUp();
    recorder.record(event);
    await recorder.flush();
    expect(written()).toMatchObject([
      {
        metadata: { namespace: "ns" },
        reportingController: "test.io/operator",
        reportingInstance: "pod-1",
        regarding: { kind: "Widget", name: "w", namespace: "ns", uid: "uid-w" },
        eventTime: "2026-01-01T00:00:00.000000Z",
        reason: "Held",
      },
    ]);
  });

  it("counts a repetition within six minutes up, and makes a new event later", async () => {
    const { clock, recorder, event, written } = setUp();
    for (let round = 0; round < 3; round += 1) {
      recorder.record(event);
      await clock.advance(60_000);
    }
    await recorder.flush();
    expect(written()).toMatchObject([{ series: { count: 3 } }]);
    await clock.advance(7 * 60_000);
    recorder.record(event);
    await recorder.flush();
    expect(written()).toHaveLength(2);
  });

  it("makes a new event when the old one is gone from the server", async () => {
    const { recorder, server, event, written } = setUp();
    recorder.record(event);
    await recorder.flush();
    for (const { metadata } of server.all(events)) server.remove(events, metadata.name, metadata.namespace);
    recorder.record(event);
    await recorder.flush();
    expect(written()).toHaveLength(1);
  });

  it("throttles a chatty object without touching others", async () => {
    const { recorder, event, written } = setUp();
    for (let index = 0; index < 100; index += 1) recorder.record({ ...event, note: `note ${index}` });
    const other = { ...event, regarding: { ...event.regarding, metadata: { name: "other", uid: "uid-other" } } };
    recorder.record(other);
    await recorder.flush();
    expect(written()).toHaveLength(26);
    expect(written().filter(({ metadata }) => Reflect.get(Object(metadata), "namespace") === "default")).toHaveLength(
      1,
    );
  });

  it("never throws, and goes on after a refusal", async () => {
    const { recorder, server, event, written } = setUp();
    server.failNext("POST", /events/, 403);
    recorder.record(event);
    recorder.record({ ...event, note: "next" });
    await recorder.flush();
    expect(written()).toHaveLength(1);
  });

  it("cuts a note at the API's limit", async () => {
    const { recorder, event, written } = setUp();
    recorder.record({ ...event, note: "x".repeat(5_000) });
    await recorder.flush();
    expect(String(written()[0]?.["note"])).toHaveLength(1_024);
  });
});
