// Connections: who is subscribed, how far behind each is, and closing one.

import { el, icon } from "./dom.js";
import { NONE, age, ago, bytes, count, moment } from "./format.js";
import { Refused, ask } from "./node.js";
import { dialog, factList, toast } from "./notices.js";
import { askToDisconnect, askToRevoke } from "./revocations.js";
import { Table, lag } from "./table.js";

export const title = () => "Connections";

export function open(root) {
  const table = connectionTable({ path: "connections", searchable: "Search users, channels, addresses", withChannel: true });
  root.append(el("div", { class: "view" },
    el("div", { class: "tools" }, table.search),
    el("section", { class: "card" }, table.element)));
  return table.start();
}

export function connectionTable({ path, searchable = "", withChannel }) {
  let table = null;
  const again = () => table.loop?.now();
  const close = (row) => askToClose(row, again);
  const columns = [
    { key: "user_id", name: "User", wide: withChannel ? null : "32%", side: "left", cell: (row) =>
      el("button", { type: "button", class: "link", title: row.user_id, "data-name": `${row.id} facts`, onclick: () => facts(row, close, again) }, row.user_id) },
    { key: "state", name: "State", wide: "104px", side: "right", cell: ({ state }) =>
      el("span", { class: "state", "data-state": state }, el("i", { class: "dot" }), word(state)) },
    withChannel && { key: "channel", name: "Channel", side: "left", cell: (row) => row.channel === null
      ? el("span", { title: named(row) }, `${count(row.subscriptions.length)} channels`)
      : el("a", { class: "link", href: `#/channels/${encodeURIComponent(row.channel)}`, title: row.channel, "data-name": null }, row.channel) },
    { key: "lag", name: "Lag", end: true, wide: withChannel ? "66px" : null, label: "lag", side: withChannel ? "right" : "left", cell: (row) => lag(row.lag) },
    withChannel && { key: "unsent_bytes", name: "Waiting", sort: false, end: true, wide: "82px", cell: (row) => bytes(waiting(row)) },
    withChannel && { key: "heard_at", name: "Heard from", end: true, wide: "98px", cell: (row) => ago(row.heard_at) },
    { key: "connected_at", name: "Connected", end: true, wide: withChannel ? "94px" : null, label: "connected", side: withChannel ? "left" : "none", cell: (row) => age(row.connected_at) },
    withChannel && { key: "address", name: "Address", end: true, wide: "138px", cell: (row) => el("span", { title: row.address }, row.address ?? NONE) },
    { key: "close", name: el("span", { class: "visually-hidden" }, "Close"), sort: false, end: true, wide: "104px", side: "right", cell: (row) =>
      el("button", { type: "button", class: "button small bare", "data-name": `${row.id} close`, "aria-label": `Close the connection of ${row.user_id}`,
        disabled: row.state === "closing", onclick: () => close(row) }, icon("close"), "Close") },
  ].filter(Boolean);
  table = new Table({ path, rows: "connections", caption: "connections", searchable, sort: "lag", order: "desc", columns, empty });
  return table;
}

const WORDS = { current: "Current", behind: "Behind", closing: "Closing", joining: "Joining" };
const word = (state) => WORDS[state] ?? state;
const waiting = ({ held_bytes, unsent_bytes }) => held_bytes + (unsent_bytes ?? 0);

const named = ({ subscriptions }) => subscriptions.map(({ channel }) => channel).join(", ") || "none yet";

// Of a connection for many channels each one, with how far behind it is.
const channels = (row) => row.channel !== null ? [["Channel", row.channel]]
  : [["Channels", count(row.subscriptions.length)], ...row.subscriptions.map((each) =>
    [each.channel, `${word(each.state)}, ${count(each.lag)} behind, at ${each.position ?? NONE}`])];

function facts(row, close, again) {
  dialog(row.user_id, factList([
    ...channels(row),
    ["State", word(row.state)],
    ["Lag", `${count(row.lag)} events`],
    ...(row.channel === null ? [] : [["Position", row.position ?? NONE, "mono"]]),
    ["Frame held", bytes(row.held_bytes)],
    ["In the socket", row.unsent_bytes === null ? "not known" : bytes(row.unsent_bytes)],
    ["Connected", `${moment(row.connected_at)}, ${ago(row.connected_at)}`],
    ["Heard from", ago(row.heard_at)],
    ["Last ping", ago(row.pinged_at)],
    ["Subprotocol", row.subprotocol ?? "none"],
    ["Address", row.address ?? NONE],
    ["Connection", row.id, "mono"],
  ]), [
    { word: "Revoke tokens", kind: "bare", act: () => askToRevoke(row.user_id, again) },
    { word: "Close all of this user", kind: "bare", act: () => askToDisconnect(row.user_id, again) },
    { word: "Close connection", kind: "bare", act: () => close(row) },
    { word: "Done", kind: "primary" },
  ]);
}

function askToClose(row, then) {
  dialog(`Close the connection of ${row.user_id}?`,
    el("p", { class: "quiet" }, `It is told 1013 “Try again later”. A well-behaved client backs off, comes back to ${row.channel ?? "its channels"} by itself, and misses nothing.`),
    [{ word: "Keep it" }, { word: "Close connection", kind: "danger", act: () => closeIt(row, then) }]);
}

async function closeIt(row, then) {
  try {
    await ask(`connections/${row.id}/close`, { method: "POST" });
    toast(`The connection of ${row.user_id} is being closed.`);
  } catch (error) {
    toast(error instanceof Refused && error.status === 404 ? "That connection has gone already." : error.message, "wrong");
  }
  then();
}

function empty() {
  return el("div", { class: "empty" }, icon("connections"), el("h3", {}, "Nobody is subscribed"),
    el("p", {}, "A subscriber joins with ", el("code", {}, "courier subscribe CHANNEL"), " or a WebSocket at ", el("code", {}, "/ws/CHANNEL"), "."));
}
