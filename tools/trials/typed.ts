import { CourierClient, EventRouter } from "@courier/client";

const events = new EventRouter();
events.on("backtest.progress", (event) => {
  const progress: number = event.progress;
  // @ts-expect-error: it has no such field
  console.log(progress, event.speed);
});
const client = new CourierClient({ url: "http://127.0.0.1:8766", channel: "user.alice", token: "t" });
client.onMessage(events.dispatch);
