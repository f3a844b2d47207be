// A hub on Node's http and ws, as a competent team writes it in a few days: a Map of Sets, tokens by jsonwebtoken,
// a sliding-window rate limit, Prometheus metrics, `id` and `channel` in every event delivered. It looks at the
// fields that all events share and not at those of each type. One process, no log, so no replay.
import { createSecretKey, randomBytes } from "node:crypto";
import { createServer } from "node:http";

import jwt from "jsonwebtoken";
import { collectDefaultMetrics, Counter, Gauge, Histogram, register } from "prom-client";
import { WebSocketServer } from "ws";

const { PORT, JWT_SECRET, RATE_LIMIT = "100" } = process.env;
// A string would first be tried as a PEM key at every token, which costs a third of a millisecond.
const SECRET = createSecretKey(Buffer.from(JWT_SECRET));
const LIMIT = Number(RATE_LIMIT);
const WINDOW_MS = 60_000;
const MAX_EVENT_BYTES = 65_536;
const CHANNEL = /^(?:global|(user|strategy|backtest|forge\.job)\.[A-Za-z0-9_-]{1,128})$/;
const SERVICE = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const TYPE = /^(prophet|backtest|strategy|trade|position|forge|system)\.[a-z_]+$/;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

collectDefaultMetrics();
const published = new Counter({
  name: "hub_events_published",
  help: "Events accepted",
  labelNames: ["channel", "event_type", "source"],
});
const delivered = new Counter({ name: "hub_events_delivered", help: "Events written to WebSockets" });
const connections = new Gauge({ name: "hub_connections", help: "Open WebSockets", labelNames: ["channel"] });
const latency = new Histogram({
  name: "hub_publish_seconds",
  help: "From a request's body to its receipt",
  labelNames: ["channel"],
  buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
});

const epoch = randomBytes(4).toString("hex");
const channels = new Map();
const offsets = new Map();

// An exact sliding window for each service; `first` is where it begins, so that nothing is moved for each publish.
const windows = new Map();

function admit(service, now) {
  let window = windows.get(service);
  if (window === undefined) windows.set(service, (window = { times: [], first: 0 }));
  const { times } = window;
  while (window.first < times.length && times[window.first] <= now - WINDOW_MS) window.first += 1;
  if (window.first > 100_000 && window.first * 2 > times.length) {
    times.splice(0, window.first);
    window.first = 0;
  }
  const admitted = times.length - window.first < LIMIT;
  if (admitted) times.push(now);
  const reset = window.first < times.length ? times[window.first] + WINDOW_MS : now;
  return { admitted, remaining: LIMIT - (times.length - window.first), reset };
}

function claims(token, required) {
  try {
    const found = jwt.verify(token, SECRET, { algorithms: ["HS256"] });
    return found[required] === undefined || found.exp === undefined ? null : found;
  } catch {
    return null;
  }
}

function kindOf(channel) {
  const found = CHANNEL.exec(channel);
  return found && (found[1] ?? "global");
}

function broadcast(channel, event) {
  const offset = (offsets.get(channel) ?? 0) + 1;
  offsets.set(channel, offset);
  const id = `${epoch}-${offset}`;
  const subscribers = channels.get(channel);
  if (subscribers === undefined) return { id, reached: 0 };
  const data = Buffer.from(`{"id":"${id}","channel":"${channel}",${JSON.stringify(event).slice(1)}`);
  for (const subscriber of subscribers) subscriber.send(data, { binary: false });
  delivered.inc(subscribers.size);
  return { id, reached: subscribers.size };
}

function faultOf(event, service) {
  if (typeof event !== "object" || event === null) return "Invalid event schema";
  const { type, source, timestamp } = event;
  if (typeof type !== "string" || !TYPE.test(type)) return "Invalid event schema";
  if (timestamp !== undefined && !INSTANT.test(timestamp)) return "Invalid event schema";
  return source === service ? null : "Event source must match X-Service-Name header";
}

function answer(response, status, body, headers) {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    ...headers,
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
  });
  response.end(text);
}

function publish(request, response, channel, body) {
  const started = performance.now();
  const refuse = (status, error, headers) => answer(response, status, { detail: { error } }, headers);
  const service = request.headers["x-service-name"];
  if (service === undefined || !SERVICE.test(service)) return refuse(400, "Header X-Service-Name is required");
  const token = (request.headers.authorization ?? "").replace(/^bearer /i, "");
  if (claims(token, "service")?.service !== service) return refuse(401, "Invalid token");
  const verdict = admit(service, Date.now());
  const headers = {
    "X-RateLimit-Limit": LIMIT,
    "X-RateLimit-Remaining": verdict.remaining,
    "X-RateLimit-Reset": Math.ceil(verdict.reset / 1000),
  };
  if (!verdict.admitted) return refuse(429, "Rate limit exceeded", { ...headers, "Retry-After": 1 });
  if (body.length > MAX_EVENT_BYTES) return refuse(413, "Event too large", headers);
  const kind = kindOf(channel);
  if (kind === null) return refuse(400, "Unknown channel", headers);
  let event;
  try {
    event = JSON.parse(body);
  } catch {
    return refuse(400, "Invalid JSON", headers);
  }
  const fault = faultOf(event, service);
  if (fault !== null) return refuse(400, fault, headers);
  event.timestamp ??= new Date().toISOString();
  const { id, reached } = broadcast(channel, event);
  published.labels(kind, event.type, service).inc();
  latency.labels(kind).observe((performance.now() - started) / 1000);
  return answer(
    response,
    200,
    {
      status: "published",
      channel,
      event_type: event.type,
      clients_reached: reached,
      timestamp: new Date().toISOString(),
      id,
    },
    headers,
  );
}

const server = createServer({ keepAliveTimeout: 75_000 }, async (request, response) => {
  const path = request.url;
  if (request.method === "POST" && path.startsWith("/publish/")) {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => publish(request, response, path.slice(9), Buffer.concat(pieces)));
  } else if (path === "/health/ready") {
    answer(response, 200, { ready: true });
  } else if (path === "/metrics") {
    response.setHeader("Content-Type", register.contentType);
    response.end(await register.metrics());
  } else {
    answer(response, 404, { detail: { error: "Not found" } });
  }
});

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (subscriber) => {
    const url = new URL(request.url, "http://hub");
    const channel = url.pathname.slice(4);
    const user = claims(url.searchParams.get("token") ?? "", "user_id");
    const kind = kindOf(channel);
    if (user === null) return subscriber.close(1008, "Invalid token");
    if (kind === null) return subscriber.close(1008, "Unknown channel");
    if (kind === "user" && channel !== `user.${user.user_id}`) {
      return subscriber.close(1008, "Unauthorized access to channel");
    }
    let subscribers = channels.get(channel);
    if (subscribers === undefined) channels.set(channel, (subscribers = new Set()));
    subscribers.add(subscriber);
    connections.labels(kind).inc();
    subscriber.on("message", (data) => data.toString() === "ping" && subscriber.send("pong"));
    subscriber.on("error", () => subscriber.terminate());
    return subscriber.on("close", () => {
      subscribers.delete(subscriber);
      if (subscribers.size === 0 && channels.get(channel) === subscribers) channels.delete(channel);
      connections.labels(kind).dec();
    });
  });
});

server.listen({ port: Number(PORT), host: "127.0.0.1", backlog: 4096 });
process.on("SIGTERM", () => process.exit(0));
