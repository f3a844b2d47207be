import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { announcement, at } from "./fake-server.js";
import { aClient, following } from "./following.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("position", () => {
  test("begins where the subscription begins, and moves behind each event", () => {
    const { server, client } = aClient();
    expect(client.position).toBeUndefined();
    void client.connect();
    server.socket.join({ position: at(41) });
    expect(client.position).toBe(at(41));
    server.socket.event(42);
    expect(client.position).toBe(at(42));
  });

  test("is the `since` that was given until something moves it", () => {
    const { server, client } = aClient({ since: at(7) });
    expect(client.position).toBe(at(7));
    void client.connect();
    expect(server.socket.since).toBe(at(7));
    server.socket.join();
    server.socket.event(8);
    expect(client.position).toBe(at(8));
  });

  test("moves only after all handlers have run", () => {
    const { server, client } = following();
    const seen: (string | undefined)[] = [];
    client.onMessage(() => seen.push(client.position));
    client.onMessage(() => seen.push(client.position));
    server.socket.event(1);
    expect(seen).toEqual([at(0), at(0)]);
    expect(client.position).toBe(at(1));
  });

  test("a time as `since` becomes a position with the join", () => {
    const time = "2026-01-31T12:00:00+01:00";
    const { server, client, got } = aClient({ since: time });
    void client.connect();
    expect(server.socket.since).toBe(time);
    server.socket.join({ position: at(5), recovered: true });
    expect(client.position).toBe(at(5));
    server.socket.event(6);
    expect(got).toEqual([6]);
  });

  test.each([at(7), "2026-01-31T12:00:00Z"])(
    "stays at %s, which was not recovered, until the gap is told",
    async (since) => {
      const { server, client, gaps } = aClient({ since });
      void client.connect();
      server.socket.join({ position: at(20), recovered: false });
      expect(client.position).toBe(since);
      server.socket.end();
      await vi.advanceTimersByTimeAsync(500);
      expect(server.socket.since).toBe(since);
      server.socket.join({ position: at(20), recovered: false });
      server.socket.gap(since, at(20));
      expect(gaps).toHaveLength(1);
      expect(client.position).toBe(at(20));
    },
  );
});

describe("order", () => {
  test("events come once each, however often they are delivered", async () => {
    const { server, got } = following();
    for (const offset of [1, 2, 2, 1, 3]) server.socket.event(offset);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(500);
    server.socket.join();
    for (const offset of [2, 3, 4]) server.socket.event(offset);
    expect(got).toEqual([1, 2, 3, 4]);
  });

  test("a gap is told before the event after it, as Courier says it", () => {
    const { server, gaps, got, client } = following();
    server.socket.event(1);
    server.socket.gap(at(1), at(9), "overrun");
    expect(client.position).toBe(at(9));
    server.socket.event(10);
    expect(got).toEqual([1, "overrun", 10]);
    expect(gaps[0]).toMatchObject({ requested: at(1), resumed_from: at(9) });
  });

  test("a new epoch after a gap is followed", () => {
    const { server, got } = following();
    server.socket.event(1);
    server.socket.gap(at(1), at(0, "aaaaaaaa"), "unknown_position");
    server.socket.event(1, "aaaaaaaa");
    expect(got).toEqual([1, "unknown_position", 1]);
  });

  test("a hole in the positions is told as a gap of the client's own", () => {
    const { server, gaps, got, client } = following();
    server.socket.event(1);
    server.socket.event(4);
    server.socket.event(5);
    expect(got).toEqual([1, "hole", 4, 5]);
    expect(gaps).toEqual([
      {
        type: "courier.gap",
        channel: client.channel,
        requested: at(1),
        resumed_from: at(3),
        reason: "hole",
      },
    ]);
  });

  test("a hole right behind the join, or across two connections, is told as well", async () => {
    const { server, got } = following();
    server.socket.event(2);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(500);
    server.socket.join();
    server.socket.event(4);
    expect(got).toEqual(["hole", 2, "hole", 4]);
  });

  test("another epoch without a gap is a hole", () => {
    const { server, got } = following();
    server.socket.event(1);
    server.socket.event(1, "aaaaaaaa");
    server.socket.event(2, "aaaaaaaa");
    expect(got).toEqual([1, "hole", 1, 2]);
  });

  test("an event whose id is no position makes the client come back", async () => {
    const { server, client, got } = following();
    server.socket.event(1);
    server.socket.say({ ...announcement(2), id: "two" });
    expect(server.socket.left).toBe(true);
    expect(client.state).toMatchObject({ status: "waiting", reason: "An event without a position" });
    await vi.advanceTimersByTimeAsync(500);
    expect(server.socket.since).toBe(at(1));
    expect(got).toEqual([1]);
  });

  test.each(["", "{", "null", "7", "[]", '{"id":"x"}'])(
    "a message %j cannot be read: it comes back",
    (text) => {
      const { server, client } = following();
      server.socket.say(text);
      expect(server.socket.left).toBe(true);
      expect(client.state).toMatchObject({ status: "waiting", reason: "A message that cannot be read" });
    },
  );

  test.each([new ArrayBuffer(2), new Blob(["{}"])])("a message that is no text, neither", (data) => {
    const { server, client } = following();
    server.socket.message(data);
    expect(client.state).toMatchObject({ status: "waiting", reason: "A message that cannot be read" });
  });

  test("what a later Courier says of its own is passed over", () => {
    const { server, got, client } = following();
    server.socket.say({ type: "courier.news" });
    server.socket.event(1);
    expect(got).toEqual([1]);
    expect(client.state.status).toBe("open");
  });

  test("an event of a type that is not built in is delivered", () => {
    const { server, events } = following();
    server.socket.say({ ...announcement(1), type: "acme.order_shipped" });
    expect(events).toMatchObject([{ type: "acme.order_shipped" }]);
  });

  test("nothing that comes after the connection was left is delivered", () => {
    const { server, client, got } = following();
    client.disconnect();
    server.socket.event(1);
    expect(got).toEqual([]);
  });
});

describe("handlers", () => {
  test("one that throws stops neither the others nor the position, and its error is reported", () => {
    const { server, client, got, errors } = aClient();
    const error = new Error("mine");
    const late: string[] = [];
    client.onMessage(() => {
      throw error;
    });
    client.onMessage((event) => late.push(event.id));
    void client.connect();
    server.socket.join();
    server.socket.event(1);
    server.socket.event(2);
    expect(errors).toEqual([error, error]);
    expect(late).toEqual([at(1), at(2)]);
    expect(got).toEqual([1, 2]);
    expect(client.position).toBe(at(2));
  });

  test("the errors of handlers of states and gaps are reported, too, and so are rejected promises", async () => {
    const { server, client, errors } = aClient();
    client.onState(() => {
      throw new Error("state");
    });
    client.onGap(async () => Promise.reject(new Error("gap")));
    client.onMessage(async () => Promise.reject(new Error("message")));
    void client.connect();
    server.socket.join();
    server.socket.event(3);
    await vi.advanceTimersByTimeAsync(0);
    expect(errors.map((error) => (error as Error).message)).toEqual(["state", "state", "gap", "message"]);
    expect(client.position).toBe(at(3));
  });

  test("an `onError` that throws stops nothing", () => {
    const reported = vi.spyOn(console, "error").mockReturnValue();
    const { server, client } = following({
      onError: () => {
        throw new Error("from onError");
      },
    });
    client.onMessage(() => {
      throw new Error("from a handler");
    });
    server.socket.event(1);
    server.socket.event(2);
    expect(client.position).toBe(at(2));
    expect(reported).toHaveBeenCalledTimes(2);
    reported.mockRestore();
  });

  test("one that is removed gets nothing more, also by another one in the middle of an event", () => {
    const { server, client } = following();
    const got: string[] = [];
    const remove = client.onMessage(() => removeSecond());
    const removeSecond = client.onMessage(() => got.push("second"));
    server.socket.event(1);
    remove();
    server.socket.event(2);
    expect(got).toEqual([]);
  });

  test("one that is added in the middle of an event gets the next one", () => {
    const { server, client } = following();
    const got: string[] = [];
    const remove = client.onMessage(() => {
      remove();
      client.onMessage((event) => got.push(event.id));
    });
    server.socket.event(1);
    server.socket.event(2);
    expect(got).toEqual([at(2)]);
  });

  test("the next event waits for promises, and so does the position", async () => {
    const { server, client } = following();
    const steps: string[] = [];
    client.onMessage(async (event) => {
      steps.push(`begin ${event.id}`);
      await new Promise((done) => setTimeout(done, 100));
      steps.push(`end ${event.id}`);
    });
    server.socket.event(1);
    server.socket.event(2);
    expect(client.position).toBe(at(0));
    await vi.advanceTimersByTimeAsync(100);
    expect(client.position).toBe(at(1));
    await vi.advanceTimersByTimeAsync(100);
    expect(client.position).toBe(at(2));
    expect(steps).toEqual([`begin ${at(1)}`, `end ${at(1)}`, `begin ${at(2)}`, `end ${at(2)}`]);
  });

  test("a connection that breaks meanwhile goes on behind what has come, so nothing comes twice", async () => {
    const { server, client, got } = following();
    client.onMessage(() => new Promise((done) => setTimeout(done, 2_000)));
    for (const offset of [1, 2, 3]) server.socket.event(offset);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(500);
    expect(server.socket.since).toBe(at(3));
    expect(client.position).toBe(at(0));
    server.socket.join();
    server.socket.event(4);
    await vi.advanceTimersByTimeAsync(8_000);
    expect(got).toEqual([1, 2, 3, 4]);
    expect(client.position).toBe(at(4));
  });

  test("a thousand events may wait; then the client leaves, and comes back when they are handled", async () => {
    const { server, client, got } = following();
    const free: (() => void)[] = [];
    client.onMessage(() => new Promise<void>((resolve) => free.push(resolve)));
    for (let offset = 1; offset <= 1_001; offset++) server.socket.event(offset);
    expect(client.state).toEqual({ status: "waiting", reason: "Handlers are behind" });
    expect(server.socket.left).toBe(true);
    void client.connect();
    await vi.advanceTimersByTimeAsync(60_000);
    for (let handled = 1; handled <= 1_001; handled++) {
      expect(server.sockets).toHaveLength(1);
      free.shift()!();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(client.state.status).toBe("connecting");
    expect(server.socket.since).toBe(at(1_001));
    expect(got).toHaveLength(1_001);
  });

  test("handlers that are done do not shorten the wait after a close", async () => {
    const { server, client } = following();
    client.onMessage(() => new Promise((done) => setTimeout(done, 10)));
    server.socket.event(1);
    server.socket.say({ type: "courier.drain", reconnect_in_ms: 5_000 });
    server.socket.end(1001, "Server shutting down for maintenance");
    await vi.advanceTimersByTimeAsync(4_999);
    expect(client.position).toBe(at(1));
    expect(server.sockets).toHaveLength(1);
  });

  test("`disconnect` in a handler: the event that it handles is behind it, and the others come again", () => {
    const { server, client, got } = following();
    client.onMessage((event) => {
      if (event.id === at(1)) client.disconnect();
    });
    server.socket.event(1);
    server.socket.event(2);
    void client.connect();
    expect(server.socket.since).toBe(at(1));
    server.socket.join();
    server.socket.event(2);
    expect(got).toEqual([1, 2]);
  });

  test("`disconnect` where a hole is told: the event behind it is not delivered, and comes again", () => {
    const { server, client, got } = following();
    const remove = client.onGap(() => client.disconnect());
    server.socket.event(5);
    expect(got).toEqual(["hole"]);
    remove();
    void client.connect();
    expect(server.socket.since).toBe(at(4));
    server.socket.join();
    server.socket.event(5);
    expect(got).toEqual(["hole", 5]);
  });

  test("`disconnect` forgets what waits for a promise: it comes again with the next `connect`", async () => {
    const { server, client, got } = following();
    client.onMessage(() => new Promise((done) => setTimeout(done, 100)));
    for (const offset of [1, 2, 3]) server.socket.event(offset);
    client.disconnect();
    void client.connect();
    expect(server.socket.since).toBe(at(1));
    server.socket.join();
    server.socket.event(2);
    await vi.advanceTimersByTimeAsync(300);
    expect(got).toEqual([1, 2]);
  });
});
