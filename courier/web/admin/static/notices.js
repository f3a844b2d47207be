// What is said in passing, and what is asked before something is done.

import { el } from "./dom.js";

const SHOWN_MS = 5000;

/** A line at the page's edge, for a few seconds. */
export function toast(text, tone = "good") {
  const line = el("div", { class: "toast", "data-tone": tone }, text);
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), SHOWN_MS);
}

/** Opens the page's dialog; `actions` are buttons, of which each closes it. */
export function dialog(title, content, actions) {
  const box = document.getElementById("dialog");
  const buttons = actions.map(({ word, kind = "", act }) =>
    el("button", { type: "button", class: `button ${kind}`, onclick: () => { box.close(); act?.(); } }, word));
  box.replaceChildren(
    el("div", { class: "dialog-body" }, el("h2", { id: "dialog-title" }, title), content),
    el("div", { class: "dialog-foot" }, buttons),
  );
  box.showModal();
}

/** A list of facts: pairs of a word and a text. */
export function factList(pairs, attributes = {}) {
  return el("dl", attributes, pairs.map(([word, text, kind]) => [el("dt", {}, word), el("dd", { class: kind ?? null }, text)]).flat());
}
