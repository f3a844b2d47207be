// Charts over time: lines with an area below, or bars that stand on each other; one cursor for all.

import { el, mark, say, svg } from "./dom.js";
import { minutes, time } from "./format.js";
import { areaPath, decades, linePath, moments, nearest, nextDecade, roundUp, runs } from "./scale.js";

const LEFT = 54;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 26;
const BARS = 60;
const LEAST_MS = 60_000;

/** Charts that show the same time, and point at the same moment. */
export class ChartGroup {
  constructor(charts) {
    this.charts = charts;
    for (const chart of charts) chart.onpoint = (at) => charts.forEach((each) => each.point(at, each === chart));
  }

  draw(samples, range) {
    const to = samples.length ? samples.at(-1).at : Date.now();
    const known = samples.length ? Math.max(LEAST_MS, to - samples[0].at) : range;
    const from = to - Math.min(range, known);
    const shown = samples.filter((sample) => sample.at > from - 2000);
    for (const chart of this.charts) chart.draw(shown, from, to);
  }

  stop() {
    for (const chart of this.charts) chart.stop();
  }
}

export class Chart {
  /**
   * `series` are `{key, name, short, ink, href}`; `format` and `tick` make a text of a value; `floor` is the least top of
   * the scale, which goes by powers of ten when it is said from where (`decadesFrom`).
   */
  constructor({ title, series, format, tick = format, floor, decadesFrom = null, bars = false, half = false }) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.tick = tick;
    this.floor = floor;
    this.bottom = decadesFrom;
    this.bars = bars;
    this.onpoint = () => {};
    this.samples = [];
    this.stacks = [];
    this.at = null;

    this.values = series.map(() => el("b", { class: "number" }));
    const legend = series.map(({ name, short = name, ink, href }, i) => {
      const shown = [el("i"), el("span", {}, short), this.values[i]];
      return el("li", { class: `ink-${ink}` }, href ? el("a", { href, title: "The last ones, with their causes" }, shown) : shown);
    });
    this.layer = svg("g");
    this.pointer = svg("g");
    this.tip = el("div", { class: "tip", hidden: true });
    this.note = el("div", { class: "quiet-note" }, "The first sample comes in a second");
    this.plot = el(
      "div",
      { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart", "aria-label": title },
      svg("svg", { "aria-hidden": "true" }, this.layer, this.pointer), this.tip, this.note,
    );
    this.element = el(
      "section", { class: half ? "card chart half" : "card chart" },
      el("div", { class: "chart-head" }, el("h2", {}, title), el("ul", { class: "legend" }, legend)), this.plot,
    );
    this.plot.addEventListener("pointermove", (event) => this.onpoint(this.timeOf(event.clientX)));
    this.plot.addEventListener("pointerleave", () => this.onpoint(null));
    this.plot.addEventListener("blur", () => this.onpoint(null));
    this.plot.addEventListener("keydown", (event) => this.step(event));
    this.sizes = new ResizeObserver(() => this.paint());
    this.sizes.observe(this.plot);
  }

  stop() {
    this.sizes.disconnect();
  }

  draw(samples, from, to) {
    this.samples = samples;
    this.from = from;
    this.to = to;
    this.note.hidden = samples.length > 0;
    this.paint();
  }

  paint() {
    const { width, height } = this.plot.getBoundingClientRect();
    if (!width || !this.samples.length) return;
    this.right = width - RIGHT;
    this.base = height - BOTTOM;
    this.stacks = this.bars ? this.stack() : [];
    const values = this.bars
      ? this.stacks.map(({ sums }) => sums.reduce((sum, each) => sum + each, 0))
      : this.samples.flatMap((sample) => this.series.map(({ key }) => sample[key] ?? 0));
    this.top = (this.bottom ? nextDecade : roundUp)(Math.max(...values, 0), this.floor);
    this.layer.replaceChildren(...this.axes(), ...(this.bars ? this.columns() : this.lines()));
    this.point(this.at, !this.tip.hidden);
  }

  x(at) {
    return LEFT + ((at - this.from) / (this.to - this.from)) * (this.right - LEFT);
  }

  y(value) {
    const share = this.bottom
      ? Math.log(Math.max(value, this.bottom) / this.bottom) / Math.log(this.top / this.bottom)
      : value / this.top;
    return this.base - share * (this.base - TOP);
  }

  axes() {
    const values = this.bottom ? decades(this.bottom, this.top) : [0, this.top / 2, this.top];
    const marks = values.map((value, i) => {
      const y = Math.round(this.y(value)) + 0.5;
      return [
        svg("line", { class: i ? "grid" : "base", x1: LEFT, x2: this.right, y1: y, y2: y }),
        svg("text", { x: LEFT - 8, y: y + 3.5, "text-anchor": "end" }, this.tick(value)),
      ];
    });
    const { step, found } = moments(this.from, this.to, this.right - LEFT, 76);
    const name = step < 60_000 ? time : minutes;
    const names = found
      .filter((at) => this.x(at) > LEFT + 14 && this.x(at) < this.right - 14)
      .map((at) => svg("text", { x: this.x(at), y: this.base + 17, "text-anchor": "middle" }, name(at)));
    return [...marks.flat(), ...names];
  }

  lines() {
    return this.series.map(({ key, ink }) => {
      const found = runs(this.samples, key, (at) => Math.max(LEFT, this.x(at)), (value) => this.y(value));
      return svg("g", { class: `ink-${ink}` },
        this.bottom ? null : svg("path", { class: "area", d: areaPath(found, this.base) }),
        svg("path", { class: "line", d: linePath(found) }));
    });
  }

  /** Sums over spans that do not move while time goes on. */
  stack() {
    const span = (this.to - this.from) / BARS;
    const stacks = new Map();
    for (const sample of this.samples) {
      const start = Math.floor(sample.at / span) * span;
      if (!stacks.has(start)) stacks.set(start, { start, span, sums: this.series.map(() => 0) });
      this.series.forEach(({ key }, i) => { stacks.get(start).sums[i] += sample[key]; });
    }
    return [...stacks.values()];
  }

  columns() {
    return this.stacks.flatMap(({ start, span, sums }) => {
      const left = Math.max(LEFT, this.x(start)) + 0.5;
      const width = Math.min(this.right, this.x(start + span)) - 0.5 - left;
      let below = 0;
      return sums.map((sum, i) => {
        const y = this.y(below + sum);
        const height = this.y(below) - y;
        below += sum;
        return sum && width > 0
          ? svg("rect", { class: `bar ink-${this.series[i].ink}`, x: left, y, width, height, rx: 1 }) : null;
      }).filter(Boolean);
    });
  }

  // The cursor

  timeOf(clientX) {
    const { left } = this.plot.getBoundingClientRect();
    const share = (clientX - left - LEFT) / (this.right - LEFT);
    return this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from);
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (!by || !this.samples.length) return;
    event.preventDefault();
    const last = this.samples.length - 1;
    const now = this.at === null ? last + 1 : nearest(this.samples, this.at);
    mark(this.tip, "aria-live", "polite");
    this.onpoint(this.samples[Math.min(last, Math.max(0, now + by))].at);
  }

  /** Points at a moment (null: at none), with a box beside it where the pointer is. */
  point(at, told) {
    this.at = at;
    const sample = at === null || !this.samples.length ? null : this.samples[nearest(this.samples, at)];
    const values = this.valuesAt(sample);
    this.values.forEach((value, i) => say(value, values[i]));
    mark(this.plot, "aria-label", `${this.title}: ${this.series.map(({ name }, i) => `${name} ${values[i]}`).join(", ")}`);
    this.tip.hidden = !sample || !told;
    if (!sample) {
      this.pointer.replaceChildren();
      return;
    }
    const x = this.x(sample.at);
    const dots = this.bars ? [] : this.series.filter(({ key }) => sample[key] !== null)
      .map(({ key, ink }) => svg("circle", { class: `mark ink-${ink}`, cx: x, cy: this.y(sample[key]), r: 4 }));
    this.pointer.replaceChildren(svg("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: this.base }), ...dots);
    if (told) this.tell(sample, values, x);
  }

  /** What each series was at a sample; without one what it is now, or, of bars, all that is shown. */
  valuesAt(sample) {
    if (!this.bars) {
      const shown = sample ?? this.samples.at(-1);
      return this.series.map(({ key }) => this.format(shown?.[key]));
    }
    const stacks = sample ? this.stacks.filter(({ start, span }) => start <= sample.at && sample.at < start + span) : this.stacks;
    return this.series.map((_, i) => this.format(stacks.reduce((sum, { sums }) => sum + sums[i], 0)));
  }

  tell(sample, values, x) {
    this.tip.replaceChildren(
      el("time", {}, time(sample.at)),
      el("ul", {}, this.series.map(({ name, ink }, i) => el("li", { class: `ink-${ink}` }, el("i"), name, el("b", {}, values[i])))),
    );
    const width = this.tip.offsetWidth;
    const left = x + 14 + width > this.right ? x - 14 - width : x + 14;
    this.tip.style.left = `${Math.max(4, left)}px`;
  }
}

/** A small line without axes, for a tile. */
export function spark(ink) {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const element = svg(
    "svg", { class: `spark ink-${ink}`, viewBox: "0 0 100 38", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line,
  );
  const draw = (samples, key) => {
    if (samples.length < 2) return;
    const from = samples[0].at;
    const to = samples.at(-1).at;
    const top = Math.max(1e-9, ...samples.map((sample) => sample[key] ?? 0));
    const found = runs(samples, key, (at) => ((at - from) / (to - from)) * 100, (value) => 36 - (value / top) * 32);
    mark(line, "d", linePath(found));
    mark(area, "d", areaPath(found, 38));
  };
  return { element, draw };
}
