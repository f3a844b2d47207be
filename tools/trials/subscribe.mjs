// What a user of @courier/client does first in Node; prints the first event of alice's.
import { CourierClient } from "@courier/client";
import WebSocket from "ws";

const [url, token, since] = process.argv.slice(2);
const client = new CourierClient({ url, channel: "user.alice", token, since, WebSocket });
client.onMessage((event) => {
  console.log(JSON.stringify(event));
  client.disconnect();
});
client.connect();
