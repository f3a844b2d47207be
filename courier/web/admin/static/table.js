// Tables: searched, sorted and paged by the node; here they are only shown.

import { el, icon, mark, say } from "./dom.js";
import { count } from "./format.js";
import { Refused, ask, every, query } from "./node.js";

const ROWS = 50;
const REFRESH_MS = 2000;
const TYPING_MS = 200;

/**
 * `columns` are `{key, name, sort, end, tall, wide, cell, label, side}`: `cell(row)` is what a cell shows, in as many lines as it takes when it is `tall`, `label` what
 * stands before it on a phone, where it is at the left or the right `side`, or left out when it has none. `empty` is what an empty table says.
 */
export class Table {
  constructor({ columns, rows, path, sort, order = "asc", empty, caption, searchable = "" }) {
    Object.assign(this, { columns, rows, path, sort, order, empty });
    this.offset = 0;
    this.searched = "";
    this.heads = columns.map((column) => this.head(column));
    this.body = el("tbody");
    this.blank = el("div", { hidden: true });
    this.table = el("table", { class: "table" }, el("caption", { class: "visually-hidden" }, caption),
      el("colgroup", {}, columns.map(({ wide }) => width(el("col"), wide))),
      el("thead", {}, el("tr", {}, this.heads)), this.body);
    this.span = el("span", { class: "number" });
    this.back = el("button", { type: "button", class: "button small", onclick: () => this.turn(-ROWS) }, "Previous");
    this.on = el("button", { type: "button", class: "button small", onclick: () => this.turn(ROWS) }, "Next");
    this.pages = el("nav", { "aria-label": `Pages of ${caption}` }, this.back, this.on);
    this.foot = el("div", { class: "table-foot" }, this.span, this.pages);
    this.element = el("div", {}, this.table, this.blank, this.foot);
    this.search = searchable ? this.searchBox(searchable) : null;
  }

  /** Shows what the node says, again and again; returns what ends it. */
  start() {
    this.loop = every(REFRESH_MS, async () => {
      try {
        this.show(await ask(`${this.path}?${this.asked()}`));
      } catch (error) {
        if (error instanceof Refused) throw error; // else the page's own sign says it
      }
    });
    return () => this.loop.stop();
  }

  asked() {
    return query({ limit: ROWS, offset: this.offset, search: this.searched, sort: this.sort, order: this.order });
  }

  show(answer) {
    const found = answer[this.rows];
    this.total = answer.total;
    if (!found.length && this.offset && answer.total) {
      this.turn(-ROWS);
      return;
    }
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    this.body.replaceChildren(...found.map((row) => this.row(row)));
    if (focused) this.body.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.table.hidden = !found.length;
    this.blank.hidden = found.length > 0;
    this.foot.hidden = !found.length;
    this.pages.hidden = this.total <= ROWS;
    if (!found.length) this.blank.replaceChildren(this.searched ? nothingFound(this.searched) : this.empty());
    say(this.span, found.length ? `${count(this.offset + 1)}–${count(this.offset + found.length)} of ${count(this.total)}` : "");
    this.back.disabled = this.offset === 0;
    this.on.disabled = this.offset + ROWS >= this.total;
    this.onrows?.(found);
  }

  row(row) {
    return el("tr", {}, this.columns.map(({ cell, end, tall, label, side = "none" }) =>
      el("td", { class: end ? "end" : tall ? "tall" : null, "data-side": side, "data-label": label }, cell(row))));
  }

  head({ key, name, sort = true, end }) {
    const attributes = { scope: "col", class: end ? "end" : null, "data-key": key };
    if (!sort) return el("th", attributes, name);
    const head = el("th", attributes, el("button", { type: "button", onclick: () => this.sortBy(key, end) }, name, icon("up")));
    if (key === this.sort) mark(head, "aria-sort", this.order === "asc" ? "ascending" : "descending");
    return head;
  }

  /** A number's largest come first, a name's first. */
  sortBy(key, number) {
    const first = number ? "desc" : "asc";
    this.order = key !== this.sort ? first : this.order === "asc" ? "desc" : "asc";
    this.sort = key;
    this.offset = 0;
    for (const head of this.heads) {
      if (head.dataset.key === key) mark(head, "aria-sort", this.order === "asc" ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    this.loop?.now();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.loop?.now();
  }

  searchBox(placeholder) {
    let timer = 0;
    const input = el("input", { class: "input", type: "search", placeholder, "aria-label": placeholder, maxlength: 200, spellcheck: "false", autocomplete: "off" });
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => { this.searched = input.value.trim(); this.offset = 0; this.loop?.now(); }, TYPING_MS);
    });
    return el("div", { class: "search" }, icon("search"), input);
  }
}

function width(col, wide) {
  if (wide) col.style.width = wide;
  return col;
}

function nothingFound(text) {
  return el("div", { class: "empty" }, icon("search"), el("h3", {}, "Nothing found"), el("p", {}, `Nothing here matches “${text}”.`));
}

// Cells that more than one table has

const MUCH = 1000;

export function lag(value) {
  return el("span", { class: "lag", "data-tone": value === 0 ? "none" : value < MUCH ? "some" : "much" }, count(value));
}

const TONES = { global: "5", user: "1", strategy: "2", backtest: "3", "forge.job": null };

export function kind(name) {
  return el("span", { class: "badge", "data-tone": TONES[name] }, name);
}
