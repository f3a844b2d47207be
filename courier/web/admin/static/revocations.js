// Revocations: tokens that count no more, and what takes access away.

import { el, icon } from "./dom.js";
import { NONE, moment } from "./format.js";
import { Refused, ask } from "./node.js";
import { dialog, factList, toast } from "./notices.js";
import { Table } from "./table.js";

export const title = () => "Revocations";

export function open(root) {
  let table = null;
  const back = (row) => askToTakeBack(row, () => table.loop?.now());
  table = new Table({
    path: "revocations", rows: "revocations", caption: "revocations", searchable: "Search users, services, token ids",
    sort: "expires_at", order: "desc", empty,
    columns: [
      { key: "name", name: "Revoked", side: "left", cell: (row) =>
        el("button", { type: "button", class: "link", title: named(row), "data-name": `${row.id} facts`, onclick: () => facts(row, back) }, named(row)) },
      { key: "subject", name: "Tokens of", wide: "120px", side: "left", cell: (row) => subject(row) },
      { key: "issued_before", name: "Made up to", sort: false, wide: "180px", side: "none", cell: made },
      { key: "expires_at", name: "Kept until", end: true, wide: "180px", side: "left", cell: (row) => moment(row.expires_at) },
      { key: "back", name: el("span", { class: "visually-hidden" }, "Take back"), sort: false, end: true, wide: "148px", side: "right", cell: (row) =>
        el("button", { type: "button", class: "button small bare", "data-name": `${row.id} back`, "aria-label": `Take back the revocation of ${named(row)}`,
          onclick: () => back(row) }, icon("back"), "Take back") },
    ],
  });
  root.append(el("div", { class: "view" },
    el("div", { class: "tools" }, table.search),
    el("section", { class: "card" }, table.element)));
  return table.start();
}

function facts(row, back) {
  dialog(named(row), factList([
    ["Tokens of", subject(row)],
    ["Made up to", made(row)],
    ["Kept until", moment(row.expires_at)],
    ["Revocation", row.id, "mono"],
  ]), [{ word: "Take back", kind: "bare", act: () => back(row) }, { word: "Done", kind: "primary" }]);
}

const made = (row) => row.issued_before === null ? NONE : moment(new Date(row.issued_before * 1000).toISOString());

/** Refuse all tokens that a user has now; `then` is called when the node has answered. */
export function askToRevoke(user, then) {
  dialog(`Revoke the tokens of ${user}?`,
    el("p", { class: "quiet" }, "All tokens that were made up to now count no more, on every node. What they have opened is closed within a second: 1008 “Token revoked”. A new token is good again."),
    [{ word: "Keep them" }, { word: "Revoke", kind: "danger", act: () => act("revocations", user, `The tokens of ${user} count no more.`, then) }]);
}

/** Close all connections of a user, on every node. */
export function askToDisconnect(user, then) {
  dialog(`Close all connections of ${user}?`,
    el("p", { class: "quiet" }, "On every node. Each is told 1013 “Try again later”, and may come back: revoke the tokens if it should not."),
    [{ word: "Keep them" }, { word: "Close all", kind: "danger", act: () => act("disconnect", user, `All connections of ${user} are being closed.`, then) }]);
}

async function act(path, user, done, then) {
  try {
    await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user_id: user }) });
    toast(done);
  } catch (error) {
    toast(error.message, "wrong");
  }
  then();
}

function askToTakeBack(row, then) {
  dialog(`Take back the revocation of ${named(row)}?`,
    el("p", { class: "quiet" }, "Its tokens count again, as far as they have not ended."),
    [{ word: "Keep it" }, { word: "Take back", kind: "danger", act: () => takeBack(row, then) }]);
}

async function takeBack(row, then) {
  try {
    await ask(`revocations/${row.id}`, { method: "DELETE" });
    toast(`The revocation of ${named(row)} is taken back.`);
  } catch (error) {
    toast(error instanceof Refused && error.status === 404 ? "That revocation has gone already." : error.message, "wrong");
  }
  then();
}

const named = (row) => row.user_id ?? row.service ?? row.token_id;

function subject(row) {
  if (row.user_id !== undefined) return "a user";
  return row.service === undefined ? "one token" : "a service";
}

function empty() {
  return el("div", { class: "empty" }, icon("revocations"), el("h3", {}, "Nothing is revoked"),
    el("p", {}, "Open a connection to revoke the tokens of its user, or use ", el("code", {}, "courier revoke user NAME"), "."));
}
