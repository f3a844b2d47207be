// Publish: a test event, from a form or as JSON, judged by the node like any other.

import { el } from "./dom.js";
import { count, time } from "./format.js";
import { blame, labelled, schemaForm } from "./form.js";
import { Refused, ask, query } from "./node.js";
import { toast } from "./notices.js";

const SOURCE = "courier-admin";
const FIRST = "system.announcement";
const RECEIPTS = 5;

const kept = { channel: "global", source: SOURCE, type: FIRST, receipts: [] };

export const title = () => "Publish a test event";

export function open(root) {
  let ended = false;
  ask("schemas").then(({ types }) => { if (!ended) build(root, types); }).catch((error) => toast(error.message, "wrong"));
  return () => { ended = true; };
}

function build(root, types) {
  const names = Object.keys(types);
  const names_of = (family) => names.filter((name) => name.split(".")[0] === family);
  const families = [...new Set(names.map((name) => name.split(".")[0]))];
  if (!names.includes(kept.type)) [kept.type] = names;

  const known = el("datalist", { id: "known-channels" });
  ask(`channels?${query({ limit: 100, sort: "connections", order: "desc" })}`)
    .then(({ channels }) => known.replaceChildren(...channels.map(({ channel }) => el("option", { value: channel })))).catch(() => {});

  const type = labelled("type", "type", "", el("select", { class: "input" }, families.map((family) =>
    el("optgroup", { label: family }, names_of(family).map((name) => el("option", { selected: name === kept.type }, name))))), { whole: true });
  const channel = labelled("channel", "channel", "", el("input", { class: "input", value: kept.channel, list: "known-channels", autocomplete: "off", spellcheck: "false" }));
  const source = labelled("source", "source", "", el("input", { class: "input", value: kept.source, autocomplete: "off", spellcheck: "false" }));
  const about = el("p", { class: "quiet" });
  const slot = el("div");
  const preview = el("pre", { class: "json preview", tabindex: "0", "aria-label": "The event as JSON" });
  const editor = labelled("json", "event", "JSON", el("textarea", { class: "input", rows: "16", spellcheck: "false" }), { whole: true });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const button = el("button", { type: "submit", class: "button primary" }, "Publish");
  const receipts = el("ol", { class: "receipts", "aria-label": "What was published" });
  const byForm = el("div", { class: "view" }, el("div", { class: "fields" }, type.element, channel.element, source.element), about, el("hr", { class: "rule" }), slot);
  const tabs = [["Form", false], ["As JSON", true]].map(([word, json]) =>
    el("button", { type: "button", role: "tab", onclick: () => show(json) }, word));
  let asJson = false;
  let form = null;

  const event = () => ({ type: type.input.value, source: source.input.value, ...form.read() });
  const paint = () => { preview.textContent = JSON.stringify(event(), null, 2); };

  function choose() {
    kept.type = type.input.value;
    const schema = types[kept.type];
    about.textContent = schema.description ?? "";
    form = schemaForm(schema, paint);
    slot.replaceChildren(form.element);
    wrong.textContent = "";
    paint();
  }

  function show(json) {
    if (json && !asJson) editor.input.value = preview.textContent;
    asJson = json;
    tabs.forEach((tab, i) => tab.setAttribute("aria-selected", String(Boolean(i) === json)));
    byForm.hidden = json;
    jsonPart.hidden = !json;
    (json ? jsonPart : byForm.firstChild).prepend(channel.element);
    if (!json) type.element.after(channel.element);
    wrong.textContent = "";
    editor.blame("");
  }

  const jsonPart = el("div", { class: "fields", hidden: true }, editor.element);

  /** The body of the request, and who it says publishes; null when what was typed is no JSON object. */
  function written() {
    if (!asJson) return [event(), source.input.value];
    try {
      const typed = JSON.parse(editor.input.value);
      return [typed, typeof typed?.source === "string" ? typed.source : SOURCE];
    } catch (error) {
      editor.blame(error.message);
      editor.input.focus();
      return null;
    }
  }

  async function publish(submitted) {
    submitted.preventDefault();
    clear();
    const given = written();
    if (!given) return;
    const [data, service] = given;
    Object.assign(kept, { channel: channel.input.value.trim(), source: source.input.value });
    button.disabled = true;
    try {
      const receipt = await ask("publish", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Service-Name": headerSafe(service) },
        body: JSON.stringify({ channel: kept.channel, data }),
      });
      kept.receipts = [receipt, ...kept.receipts].slice(0, RECEIPTS);
      paintReceipts();
      toast(`Published to ${receipt.channel}: ${reached(receipt)}.`);
    } catch (error) {
      explain(error);
    }
    button.disabled = false;
  }

  function clear() {
    wrong.textContent = "";
    editor.blame("");
    blame([channel, source, type], []);
    form.blame([]);
  }

  function explain(error) {
    if (!(error instanceof Refused)) { wrong.textContent = error.message; return; }
    const errors = error.detail.validation_errors ?? [];
    if (!errors.length) {
      const field = error.message.startsWith("Unknown channel") ? channel : error.message.includes("X-Service-Name") ? source : null;
      if (field) { field.blame(error.message); field.input.focus(); } else wrong.textContent = error.message;
      return;
    }
    if (asJson) {
      editor.blame(errors.map(({ loc, msg }) => `${loc.join(".") || "event"}: ${msg}`).join(" · "));
      editor.input.focus();
    } else {
      const rest = blame([source, type], form.blame(errors));
      wrong.textContent = rest.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`).join(" · ");
    }
    wrong.textContent ||= errors.length === 1 ? "The schema refuses one field." : `The schema refuses ${errors.length} fields.`;
  }

  function paintReceipts() {
    receipts.replaceChildren(...(kept.receipts.length ? kept.receipts.map(receiptLine) : [el("li", { class: "note" }, "Nothing yet.")]));
  }

  type.input.addEventListener("change", choose);
  source.input.addEventListener("input", paint);
  const page = el("form", { class: "card", novalidate: true, onsubmit: publish },
    el("div", { class: "card-head" }, el("h2", {}, "Event"), el("div", { class: "segments", role: "tablist", "aria-label": "How to write it" }, tabs)),
    el("div", { class: "form" }, byForm, jsonPart, el("div", { class: "form-foot" }, wrong, button)), known);
  page.addEventListener("keydown", (pressed) => {
    if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) page.requestSubmit();
  });
  root.append(el("div", { class: "publish" }, page, el("div", { class: "side-stack" },
    el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "As it will be sent")), preview),
    el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Published here")), receipts))));
  choose();
  show(false);
  paintReceipts();
}

const headerSafe = (text) => (/^[\x21-\x7e]{1,128}$/.test(text) ? text : SOURCE);
const reached = ({ clients_reached }) => (clients_reached === 1 ? "1 subscriber" : `${count(clients_reached)} subscribers`);

function receiptLine(receipt) {
  return el("li", {},
    el("div", { class: "line" }, el("b", {}, receipt.event_type), el("span", { class: "quiet number" }, time(Date.parse(receipt.timestamp)))),
    el("span", { class: "quiet" }, `${receipt.channel} · ${reached(receipt)} · `, el("span", { class: "mono" }, receipt.id)));
}
