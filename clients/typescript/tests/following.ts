import { CourierClient, type AnyEvent, type ClientOptions, type Gap, type State } from "../src/index.js";
import { CHANNEL, FakeServer } from "./fake-server.js";

/** A client of a fake server, and what its handlers got, in order. */
export interface Following {
  server: FakeServer;
  client: CourierClient;
  events: AnyEvent[];
  gaps: Gap[];
  states: State[];
  errors: unknown[];
  /** The offsets of the events and the reasons of the gaps, as they came. */
  got: (number | string)[];
}

/** A client that is not connected yet. */
export function aClient(options: Partial<ClientOptions> = {}): Following {
  const server = new FakeServer();
  const errors: unknown[] = [];
  const client = new CourierClient({
    url: "https://courier.example",
    channel: CHANNEL,
    WebSocket: server.WebSocket,
    onError: (error) => errors.push(error),
    ...("getToken" in options ? {} : { token: "t1" }),
    ...options,
  });
  const all: Following = { server, client, events: [], gaps: [], states: [], errors, got: [] };
  client.onMessage((event) => {
    all.events.push(event);
    all.got.push(Number(event.id.split("-")[1]));
  });
  client.onGap((gap) => {
    all.gaps.push(gap);
    all.got.push(gap.reason);
  });
  client.onState((state) => void all.states.push(state));
  return all;
}

/** A client that has joined. */
export function following(options: Partial<ClientOptions> = {}): Following {
  const all = aClient(options);
  void all.client.connect();
  all.server.socket.join();
  return all;
}
