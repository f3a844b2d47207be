// Channels: all that run on this node.

import { el, icon } from "./dom.js";
import { ago, bytes, count } from "./format.js";
import { Table, kind, lag } from "./table.js";

export const title = () => "Channels";

export function open(root) {
  const table = new Table({
    path: "channels", rows: "channels", caption: "channels", searchable: "Search channels",
    sort: "connections", order: "desc", empty,
    columns: [
      { key: "channel", name: "Channel", wide: "30%", side: "left", cell: ({ channel }) =>
        el("a", { class: "link", href: `#/channels/${encodeURIComponent(channel)}`, title: channel, "data-name": channel }, channel) },
      { key: "kind", name: "Kind", wide: "110px", side: "right", cell: (row) => kind(row.kind) },
      { key: "connections", name: "Subscribers", end: true, label: "subscribers", side: "left", cell: (row) => count(row.connections) },
      { key: "events", name: "Events kept", end: true, label: "events", side: "right", cell: (row) => count(row.events) },
      { key: "bytes", name: "Size", end: true, cell: (row) => bytes(row.bytes) },
      { key: "newest_at", name: "Latest event", end: true, label: "latest", side: "left", cell: (row) => ago(row.newest_at) },
      { key: "oldest_at", name: "Oldest kept", end: true, cell: (row) => ago(row.oldest_at) },
      { key: "lag", name: "Worst lag", end: true, label: "worst lag", side: "right", cell: (row) => lag(row.lag) },
      { key: "waiting", name: "Inbox", end: true, cell: (row) => count(row.waiting) },
    ],
  });
  root.append(el("div", { class: "view" },
    el("div", { class: "tools" }, table.search),
    el("section", { class: "card" }, table.element)));
  return table.start();
}

function empty() {
  return el("div", { class: "empty" }, icon("channels"), el("h3", {}, "No channels yet"),
    el("p", {}, "A channel begins with its first event or its first subscriber. "),
    el("p", {}, "You can ", el("a", { href: "#/publish" }, "publish a test event"), " to begin one."));
}
