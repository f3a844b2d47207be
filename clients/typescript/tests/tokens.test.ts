import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CourierClient, shareToken } from "../src/index.js";
import { FakeServer } from "./fake-server.js";
import { aClient, following } from "./following.js";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => vi.useRealTimers());

const settle = () => vi.advanceTimersByTimeAsync(0);
const EXPIRING = { type: "courier.token_expiring", seconds_left: 60 };
const REFRESHED = { type: "courier.refreshed", expires_at: "2026-01-31T13:00:00Z" };
const refresh = (token: string) => JSON.stringify({ type: "courier.refresh", token });

test("the token is a subprotocol beside courier.v1, and never in the URL", () => {
  const { server } = following({ token: "a.b-c_d" });
  expect(server.socket.protocols).toEqual(["courier.v1", "courier.bearer.a.b-c_d"]);
  expect(server.socket.url.href).toBe("wss://courier.example/ws/user.alice");
});

test("a connection that broke comes back with the same token", async () => {
  const getToken = vi.fn(() => "t1");
  const { server, client } = aClient({ getToken });
  void client.connect();
  await settle();
  server.socket.join();
  server.socket.end();
  await vi.advanceTimersByTimeAsync(250);
  expect(server.sockets.map((socket) => socket.token)).toEqual(["t1", "t1"]);
  expect(getToken).toHaveBeenCalledOnce();
});

test("`connect` after `disconnect` asks again: somebody else may have signed in", async () => {
  const getToken = vi.fn(() => "t1");
  const { client } = aClient({ getToken });
  void client.connect();
  await settle();
  client.disconnect();
  void client.connect();
  await settle();
  expect(getToken.mock.calls).toEqual([[undefined], [undefined]]);
});

test("a `getToken` that fails is reported and asked again, backing off", async () => {
  let failures = 3;
  const getToken = vi.fn(async () => {
    if (failures-- > 0) throw new Error("no network");
    return Promise.resolve("t1");
  });
  const { server, client, errors } = aClient({ getToken });
  void client.connect();
  await settle();
  expect(client.state).toMatchObject({ status: "waiting", reason: "No token: getToken failed" });
  await vi.advanceTimersByTimeAsync(250 + 500 + 999);
  expect(server.sockets).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(server.sockets).toHaveLength(1);
  expect(errors).toHaveLength(3);
});

test("no token, or the one that was refused, ends the subscription without another join", async () => {
  for (const second of [null, "t1"]) {
    const { server, client } = aClient({ getToken: (stale) => (stale === undefined ? "t1" : second) });
    void client.connect();
    await settle();
    server.socket.end(1008, "Token expired");
    await settle();
    expect(client.state).toEqual({
      status: "refused",
      code: 1008,
      reason: "Authentication token required",
    });
    expect(server.sockets).toHaveLength(1);
  }
});

test("each token that was good for a join may be replaced when it ends", async () => {
  let count = 0;
  const { server, client } = aClient({ getToken: () => `t${++count}` });
  void client.connect();
  for (let turn = 1; turn <= 5; turn++) {
    await settle();
    expect(server.socket.token).toBe(`t${turn}`);
    server.socket.join();
    await vi.advanceTimersByTimeAsync(10_000);
    server.socket.end(1008, "Token expired");
  }
});

test("a `getToken` that gives no answer within 30 s is asked again, and what it says later is dropped", async () => {
  const give: ((token: string) => void)[] = [];
  const getToken = vi.fn(() => new Promise<string>((resolve) => give.push(resolve)));
  const { server, client } = aClient({ getToken });
  void client.connect();
  await vi.advanceTimersByTimeAsync(29_999);
  expect(client.state.status).toBe("connecting");
  await vi.advanceTimersByTimeAsync(1);
  const reason = "No token: getToken does not answer";
  expect(client.state).toEqual({ status: "waiting", retryAt: Date.now() + 250, reason });
  give[0]!("late");
  await vi.advanceTimersByTimeAsync(250);
  expect(server.sockets).toHaveLength(0);
  give[1]!("t2");
  await settle();
  expect(server.socket.token).toBe("t2");
  server.socket.join();
  for (let beat = 0; beat < 3; beat++) {
    await vi.advanceTimersByTimeAsync(15_000);
    server.socket.say("pong");
  }
  expect(client.state.status).toBe("open");
});

test("an `onError` that throws does not keep a client from asking for its token again", async () => {
  const reported = vi.spyOn(console, "error").mockReturnValue();
  const getToken = vi.fn<() => string>().mockReturnValue("t1");
  const fail = () => {
    throw new Error("no network");
  };
  getToken.mockImplementationOnce(fail);
  const { server, client } = aClient({ getToken, onError: fail });
  void client.connect();
  await vi.advanceTimersByTimeAsync(250);
  server.socket.join();
  getToken.mockImplementationOnce(fail).mockReturnValue("t2");
  server.socket.say(EXPIRING);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(server.socket.sent).toEqual([refresh("t2")]);
  expect(reported).toHaveBeenCalledTimes(2);
  reported.mockRestore();
});

test("after a refusal `connect` makes another try, with another token", async () => {
  let count = 0;
  const { server, client } = aClient({ getToken: () => `t${++count}` });
  void client.connect();
  await settle();
  server.socket.end(1008, "Unauthorized access to channel");
  expect(client.state.status).toBe("refused");
  void client.connect();
  await settle();
  expect(server.socket.token).toBe("t2");
});

test("after a refused token `connect` begins anew: with no stale token, and with two to try", async () => {
  let count = 0;
  const getToken = vi.fn<(stale?: string) => string>(() => `t${++count}`);
  const { server, client } = aClient({ getToken });
  const refuseBoth = async () => {
    void client.connect();
    for (let turn = 0; turn < 2; turn++) {
      await settle();
      server.socket.end(1008, "Invalid token");
    }
    expect(client.state.status).toBe("refused");
  };
  await refuseBoth();
  await refuseBoth();
  expect(getToken.mock.calls).toEqual([[undefined], ["t1"], [undefined], ["t3"]]);
});

describe("a token that is about to end", () => {
  async function renewing(...tokens: (string | null | Error)[]) {
    const getToken = vi.fn<(stale?: string) => Promise<string | null>>(async () => {
      const next = tokens.shift()!;
      if (next instanceof Error) throw next;
      return Promise.resolve(next);
    });
    const all = aClient({ getToken });
    void all.client.connect();
    await settle();
    all.server.socket.join();
    const refreshes = () => all.server.socket.sent.filter((text) => text !== "ping");
    return { ...all, getToken, refreshes };
  }

  test("is replaced without a new connection", async () => {
    const { server, client, getToken, refreshes } = await renewing("t1", "t2");
    server.socket.say(EXPIRING);
    await settle();
    expect(getToken.mock.calls).toEqual([[undefined], ["t1"]]);
    server.socket.say(REFRESHED);
    await vi.advanceTimersByTimeAsync(14_999); // until the client's first ping
    expect(refreshes()).toEqual([refresh("t2")]);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(250);
    expect(server.socket.token).toBe("t2");
    expect(client.state.status).toBe("connecting");
  });

  test("is asked for once, however often Courier says so", async () => {
    const { server, getToken, refreshes } = await renewing("t1", "t2");
    server.socket.say(EXPIRING);
    server.socket.say(EXPIRING);
    await settle();
    server.socket.say(EXPIRING);
    await settle();
    expect(getToken).toHaveBeenCalledTimes(2);
    expect(refreshes()).toEqual([refresh("t2")]);
  });

  test("the new one is sent again every 5 s until Courier has it, and the next one is asked for then", async () => {
    const { server, getToken, refreshes } = await renewing("t1", "t2", "t3");
    server.socket.say(EXPIRING);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(refreshes()).toEqual([refresh("t2"), refresh("t2"), refresh("t2")]);
    server.socket.say(REFRESHED);
    server.socket.say(EXPIRING);
    await settle();
    expect(getToken.mock.calls).toEqual([[undefined], ["t1"], ["t2"]]);
    expect(refreshes().at(-1)).toBe(refresh("t3"));
  });

  test("is asked for again where there is no new one yet, or getToken fails", async () => {
    const { server, errors, refreshes } = await renewing("t1", null, "t1", new Error("no network"), "t2");
    server.socket.say(EXPIRING);
    await vi.advanceTimersByTimeAsync(14_999);
    expect(refreshes()).toEqual([]);
    server.socket.say("pong");
    await vi.advanceTimersByTimeAsync(1);
    expect(refreshes()).toEqual([refresh("t2")]);
    expect(errors).toHaveLength(1);
  });

  test("one that comes after the connection has ended is not sent to the next one", async () => {
    let give: (token: string) => void = () => undefined;
    const getToken = vi
      .fn<(stale?: string) => Promise<string>>()
      .mockResolvedValueOnce("t1")
      .mockReturnValueOnce(new Promise((resolve) => (give = resolve)));
    const { server, client } = aClient({ getToken });
    void client.connect();
    await settle();
    server.socket.join();
    server.socket.say(EXPIRING);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(250);
    server.socket.join();
    give("t2");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.sockets.flatMap((socket) => socket.sent)).toEqual([]);
    expect(getToken).toHaveBeenCalledTimes(2);
  });

  test("nothing is asked after `disconnect`", async () => {
    const { server, client, getToken } = await renewing("t1", null, "t2");
    server.socket.say(EXPIRING);
    await settle();
    client.disconnect();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(getToken).toHaveBeenCalledTimes(2);
  });

  test("a refresh that is refused is one refusal: a fresh token, and then the end", async () => {
    const { server, client, getToken } = await renewing("t1", "t2", "t3");
    server.socket.say(EXPIRING);
    await vi.advanceTimersByTimeAsync(10_000);
    server.socket.end(1008, "Invalid token");
    await settle();
    expect(getToken.mock.calls).toEqual([[undefined], ["t1"], ["t2"]]);
    server.socket.end(1008, "Invalid token");
    expect(client.state).toEqual({ status: "refused", code: 1008, reason: "Invalid token" });
  });

  test("without getToken nothing can be done", async () => {
    const { server, client } = following();
    server.socket.say(EXPIRING);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.socket.sent).toEqual([]);
    expect(client.state.status).toBe("open");
  });
});

describe("shareToken", () => {
  test("many clients whose token ends ask once, and all send the same", async () => {
    let count = 0;
    const getToken = vi.fn(async () => Promise.resolve(`t${++count}`));
    const shared = shareToken(getToken);
    const server = new FakeServer();
    const clients = Array.from({ length: 20 }, (_, index) => {
      const options = { url: "ws://localhost", channel: `user.u${index}`, getToken: shared };
      return new CourierClient({ ...options, WebSocket: server.WebSocket });
    });
    for (const client of clients) void client.connect();
    await settle();
    expect(new Set(server.sockets.map((socket) => socket.token))).toEqual(new Set(["t1"]));
    for (const socket of server.sockets) socket.join();
    for (const [index, socket] of server.sockets.entries()) {
      socket.say(EXPIRING);
      if (index === 9) await settle(); // half of them come when the new one is there already
    }
    await settle();
    expect(getToken.mock.calls).toEqual([[undefined], ["t1"]]);
    expect(server.sockets.map((socket) => socket.sent)).toEqual(Array(20).fill([refresh("t2")]));
    for (const client of clients) client.disconnect();
  });

  test("one that gives no answer within 30 s is asked again, and what it says later changes nothing", async () => {
    const give: ((token: string) => void)[] = [];
    const getToken = vi.fn(() => new Promise<string>((resolve) => give.push(resolve)));
    const shared = shareToken(getToken);
    const first = shared();
    await vi.advanceTimersByTimeAsync(29_999);
    expect(shared()).toBe(first);
    await vi.advanceTimersByTimeAsync(1);
    const second = shared();
    await settle();
    give[0]!("t1");
    expect(await first).toBe("t1");
    expect(shared()).toBe(second);
    give[1]!("t2");
    expect(await second).toBe("t2");
    expect(await shared()).toBe("t2");
    expect(getToken).toHaveBeenCalledTimes(2);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("no");
      },
    ],
    ["is rejected", async () => Promise.reject(new Error("no"))],
    ["gives none", () => null],
  ])("one that %s is asked again", async (_, fail) => {
    const getToken = vi.fn<(stale?: string) => string | null | Promise<string | null>>(() => "t1");
    getToken.mockImplementationOnce(fail);
    const shared = shareToken(getToken);
    const first = await Promise.allSettled([shared(), shared()]);
    expect(first[0]).toEqual(first[1]);
    expect(getToken).toHaveBeenCalledOnce();
    expect(await shared()).toBe("t1");
    expect(await shared()).toBe("t1");
    expect(getToken).toHaveBeenCalledTimes(2);
  });
});

test("neither errors, nor states, nor what a console shows of a client has the token in it", async () => {
  const { inspect } = await import("node:util");
  function Refusing(url: string, protocols: string[]) {
    throw new SyntaxError(`The subprotocol '${protocols.join()}' of ${url} is invalid`);
  }
  const { client, states, errors } = aClient({ token: "se.cr.et", WebSocket: Refusing as never });
  const joined = client.connect();
  await expect(joined).rejects.not.toThrow(/se\.cr\.et/);
  expect(client.state).toMatchObject({ status: "refused", code: 1006 });
  expect(client.state).toHaveProperty(
    "reason",
    expect.stringMatching(/^The browser opens no WebSocket to this URL/),
  );
  expect(inspect([client, states, errors, joined], { depth: 9, showHidden: true })).not.toContain("se.cr.et");
});

test.each([{ token: "t1" }, "Bearer se.cr.et", 7])(
  "a `getToken` that gives no JWT is reported, without what it gave, and asked again: %j",
  async (given) => {
    const getToken = vi.fn().mockReturnValueOnce(given).mockReturnValue("t2");
    const { server, client, errors } = aClient({ getToken });
    void client.connect();
    await settle();
    expect(client.state).toMatchObject({ status: "waiting", reason: "No token: getToken failed" });
    expect(errors.map(String)).toEqual([
      `TypeError: A token must be a JWT of A-Z a-z 0-9 . _ -, without "Bearer"; got "${typeof given}"`,
    ]);
    await vi.advanceTimersByTimeAsync(500);
    expect(server.sockets.map((socket) => socket.token)).toEqual(["t2"]);
    client.disconnect();
  },
);

test("a refresh never hands over what is no JWT", async () => {
  const getToken = vi.fn().mockReturnValueOnce("t1").mockReturnValueOnce("no token").mockReturnValue("t2");
  const { server, client, errors } = aClient({ getToken });
  void client.connect();
  await settle();
  server.socket.join();
  server.socket.say(EXPIRING);
  await settle();
  expect(server.socket.sent).toEqual([]);
  expect(errors).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(server.socket.sent).toEqual([refresh("t2")]);
  client.disconnect();
});
