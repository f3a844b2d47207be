import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CourierClient, type ClientOptions } from "../src/index.js";
import { FakeServer } from "./fake-server.js";
import { aClient, following } from "./following.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the constructor", () => {
  const good: ClientOptions = {
    url: "https://courier.example",
    channel: "global",
    token: "t1",
    WebSocket: new FakeServer().WebSocket,
  };

  test.each([
    ["no token", { token: undefined }],
    ["two ways to a token", { getToken: () => "t1" }],
    ["no URL", { url: "//" }],
    ["a relative URL without a page", { url: "/bus" }],
    ["a host without a scheme", { url: "courier.example" }],
    ["a host and a port without a scheme", { url: "localhost:8766" }],
    ["another protocol", { url: "ftp://courier.example" }],
  ])("refuses %s", (_, wrong) => {
    expect(() => new CourierClient({ ...good, ...wrong })).toThrow(TypeError);
  });

  test("refuses to work without a WebSocket, in words that help", () => {
    vi.stubGlobal("WebSocket", undefined);
    expect(() => new CourierClient({ ...good, WebSocket: undefined })).toThrow(/package ws/);
  });

  test("takes the platform's WebSocket where there is one", () => {
    const server = new FakeServer();
    vi.stubGlobal("WebSocket", server.WebSocket);
    new CourierClient({ ...good, WebSocket: undefined }).connect();
    expect(server.sockets).toHaveLength(1);
  });

  test("opens nothing", () => {
    const { server, client } = aClient();
    expect(client.state).toEqual({ status: "idle" });
    expect(server.sockets).toHaveLength(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test.each([
  ["https://courier.example", "wss://courier.example/ws/user.alice"],
  ["http://127.0.0.1:8766/", "ws://127.0.0.1:8766/ws/user.alice"],
  ["wss://example.org/bus", "wss://example.org/bus/ws/user.alice"],
  ["ws://example.org/bus/?region=eu#top", "ws://example.org/bus/ws/user.alice?region=eu"],
])("%s is asked at %s", (url, target) => {
  const { server } = following({ url });
  expect(server.socket.url.href).toBe(target);
});

test("in a page the URL may be relative", () => {
  vi.stubGlobal("location", { href: "https://app.example/charts?x=1" });
  const { server } = following({ url: "/bus" });
  expect(server.socket.url.href).toBe("wss://app.example/bus/ws/user.alice");
});

test("whatever the channel is, it stays one piece of the path", () => {
  const { server } = following({ channel: "user.alice/../?a#b" });
  expect(server.socket.url.href).toBe("wss://courier.example/ws/user.alice%2F..%2F%3Fa%23b");
});

test("a `since` of nothing is asked as it was given: only Courier says that it cannot be read", () => {
  const { server } = following({ since: "" });
  expect(server.socket.url.search).toBe("?since=");
});

test("a time with a zone arrives as it was given", () => {
  const { server } = following({ since: "2026-01-31T12:00:00+01:00" });
  expect(server.socket.url.search).toBe("?since=2026-01-31T12%3A00%3A00%2B01%3A00");
});

test("states follow each other as they are told", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { server, client, states } = aClient();
  client.connect();
  server.socket.join();
  server.socket.end(4008, "Too slow");
  await vi.advanceTimersByTimeAsync(250);
  server.socket.join();
  client.disconnect();
  expect(states.map((state) => state.status)).toEqual([
    "connecting",
    "open",
    "waiting",
    "connecting",
    "open",
    "closed",
  ]);
  expect(states[2]).toMatchObject({ reason: "Too slow" });
});

test("`connect` while it is connecting or open does nothing", () => {
  const { server, client } = aClient();
  client.connect();
  client.connect();
  server.socket.join();
  client.connect();
  expect(server.sockets).toHaveLength(1);
});

test("`connect` after `disconnect` begins the backoff anew", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { server, client } = aClient();
  client.connect();
  for (let failure = 0; failure < 5; failure++) {
    server.socket.end();
    await vi.advanceTimersToNextTimerAsync();
  }
  client.disconnect();
  client.connect();
  server.socket.end();
  expect(client.state).toMatchObject({ status: "waiting", retryAt: Date.now() + 250 });
});

describe("`disconnect` ends it for good", () => {
  test.each(["idle", "asking", "connecting", "open", "waiting", "refused", "closed"])(
    "%s",
    async (status) => {
      let give: (token: string) => void = () => undefined;
      const getToken = () => new Promise<string>((resolve) => (give = resolve));
      const { server, client, states } = aClient(status === "asking" ? { getToken } : {});
      if (status !== "idle") client.connect();
      if (status === "open") server.socket.join();
      if (status === "waiting") server.socket.end();
      if (status === "refused") server.socket.end(1008, "Unknown channel");
      if (status === "closed") client.disconnect();
      if (status !== "asking") expect(client.state.status).toBe(status);
      const before = server.sockets.length;
      client.disconnect();
      client.disconnect();
      give("t1");
      expect(client.state).toEqual({ status: "closed" });
      expect(states.filter((state) => state.status === "closed")).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(3_600_000);
      expect(server.sockets).toHaveLength(before);
      expect(
        server.sockets.every((socket) => socket.left || status === "waiting" || status === "refused"),
      ).toBe(true);
      expect(client.state).toEqual({ status: "closed" });
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  test("a `getToken` that fails afterwards is reported, and changes nothing", async () => {
    let fail: (error: Error) => void = () => undefined;
    const { client, errors } = aClient({ getToken: () => new Promise((_, reject) => (fail = reject)) });
    client.connect();
    client.disconnect();
    fail(new Error("no network"));
    await vi.advanceTimersByTimeAsync(0);
    expect(client.state).toEqual({ status: "closed" });
    expect(errors).toHaveLength(1);
  });

  test("in a handler of the state `connecting`: no connection is made, and no handler sees an old state last", () => {
    const { server, client } = aClient();
    const seen: string[] = [];
    client.onState((state) => {
      if (state.status === "connecting") client.disconnect();
    });
    client.onState((state) => seen.push(state.status));
    client.connect();
    expect(server.sockets).toHaveLength(0);
    expect(seen.at(-1)).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("in a handler of the state `open`", () => {
    const { server, client, got } = aClient();
    client.onState((state) => {
      if (state.status === "open") client.disconnect();
    });
    client.connect();
    server.socket.join();
    server.socket.event(1);
    expect(server.socket.left).toBe(true);
    expect(got).toEqual([]);
  });
});

test("what `on…` gives removes the handler", () => {
  const { server, client } = aClient();
  const got: string[] = [];
  const removers = [
    client.onMessage(() => got.push("message")),
    client.onGap(() => got.push("gap")),
    client.onState(() => got.push("state")),
  ];
  for (const remove of removers) remove();
  client.connect();
  server.socket.join();
  server.socket.event(2);
  expect(got).toEqual([]);
});
