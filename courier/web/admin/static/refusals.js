// Refusals: the last requests that this node refused, and why.

import { el, icon } from "./dom.js";
import { NONE, ago, moment, precise } from "./format.js";
import { dialog, factList } from "./notices.js";
import { Table } from "./table.js";

export const title = () => "Refusals";

export function open(root) {
  const table = new Table({
    path: "refusals", rows: "refusals", caption: "refusals", searchable: "Search users, services, causes",
    sort: "at", order: "desc", empty,
    columns: [
      { key: "error", name: "Refused", tall: true, side: "left", cell: (row) => [
        el("button", { type: "button", class: "link", "data-name": `${row.number} facts`, onclick: () => facts(row) }, short(row.error)),
        row.cause ? el("p", { class: "quiet cause" }, row.cause) : null] },
      { key: "action", name: "Request", wide: "120px", side: "left", cell: (row) =>
        el("span", {}, `${row.action} `, el("span", { class: "quiet number" }, String(row.status))) },
      { key: "user_id", name: "Who", wide: "14%", side: "left", label: "by", cell: (row) => el("span", { title: who(row) }, who(row)) },
      { key: "channel", name: "Channel", wide: "16%", side: "none", cell: (row) => el("span", { title: row.channel }, row.channel ?? NONE) },
      { key: "address", name: "Address", wide: "140px", side: "none", cell: (row) => el("span", { title: row.address }, row.address ?? NONE) },
      { key: "at", name: "When", end: true, wide: "104px", side: "left", cell: (row) => el("span", { title: precise(row.at) }, ago(row.at)) },
    ],
  });
  root.append(el("div", { class: "view" },
    el("div", { class: "tools" }, table.search),
    el("section", { class: "card" }, table.element)));
  return table.start();
}

/** What stands before the part that the cause tells in full. */
const short = (sentence) => sentence.split(/[,;:({]/, 1)[0].trim();

const who = (row) => row.user_id ?? row.source ?? NONE;

function facts(row) {
  dialog(row.error, factList([
    ["Cause", row.cause ?? NONE],
    ["Request", row.action],
    [row.status < 1000 ? "Status" : "Close code", String(row.status)],
    ["When", `${moment(row.at)}, ${ago(row.at)}`],
    ["User", row.user_id ?? NONE],
    ["Service", row.source ?? NONE],
    ["Channel", row.channel ?? NONE],
    ["Event type", row.event_type ?? NONE],
    ["Address", row.address ?? NONE],
    ["Request id", row.request_id ?? NONE, "mono"],
  ]), [{ word: "Done", kind: "primary" }]);
}

function empty() {
  return el("div", { class: "empty" }, icon("refusals"), el("h3", {}, "Nothing was refused"),
    el("p", {}, "Publishes, joins and requests for history that this node refuses are listed here, each with its cause."));
}
