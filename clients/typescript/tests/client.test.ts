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
    [
      "no token",
      { token: undefined },
      'A token must be a JWT of A-Z a-z 0-9 . _ -, without "Bearer"; got undefined',
    ],
    ["a token of null", { token: null }, /^A token must be a JWT .*; got null$/],
    ["an empty token", { token: "" }, /^A token must be a JWT .*; got ""$/],
    ["a token that is an object", { token: { token: "t1" } }, /^A token must be a JWT .*; got "object"$/],
    [
      "a header for a token",
      { token: "Bearer se.cr.et" },
      /^A token must be a JWT [^]*without "Bearer"; got "string"$/,
    ],
    ["two ways to a token", { getToken: () => "t1" }, "Give either `token` or `getToken`"],
    ["no URL", { url: undefined }, /^`url` must be one that begins with https:.*; got undefined$/],
    ["an empty URL", { url: "//" }, /^`url` must be .*; got "\/\/"$/],
    ["a relative URL without a page", { url: "/bus" }, /^`url` must be .*; got "\/bus"$/],
    ["a host without a scheme", { url: "courier.example" }, /^`url` must be .*; got "courier.example"$/],
    [
      "a host and a port without a scheme",
      { url: "localhost:8766" },
      /^`url` must be .*; got "localhost:8766"$/,
    ],
    ["another protocol", { url: "ftp://courier.example" }, /^`url` must be/],
    ["a URL object", { url: new URL("https://courier.example") }, /^`url` must be .*; got object$/],
    [
      "no channel",
      { channel: undefined },
      /^`channel` must be a name of .*, such as user.alice; got undefined$/,
    ],
    ["an empty channel", { channel: "" }, /^`channel` must be .*; got ""$/],
    ["a channel with a space", { channel: "user.al ice" }, /^`channel` must be .*; got "user.al ice"$/],
    [
      "a channel that no URL can have",
      { channel: "user.\ud800" },
      /^`channel` must be .*; got "user..ud800"$/,
    ],
    ["a channel that is a path", { channel: "user.alice/../?a#b" }, /^`channel` must be/],
    [
      "a `since` that is a date",
      { since: new Date() },
      /^`since` must be a position or a time, as a string; got object$/,
    ],
    ["a `WebSocket` that is no class", { WebSocket: {} }, /package ws/],
  ])("refuses %s", (_, wrong, said) => {
    vi.stubGlobal(
      "location",
      "url" in wrong && wrong.url === undefined ? { href: "https://app.example/" } : undefined,
    );
    const making = () => new CourierClient({ ...good, ...(wrong as object) });
    expect(making).toThrow(TypeError);
    expect(making).toThrow(said);
    expect(making).not.toThrow(/se\.cr\.et/);
  });

  test.each([
    ["nothing at all", [], /^`url` must be .*; got undefined$/],
    ["a URL that is undefined", [undefined, "user.alice", "t1"], /^`url` must be .*; got undefined$/],
    ["a URL and a channel", ["https://courier.example", "user.alice"], /^A token must be .*; got undefined$/],
    [
      "a function for a token",
      ["https://courier.example", "user.alice", () => "t1"],
      /^A token .* got "function"$/,
    ],
  ])("by position, refuses %s", (_, given, said) => {
    const Any = CourierClient as new (...given: unknown[]) => CourierClient;
    expect(() => new Any(...given)).toThrow(said);
  });

  test("takes URL, channel and token by position, too", () => {
    const server = new FakeServer();
    vi.stubGlobal("WebSocket", server.WebSocket);
    void new CourierClient("https://courier.example", "user.alice", "t1").connect();
    expect(server.socket.url.href).toBe("wss://courier.example/ws/user.alice");
    expect(server.socket.token).toBe("t1");
  });

  test.each([null, undefined])("takes %s for an option that is left out", (none) => {
    const getToken = vi.fn(() => "t1");
    const options = { ...good, token: none, getToken, since: none } as unknown as ClientOptions;
    const client = new CourierClient(options);
    expect(client.position).toBeUndefined();
    void client.connect();
    expect(getToken).toHaveBeenCalledOnce();
    client.disconnect();
  });

  test("refuses to work without a WebSocket, in words that help", () => {
    vi.stubGlobal("WebSocket", undefined);
    expect(() => new CourierClient({ ...good, WebSocket: undefined })).toThrow(/package ws/);
  });

  test("takes the platform's WebSocket where there is one", () => {
    const server = new FakeServer();
    vi.stubGlobal("WebSocket", server.WebSocket);
    void new CourierClient({ ...good, WebSocket: undefined }).connect();
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

test("the ids of identity providers are percent-encoded, and a `since` is, too", () => {
  const { server } = following({ channel: "user.auth0|a@b:c+d~e", since: "2026-01-31T12:00:00+01:00" });
  expect(server.socket.url.href).toBe(
    "wss://courier.example/ws/user.auth0%7Ca%40b%3Ac%2Bd~e?since=2026-01-31T12%3A00%3A00%2B01%3A00",
  );
});

describe("the promise of `connect`", () => {
  test("is fulfilled when Courier answers, and not before", async () => {
    const { server, client } = aClient();
    const joined = vi.fn();
    void client.connect().then(joined);
    const again = client.connect();
    await vi.advanceTimersByTimeAsync(0);
    expect(joined).not.toHaveBeenCalled();
    server.socket.join();
    await again;
    expect(joined).toHaveBeenCalledOnce();
    await client.connect(); // it is open
    expect(server.sockets).toHaveLength(1);
  });

  test("is not settled by a try that fails, but by the join that comes later", async () => {
    const { server, client } = aClient();
    const joined = client.connect();
    server.socket.end();
    await vi.advanceTimersByTimeAsync(500);
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    await joined;
    expect(client.state.status).toBe("open");
  });

  test("is rejected when Courier refuses, with the reason; the next `connect` has a promise of its own", async () => {
    const { server, client } = aClient();
    const joined = client.connect();
    server.socket.end(1008, "Unknown channel");
    await expect(joined).rejects.toThrow("Courier refuses user.alice: Unknown channel (1008)");
    await expect(joined).rejects.toMatchObject({ cause: client.state });
    const again = client.connect();
    server.socket.join();
    await again;
  });

  test("is rejected when `disconnect` comes first", async () => {
    const { client } = aClient();
    const joined = client.connect();
    client.disconnect();
    await expect(joined).rejects.toThrow("`disconnect` was called before Courier answered");
    await expect(joined).rejects.toMatchObject({ cause: { status: "closed" } });
  });

  test("of a connection that broke is fulfilled at the next join", async () => {
    const { server, client } = following();
    server.socket.end();
    const joined = client.connect();
    server.socket.join();
    await joined;
    expect(server.sockets).toHaveLength(2);
  });

  test("may be ignored: a refusal is no unhandled rejection", async () => {
    vi.useRealTimers();
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    const { server, client } = aClient();
    void client.connect();
    server.socket.end(1008, "Unknown channel");
    await new Promise((turn) => setTimeout(turn, 20));
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
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
  void client.connect();
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
  void client.connect();
  void client.connect();
  server.socket.join();
  void client.connect();
  expect(server.sockets).toHaveLength(1);
});

test("`connect` after `disconnect` begins the backoff anew", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { server, client } = aClient();
  void client.connect();
  for (let failure = 0; failure < 5; failure++) {
    server.socket.end();
    await vi.advanceTimersToNextTimerAsync();
  }
  client.disconnect();
  void client.connect();
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
      if (status !== "idle") void client.connect();
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
    void client.connect();
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
    void client.connect();
    expect(server.sockets).toHaveLength(0);
    expect(seen.at(-1)).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("in a handler of the state `open`", () => {
    const { server, client, got } = aClient();
    client.onState((state) => {
      if (state.status === "open") client.disconnect();
    });
    void client.connect();
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
  void client.connect();
  server.socket.join();
  server.socket.event(2);
  expect(got).toEqual([]);
});
