// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { at } from "./fake-server.js";
import { aClient, following, type Following } from "./following.js";

let clients: Following[] = [];
const kept = (all: Following) => (clients.push(all), all);

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => {
  for (const { client } of clients) client.disconnect();
  clients = [];
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const offline = () => dispatchEvent(new Event("offline"));
const online = () => dispatchEvent(new Event("online"));
function show(state: DocumentVisibilityState): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
  document.dispatchEvent(new Event("visibilitychange"));
}

test("an `offline` that is wrong leaves the connection as it is, and events go on coming", async () => {
  const { server, client, got } = kept(following());
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  offline();
  expect(server.socket.pings).toBe(1);
  server.socket.say("pong");
  await vi.advanceTimersByTimeAsync(6_000);
  server.socket.event(1);
  expect(got).toEqual([1]);
  expect(client.state.status).toBe("open");
  expect(server.sockets).toHaveLength(1);
});

test("an `offline` that is right ends a dead connection within 5 s; `online` brings it back at once, where it was", async () => {
  const { server, client } = kept(following());
  server.socket.event(1);
  server.socket.dead = true;
  offline();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(client.state).toMatchObject({ status: "waiting", reason: "No answer to a ping" });
  online();
  expect(server.sockets).toHaveLength(2);
  expect(server.socket.since).toBe(at(1));
  server.socket.join();
  expect(client.state.status).toBe("open");
});

test.each(["connecting", "waiting"])(
  "%s: after `offline` it goes on trying, though no `online` comes",
  async (status) => {
    const { server, client } = kept(aClient());
    void client.connect();
    if (status === "waiting") server.socket.end();
    vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
    offline();
    for (let tries = 0; tries < 8; tries++) {
      server.socket.end();
      const before = server.sockets.length;
      await vi.advanceTimersByTimeAsync(15_000); // the longest backoff, where chance is a half
      expect(server.sockets.length).toBeGreaterThan(before);
      await vi.advanceTimersByTimeAsync(0);
      if (client.state.status === "waiting") await vi.advanceTimersToNextTimerAsync();
    }
    server.socket.join();
    expect(client.state.status).toBe("open");
  },
);

test("a connection that is asked again and again is given up all the same when it is dead", async () => {
  const { server, client } = kept(following());
  server.socket.dead = true;
  for (let second = 0; second < 6; second++) {
    offline();
    online();
    show("visible");
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(server.sockets[0]!.left).toBe(true);
  expect(server.sockets[0]!.pings).toBe(1);
  expect(client.state.status).not.toBe("open");
});

test.each([
  ["a page that ran again after it was frozen", () => document.dispatchEvent(new Event("resume"))],
  ["a page that came back by the back button", () => dispatchEvent(new Event("pageshow"))],
])("%s asks its connection, and does not wait for the backoff", (_, wake) => {
  const { server } = kept(following());
  wake();
  expect(server.socket.pings).toBe(1);
  server.socket.end();
  wake();
  expect(server.sockets).toHaveLength(2);
});

test("`offline` while the token is asked for: the token that comes opens the connection", async () => {
  let give: (token: string) => void = () => undefined;
  const getToken = vi.fn(() => new Promise<string>((resolve) => (give = resolve)));
  const { server, client } = kept(aClient({ getToken }));
  void client.connect();
  offline();
  online();
  give("t1");
  await vi.advanceTimersByTimeAsync(0);
  expect(getToken).toHaveBeenCalledOnce();
  expect(server.sockets.map((socket) => socket.token)).toEqual(["t1"]);
});

test("neither online nor a page that is shown disturbs a connection that is being made", () => {
  const { server, client } = kept(aClient());
  void client.connect();
  online();
  show("visible");
  expect(server.sockets).toHaveLength(1);
  expect(server.socket.left).toBe(false);
});

test("online does not wait for the backoff of a broken connection", () => {
  const { server } = kept(following());
  server.socket.end();
  online();
  expect(server.sockets).toHaveLength(2);
});

test.each([
  ["a drain", 8_400, { type: "courier.drain", reconnect_in_ms: 8_400 }],
  ["Try again later", 250, undefined],
])("neither online nor a page that is shown shortens the wait after %s", async (_, ms, message) => {
  const { server, client } = kept(following());
  if (message) server.socket.say(message);
  server.socket.end(1013, "Try again later");
  const retryAt = Date.now() + ms;
  show("visible");
  online();
  expect(client.state).toMatchObject({ status: "waiting", retryAt });
  offline();
  await vi.advanceTimersByTimeAsync(100);
  online();
  expect(client.state).toMatchObject({ status: "waiting", retryAt });
  await vi.advanceTimersByTimeAsync(ms - 101);
  expect(server.sockets).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(server.sockets).toHaveLength(2);
});

test("a clock that is set back makes no wait longer", async () => {
  const { server, client } = kept(following());
  server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
  server.socket.end(1001, "Server shutting down for maintenance");
  vi.setSystemTime(Date.now() - 3_600_000);
  online();
  expect(client.state.status).toBe("waiting");
  await vi.advanceTimersByTimeAsync(8_400);
  expect(server.sockets).toHaveLength(2);
});

test("`connect` shortens any wait", () => {
  const { server, client } = kept(following());
  server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
  server.socket.end(1001, "Server shutting down for maintenance");
  void client.connect();
  expect(server.sockets).toHaveLength(2);
  server.socket.end();
  online(); // what Courier had asked for is over
  expect(server.sockets).toHaveLength(3);
});

test("a page that is shown again asks its connection, and leaves a dead one within 5 s", async () => {
  const { server, client } = kept(following());
  show("hidden");
  expect(server.socket.pings).toBe(0);
  show("visible");
  expect(server.socket.pings).toBe(1);
  server.socket.say("pong");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(client.state.status).toBe("open");
  server.socket.dead = true;
  show("visible");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(client.state).toMatchObject({ status: "waiting", reason: "No answer to a ping" });
});

test("a page that is shown again does not wait for the backoff, whatever `navigator.onLine` says", () => {
  const { server, client } = kept(following());
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  server.socket.end();
  show("visible");
  expect(server.sockets).toHaveLength(2);
  expect(client.state.status).toBe("connecting");
});

test.each(["closed", "refused"] as const)("when it is %s, it does not listen any more", (status) => {
  const heard = [vi.spyOn(globalThis, "addEventListener"), vi.spyOn(document, "addEventListener")] as const;
  const unheard = [
    vi.spyOn(globalThis, "removeEventListener"),
    vi.spyOn(document, "removeEventListener"),
  ] as const;
  const { server, client } = kept(following());
  if (status === "closed") client.disconnect();
  else server.socket.end(1008, "Unknown channel");
  offline();
  online();
  show("visible");
  expect(client.state.status).toBe(status);
  expect(server.sockets).toHaveLength(1);
  for (const at of [0, 1] as const) expect(unheard[at].mock.calls).toEqual(heard[at].mock.calls);
  expect(heard.map(({ mock }) => mock.calls.length)).toEqual([3, 2]);
});
