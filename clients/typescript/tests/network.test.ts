// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

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

describe.each(["connecting", "open", "waiting"] as const)("%s", (status) => {
  test("offline: it tries nothing; online: it comes back at once, where it was", async () => {
    const { server, client } = kept(status === "connecting" ? aClient({ since: at(1) }) : following());
    if (status === "connecting") client.connect();
    else server.socket.event(1);
    if (status === "waiting") server.socket.end();
    expect(client.state.status).toBe(status);
    offline();
    expect(client.state).toEqual({ status: "offline" });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(server.sockets).toHaveLength(1);
    online();
    expect(server.sockets).toHaveLength(2);
    expect(server.socket.since).toBe(at(1));
    server.socket.join();
    expect(client.state.status).toBe("open");
  });
});

test("offline while the token is asked for: the token that comes late opens nothing", async () => {
  let give: (token: string) => void = () => undefined;
  const getToken = () => new Promise<string>((resolve) => (give = resolve));
  const { server, client } = kept(aClient({ getToken }));
  client.connect();
  offline();
  give("t1");
  await vi.advanceTimersByTimeAsync(0);
  expect(server.sockets).toHaveLength(0);
  online();
  give("t2");
  await vi.advanceTimersByTimeAsync(0);
  expect(server.sockets.map((socket) => socket.token)).toEqual(["t2"]);
});

test("neither online nor a page that is shown disturbs a connection that is being made", () => {
  const { server, client } = kept(aClient());
  client.connect();
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

test("a clock that is set back while it is offline makes no wait longer", async () => {
  const { server, client } = kept(following());
  server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
  server.socket.end(1001, "Server shutting down for maintenance");
  offline();
  vi.setSystemTime(Date.now() - 3_600_000);
  online();
  expect(client.state).toMatchObject({ status: "waiting", retryAt: Date.now() + 8_400 });
  await vi.advanceTimersByTimeAsync(8_400);
  expect(server.sockets).toHaveLength(2);
});

test("`connect` shortens any wait", () => {
  const { server, client } = kept(following());
  server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 });
  server.socket.end(1001, "Server shutting down for maintenance");
  client.connect();
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

test("a page that is shown again does not wait for the backoff, unless it is known to be offline", () => {
  const { server, client } = kept(following());
  server.socket.end();
  const onLine = vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  show("visible");
  expect(server.sockets).toHaveLength(1);
  onLine.mockReturnValue(true);
  show("visible");
  expect(server.sockets).toHaveLength(2);
  expect(client.state.status).toBe("connecting");
});

test("a browser that says at the start that it is offline is not believed", () => {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  const { server } = kept(following());
  expect(server.sockets).toHaveLength(1);
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
  expect(heard.map(({ mock }) => mock.calls.length)).toEqual([2, 1]);
});
