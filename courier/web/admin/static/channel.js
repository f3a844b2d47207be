// One channel: what it is like, who is subscribed, and its latest events as they come.

import { connectionTable } from "./connections.js";
import { el, icon, say } from "./dom.js";
import { ago, bytes, count, precise } from "./format.js";
import { Refused, ask, every, query } from "./node.js";
import { kind } from "./table.js";

const REFRESH_MS = 1000;
const KEPT = 100;
const FACTS = [
  ["Subscribers", ({ connections }) => count(connections)],
  ["Worst lag", ({ lag }) => count(lag)],
  ["Events kept", ({ events }) => count(events)],
  ["Size", ({ bytes: size }) => bytes(size)],
  ["Oldest kept", ({ oldest_at }) => ago(oldest_at)],
  ["Position", ({ position }) => position],
];

export const title = (name) => name;

export function open(root, { argument: name }) {
  const table = connectionTable({ path: "", withChannel: false });
  const facts = FACTS.map(() => el("dd", {}, "–"));
  const feed = makeFeed();
  const about = el("span");
  const body = el("div", { class: "view", hidden: true },
    el("dl", { class: "card facts-row" }, FACTS.map(([word], i) => el("div", { class: word === "Position" ? "place" : null }, el("dt", {}, word), facts[i]))),
    el("div", { class: "columns" },
      el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Subscribers")), table.element),
      el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Latest events"), feed.button), feed.element)));
  const gone = el("section", { class: "card", hidden: true }, el("div", { class: "empty" }, icon("channels"),
    el("h3", {}, "This channel is not running"),
    el("p", {}, "It has no subscribers on this node and no events. It shows here as soon as it begins.")));
  root.append(el("div", { class: "view" },
    el("div", { class: "tools" }, el("a", { class: "crumb", href: "#/channels" }, icon("back"), "Channels"), about), gone, body));

  let since = "";
  table.loop = every(REFRESH_MS, async () => {
    try {
      const answer = await ask(`channels/${encodeURIComponent(name)}?${table.asked()}&${query({ since })}`);
      if (!since) about.replaceChildren(kind(answer.channel.kind));
      FACTS.forEach(([, value], i) => say(facts[i], value(answer.channel)));
      table.show(answer);
      feed.show(answer.events, answer.skipped, since !== "");
      since = answer.position;
      gone.hidden = true;
      body.hidden = false;
    } catch (error) {
      if (!(error instanceof Refused)) return;
      if (error.status !== 404 && error.status !== 400) throw error;
      gone.hidden = false;
      body.hidden = true;
    }
  });
  return () => table.loop.stop();
}

function makeFeed() {
  let held = false;
  const list = el("ol", { class: "feed", "aria-label": "Latest events", tabindex: "0" });
  const button = el("button", { type: "button", class: "button small", "aria-pressed": "false" }, "Hold");
  const blank = el("li", {}, el("div", { class: "empty" }, icon("publish"), el("h3", {}, "No events kept"),
    el("p", {}, "The next one shows here as it comes.")));
  list.append(blank);
  button.addEventListener("click", () => {
    held = !held;
    say(button, held ? "Go on" : "Hold");
    button.setAttribute("aria-pressed", String(held));
  });

  function show(events, skipped, isNews) {
    if (held || !events.length) return;
    blank.remove();
    if (skipped && isNews) list.prepend(el("li", { class: "note" }, "Some events went by faster than they are shown here."));
    for (const { arrived_at, event } of events) list.prepend(line(arrived_at, event, isNews));
    while (list.children.length > KEPT) list.lastChild.remove();
  }
  return { element: list, button, show };
}

function line(arrived, event, isNew) {
  const facts = el("details", {},
    el("summary", {},
      el("time", { datetime: arrived }, precise(arrived)),
      el("span", { class: "badge", "data-tone": tone(event.type), title: event.type }, event.type),
      el("span", { class: "source" }, event.source),
      el("span", { class: "offset" }, `#${event.id.split("-")[1]}`)));
  facts.addEventListener("toggle", () => {
    if (facts.open && facts.children.length === 1) facts.append(el("pre", { class: "json" }, JSON.stringify(event, null, 2)));
  });
  return el("li", { class: isNew ? "new" : null }, facts);
}

const TONES = { prophet: "1", backtest: "3", strategy: "2", trade: "2", position: "2", forge: "3", system: "5" };
const tone = (type) => (type.endsWith("failed") || type.endsWith("error") ? "4" : TONES[type.split(".")[0]]);
