import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { at } from "./fake-server.js";
import { aClient, following } from "./following.js";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => vi.useRealTimers());

test("a ping is answered", () => {
  const { server, got } = following();
  server.socket.say("ping");
  expect(server.socket.sent).toEqual(["pong"]);
  expect(got).toEqual([]);
});

test("the client says `ping` of its own every half heartbeat, and stays while it is answered", async () => {
  const { server, client } = following();
  for (let beat = 1; beat <= 20; beat++) {
    await vi.advanceTimersByTimeAsync(15_000);
    expect(server.socket.pings).toBe(beat);
    server.socket.say("pong");
  }
  expect(client.state.status).toBe("open");
  expect(server.sockets).toHaveLength(1);
});

test("events count as answers", async () => {
  const { server, client } = following();
  for (let offset = 1; offset <= 20; offset++) {
    await vi.advanceTimersByTimeAsync(14_000);
    server.socket.event(offset);
  }
  expect(client.state.status).toBe("open");
});

test("a half-open connection is noticed within a heartbeat, left at once, and another one made", async () => {
  const { server, client } = following();
  server.socket.event(1);
  server.socket.dead = true;
  await vi.advanceTimersByTimeAsync(29_999);
  expect(client.state.status).toBe("open");
  await vi.advanceTimersByTimeAsync(1);
  expect(client.state).toEqual({
    status: "waiting",
    reason: "No answer to a ping",
    retryAt: Date.now() + 250,
  });
  expect(server.socket.left).toBe(true);
  await vi.advanceTimersByTimeAsync(250);
  expect(server.sockets).toHaveLength(2);
  expect(server.socket.since).toBe(at(1));
});

test("the heartbeat is the one that Courier names, and never slower than one ping in 30 s", async () => {
  for (const [seconds, ms] of [
    [4, 2_000],
    [3_600, 30_000],
  ] as const) {
    const { server, client } = aClient();
    void client.connect();
    server.socket.join({ heartbeat_seconds: seconds });
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(server.socket.pings).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.socket.pings).toBe(1);
    client.disconnect();
  }
});

test("after a sleep the connection is asked before it is given up", async () => {
  const { server, client } = following();
  await vi.advanceTimersByTimeAsync(15_000);
  vi.setSystemTime(Date.now() + 8 * 3_600_000); // timers slept, too
  await vi.advanceTimersByTimeAsync(15_000);
  expect(client.state.status).toBe("open");
  expect(server.socket.pings).toBe(2);
  server.socket.say("pong");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(client.state.status).toBe("open");
});

test("after a sleep a dead connection is given up within seconds", async () => {
  const { server, client } = following();
  await vi.advanceTimersByTimeAsync(15_000);
  vi.setSystemTime(Date.now() + 8 * 3_600_000);
  server.socket.dead = true;
  await vi.advanceTimersByTimeAsync(20_000);
  expect(client.state).toMatchObject({ status: "waiting", reason: "No answer to a ping" });
});

test("a connection that is made and never joined is given up after 10 s", async () => {
  const { server, client } = aClient();
  void client.connect();
  await vi.advanceTimersByTimeAsync(9_999);
  expect(client.state.status).toBe("connecting");
  await vi.advanceTimersByTimeAsync(1);
  expect(client.state).toMatchObject({ status: "waiting", reason: "No answer to the join" });
  expect(server.socket.left).toBe(true);
});

test("nothing runs on after `disconnect`", () => {
  const { client } = following();
  client.disconnect();
  expect(vi.getTimerCount()).toBe(1); // of the fake socket, which says that it is closed
});
