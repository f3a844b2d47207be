// Overview: the node in six numbers and six charts.

import { Chart, ChartGroup, spark } from "./chart.js";
import { el, say } from "./dom.js";
import { NONE, bytes, count, milliseconds, rate, tick } from "./format.js";

const RANGES = [["1 min", 60_000], ["5 min", 300_000], ["15 min", 900_000]];
const SPARK_SAMPLES = 90;

let range = RANGES[1][1];

export const title = () => "Overview";

export function open(root, { node }) {
  const tiles = makeTiles();
  const group = new ChartGroup([
    new Chart({ title: "Events a second", half: true, format: rate, tick, floor: 10,
      series: [{ key: "published", name: "in", ink: 1 }, { key: "delivered", name: "out", ink: 2 }] }),
    new Chart({ title: "Latency", half: true, format: latency, tick: milliseconds, floor: 10, decadesFrom: 0.1,
      series: [{ key: "publish_p50_ms", name: "publish p50", ink: 1 }, { key: "publish_p99_ms", name: "publish p99", short: "p99", ink: 5 },
        { key: "delivery_p50_ms", name: "delivery p50", ink: 2 }, { key: "delivery_p99_ms", name: "delivery p99", short: "p99", ink: 3 }] }),
    new Chart({ title: "Connections", format: count, tick, floor: 10,
      series: [{ key: "connections", name: "open", ink: 1 }] }),
    new Chart({ title: "Lag, events behind", format: count, tick, floor: 10,
      series: [{ key: "lag_p99", name: "p99", ink: 2 }, { key: "lag_max", name: "max", ink: 3 }] }),
    new Chart({ title: "Refusals and gaps", format: count, floor: 4, bars: true,
      series: [{ key: "refused", name: "refused", ink: 4, href: "#/refusals" }, { key: "gaps", name: "gaps", ink: 3 },
        { key: "evictions", name: "evicted", ink: 5 }, { key: "errors", name: "errors", ink: 1 }] }),
  ]);
  const segments = RANGES.map(([word, milliseconds_]) =>
    el("button", { type: "button", onclick: () => { range = milliseconds_; paint(); } }, word));

  root.append(el("div", { class: "view" },
    el("div", { class: "tiles" }, tiles.map(({ element }) => element)),
    el("div", { class: "tools" },
      el("p", { class: "quiet" }, "A sample a second; percentiles over ten seconds."),
      el("div", { class: "segments", role: "group", "aria-label": "Time shown" }, segments)),
    el("div", { class: "charts" }, group.charts.map(({ element }) => element))));

  function paint() {
    segments.forEach((button, i) => button.setAttribute("aria-pressed", String(RANGES[i][1] === range)));
    for (const tile of tiles) tile.paint(node);
    group.draw(node.samples, range);
  }

  paint();
  node.onsample = paint;
  return () => { node.onsample = null; group.stop(); };
}

function makeTiles() {
  const last = (node, key) => node.samples.at(-1)?.[key];
  return [
    tile("Connections", "connections", 1, (node) => count(node.info?.connections), (node) => (node.info ? `of ${count(node.info.max_connections)}` : "")),
    tile("Events in", "published", 1, (node) => rate(last(node, "published")), () => "/s"),
    tile("Events out", "delivered", 2, (node) => rate(last(node, "delivered")), () => "/s"),
    tile("Delivery p99", "delivery_p99_ms", 3, (node) => latency(last(node, "delivery_p99_ms")), () => ""),
    tile("Largest lag", "lag_max", 3, (node) => count(last(node, "lag_max")), () => "events"),
    tile("Log", "log_bytes", 5, (node) => percent(node.info), (node) => (node.info ? `of ${bytes(node.info.history_bytes)}` : "")),
  ];
}

/** The histogram's last bound is a second: beyond that it only knows that it was more. */
const latency = (value) => (value >= 1000 ? "≥ 1 s" : milliseconds(value));

const percent = (info) => (info ? `${Math.round((info.log_bytes / info.history_bytes) * 1000) / 10} %` : NONE);

function tile(name, key, ink, value, unit) {
  const line = spark(ink);
  const shown = el("span", { "data-tile": key });
  const small = el("small");
  const element = el("section", { class: "card tile" }, el("h2", {}, name), el("p", {}, shown, small), line.element);
  const paint = (node) => {
    say(shown, value(node));
    say(small, unit(node));
    line.draw(node.samples.slice(-SPARK_SAMPLES), key);
  };
  return { element, paint };
}
