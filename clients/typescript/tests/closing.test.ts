import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CLOSE_CODES, type ComeBack } from "../src/index.js";
import { afterClose } from "../src/closing.js";
import { at } from "./fake-server.js";
import { aClient, following, type Following } from "./following.js";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => vi.useRealTimers());

const HALF_OF_THE_FIRST_LIMIT = 250;

async function comesBackAfter(ms: number, { server, client }: Following): Promise<void> {
  expect(client.state).toMatchObject({ status: "waiting", retryAt: Date.now() + ms });
  await vi.advanceTimersByTimeAsync(ms - 1);
  expect(server.sockets).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(server.sockets).toHaveLength(2);
  expect(server.socket.since).toBe(at(3));
}

/** What is to be seen after a close, for each answer of the table. A new answer needs a new line here. */
const CHECKS: Record<ComeBack, (all: Following, code: number, reason: string) => Promise<void>> = {
  yes: (all) => comesBackAfter(HALF_OF_THE_FIRST_LIMIT, all),
  "yes, with since": (all) => comesBackAfter(HALF_OF_THE_FIRST_LIMIT, all),
  "yes, backing off": (all) => comesBackAfter(HALF_OF_THE_FIRST_LIMIT, all),
  "yes, at the slot, with since": (all) => comesBackAfter(2_500, all),
  "with a new token": isRefused,
  no: isRefused,
};

async function isRefused({ server, client }: Following, code: number, reason: string): Promise<void> {
  expect(client.state).toEqual({ status: "refused", code, reason });
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(server.sockets).toHaveLength(1);
}

describe.each(CLOSE_CODES)("$code $reason: $comeBack", ({ code, reason, comeBack }) => {
  test("is what the client knows without the table", () => {
    const known = afterClose(code, reason);
    expect(
      comeBack.startsWith("yes") && comeBack !== "yes, at the slot, with since"
        ? "yes, backing off"
        : comeBack,
    ).toBe(known);
  });

  test("while it is open", async () => {
    const all = following();
    for (const offset of [1, 2, 3]) all.server.socket.event(offset);
    all.server.socket.end(code, reason);
    await CHECKS[comeBack](all, code, reason);
  });

  test("in answer to the join", async () => {
    const all = aClient({ since: at(3) });
    void all.client.connect();
    all.server.socket.end(code, reason);
    await CHECKS[comeBack](all, code, reason);
  });
});

describe.each(CLOSE_CODES.filter((row) => row.comeBack === "with a new token"))("$reason", (row) => {
  test("a fresh token is asked for once, and with it the client comes back at once", async () => {
    const getToken = vi.fn(async (stale?: string) => Promise.resolve(stale === undefined ? "t1" : "t2"));
    const { server, client } = aClient({ getToken });
    void client.connect();
    await vi.advanceTimersByTimeAsync(0);
    server.socket.join();
    server.socket.event(1);
    await vi.advanceTimersByTimeAsync(10_000);
    server.socket.end(row.code, row.reason);
    await vi.advanceTimersByTimeAsync(0);
    expect(getToken.mock.calls).toEqual([[undefined], ["t1"]]);
    expect(server.sockets.map((socket) => socket.token)).toEqual(["t1", "t2"]);
    server.socket.join();
    expect(client.state.status).toBe("open");
  });

  test("fresh tokens that all end as soon as they have joined are asked for less and less often", async () => {
    let count = 0;
    const { server, client } = aClient({ getToken: () => `t${++count}` });
    void client.connect();
    const waits: number[] = [];
    for (let failure = 0; failure < 8; failure++) {
      await vi.advanceTimersByTimeAsync(0);
      server.socket.join();
      server.socket.end(row.code, row.reason);
      expect(client.state).toMatchObject({ status: "waiting", reason: row.reason });
      const before = Date.now();
      await vi.advanceTimersToNextTimerAsync();
      waits.push(Date.now() - before);
    }
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    expect(server.socket.token).toBe("t9");
  });

  test("when the fresh token is refused as well, the client stops", async () => {
    let count = 0;
    const getToken = vi.fn(() => `t${++count}`);
    const { server, client } = aClient({ getToken });
    void client.connect();
    for (let turn = 0; turn < 2; turn++) {
      await vi.advanceTimersByTimeAsync(0);
      server.socket.end(row.code, row.reason);
    }
    expect(client.state).toEqual({ status: "refused", code: row.code, reason: row.reason });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(server.sockets).toHaveLength(2);
    expect(getToken).toHaveBeenCalledTimes(2);
  });
});

test.each([1000, 1001, 1005, 1006, 1009, 1011, 4008, 4009])(
  "a server that lets all in and closes them at once with %d is asked less and less often, for ever",
  async (code) => {
    const { server, client } = aClient();
    void client.connect();
    const waits: number[] = [];
    for (let failure = 0; failure < 50; failure++) {
      server.socket.join();
      server.socket.event(failure + 1);
      server.socket.end(code, "");
      const before = Date.now();
      await vi.advanceTimersToNextTimerAsync();
      waits.push(Date.now() - before);
    }
    expect(waits).toEqual([...waits].sort((one, other) => one - other));
    expect(new Set(waits.slice(6))).toEqual(new Set([15_000]));
  },
);

test.each([
  [1000, ""],
  [1002, "Protocol error"],
  [1006, ""],
  [1007, ""],
  [1012, "Service restart"],
  [1013, "Another reason"],
  [4999, "Unheard of"],
])("%d %s is in no row: the client comes back, backing off", async (code, reason) => {
  const all = following();
  for (const offset of [1, 2, 3]) all.server.socket.event(offset);
  all.server.socket.end(code, reason);
  await comesBackAfter(HALF_OF_THE_FIRST_LIMIT, all);
});

test("1008 with an unknown reason is refused, and no token is asked for", async () => {
  const getToken = vi.fn(() => "t1");
  const all = aClient({ getToken });
  void all.client.connect();
  await vi.advanceTimersByTimeAsync(0);
  all.server.socket.end(1008, "A proxy's policy");
  await isRefused(all, 1008, "A proxy's policy");
  expect(getToken).toHaveBeenCalledOnce();
});

test("waits double with each failure up to 30 s, and the client never gives up", async () => {
  const { server, client } = aClient();
  void client.connect();
  const waits: number[] = [];
  for (let failure = 0; failure < 300; failure++) {
    server.socket.end(1013, "Try again later");
    const before = Date.now();
    await vi.advanceTimersToNextTimerAsync();
    waits.push(Date.now() - before);
  }
  expect(waits.slice(0, 8)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  expect(new Set(waits.slice(8))).toEqual(new Set([15_000]));
  expect(server.sockets).toHaveLength(301);
});

test("nodes that leave without naming a slot are asked again less and less often", async () => {
  const { server, client } = aClient();
  void client.connect();
  const waits: number[] = [];
  for (let failure = 0; failure < 8; failure++) {
    server.socket.end(1001, "");
    expect(client.state).toMatchObject({ reason: "Closed with 1001" });
    const before = Date.now();
    await vi.advanceTimersToNextTimerAsync();
    waits.push(Date.now() - before);
  }
  expect(waits).toEqual([2_500, 2_500, 2_500, 2_500, 4_000, 8_000, 15_000, 15_000]);
});

test("a connection that ends as soon as it has joined does not begin the backoff anew; a longer one does", async () => {
  const all = following();
  const { server, client } = all;
  const wait = () => (client.state as { retryAt: number }).retryAt - Date.now();
  server.socket.end(1011, "Channel failed");
  expect(wait()).toBe(250);
  await vi.advanceTimersByTimeAsync(250);
  server.socket.join();
  server.socket.end(1011, "Channel failed");
  expect(wait()).toBe(500);
  await vi.advanceTimersByTimeAsync(500);
  server.socket.join();
  await vi.advanceTimersByTimeAsync(10_000);
  for (const ms of [250, 500, 1_000]) {
    server.socket.end(1011, "Channel failed"); // the second and the third without having joined
    expect(wait()).toBe(ms);
    await vi.advanceTimersByTimeAsync(ms);
  }
});

describe("a drain", () => {
  test("the client comes back at its slot, and not before", async () => {
    const all = following();
    for (const offset of [1, 2, 3]) all.server.socket.event(offset);
    all.server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
    expect(all.client.state.status).toBe("open");
    all.server.socket.end(1001, "Server shutting down for maintenance");
    await comesBackAfter(8_400, all);
  });

  test("`disconnect` before the node has closed leaves at once", () => {
    const { server, client } = following();
    server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
    client.disconnect();
    expect(server.socket.left).toBe(true);
  });

  test("the slot counts also when the connection breaks instead of being closed", async () => {
    const all = following();
    for (const offset of [1, 2, 3]) all.server.socket.event(offset);
    all.server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
    all.server.socket.end();
    await comesBackAfter(8_400, all);
  });

  test("the slot does not count for the connection after it", async () => {
    const all = following();
    all.server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
    all.server.socket.end(1001, "Server shutting down for maintenance");
    await vi.advanceTimersByTimeAsync(8_400);
    all.server.socket.end();
    expect(all.client.state).toMatchObject({ retryAt: Date.now() + 2 * HALF_OF_THE_FIRST_LIMIT });
  });

  test("nodes that always leave at once, and name a slot of no time, are asked less and less often", async () => {
    const { server, client } = aClient();
    void client.connect();
    const waits: number[] = [];
    for (let failure = 0; failure < 8; failure++) {
      server.socket.join();
      server.socket.say({ type: "courier.drain", reconnect_in_ms: 0 });
      server.socket.end(1001, "Server shutting down for maintenance");
      const before = Date.now();
      await vi.advanceTimersToNextTimerAsync();
      waits.push(Date.now() - before);
    }
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  });
});
