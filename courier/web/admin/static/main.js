// The shell: which section is open, and whether the node is there.

import * as channel from "./channel.js";
import * as channels from "./channels.js";
import * as connections from "./connections.js";
import { el, mark, say } from "./dom.js";
import { bytes, count, duration, milliseconds } from "./format.js";
import { Away, Refused, ask, every, query } from "./node.js";
import { toast } from "./notices.js";
import * as overview from "./overview.js";
import * as publish from "./publish.js";
import * as refusals from "./refusals.js";
import * as revocations from "./revocations.js";

const SECTIONS = { "": overview, channels, connections, publish, refusals, revocations };
const REFRESH_MS = 1000;
const KEPT = 900;
const GRACE_MS = 5000;

const node = { info: null, samples: [], onsample: null };
const find = (id) => document.getElementById(id);

// Where we are: the part behind the #

let leave = null;

function route() {
  const [name = "", argument = ""] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const section = name === "channels" && argument ? channel : SECTIONS[name] ?? overview;
  const heading = section.title(argument);
  leave?.();
  const view = find("view");
  view.replaceChildren();
  say(find("title"), heading);
  document.title = `${heading} · Courier`;
  for (const link of document.querySelectorAll("[data-section]")) {
    if (link.dataset.section === (name || "overview")) mark(link, "aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  find("dialog").close();
  leave = section.open(view, { node, argument });
}

window.addEventListener("hashchange", () => {
  route();
  window.scrollTo(0, 0);
  find("title").focus({ preventScroll: true });
});

// How the node is

const SAID = {
  connecting: ["Connecting", ""],
  ready: ["Live", ""],
  degraded: ["Redis down", "Redis is unreachable or refuses writes (/health/ready says which): publishes and new channels are refused, subscribers stay and catch up afterwards."],
  leaving: ["Leaving", "The node is about to drain: balancers have been told to look elsewhere."],
  draining: ["Draining", "The node is draining: it takes nothing new, and every subscriber is getting what it is owed."],
  away: ["Unreachable", "The node cannot be reached. This page keeps trying, and goes on by itself."],
};

function showState(state) {
  const [word, sentence] = SAID[state];
  mark(find("status"), "data-state", state);
  say(find("status-text"), word);
  const banner = find("banner");
  mark(banner, "data-state", state);
  say(banner, sentence);
  banner.hidden = !sentence;
}

async function look() {
  try {
    take(await ask(`overview?${query({ since: node.samples.at(-1)?.at })}`));
  } catch (error) {
    if (error instanceof Refused && [401, 403, 404].includes(error.status) && performance.now() > GRACE_MS) {
      location.reload(); // the session has ended: the node now shows the way in
      return;
    }
    if (!(error instanceof Away || error instanceof Refused)) throw error;
    showState("away");
  }
}

function take({ node: info, samples: { columns, rows } }) {
  node.info = info;
  for (const row of rows) {
    const sample = Object.fromEntries(columns.map((name, i) => [name, row[i]]));
    sample.refused = sample.refused_publishes + sample.refused_joins;
    node.samples.push(sample);
  }
  node.samples.splice(0, node.samples.length - KEPT);
  showState(info.phase === "ready" && !info.backplane_up ? "degraded" : info.phase);
  say(find("uptime"), `Up ${duration(info.uptime_seconds)}`);
  say(find("count-channels"), count(info.channels));
  say(find("count-connections"), count(info.connections));
  say(find("count-refusals"), count(info.refusals));
  find("sign-out").hidden = !info.signs_in;
  showFacts(info);
  node.onsample?.();
}

async function signOut() {
  try {
    await ask("sign-out", { method: "POST" });
    location.reload();
  } catch (error) {
    toast(error.message, "wrong");
  }
}

const onDisk = (disk) => (disk ? [["File", bytes(disk.bytes)], ["Of at most", bytes(disk.limit_bytes)], ["Last commit", milliseconds(disk.commit_ms)]] : []);

function showFacts(info) {
  const facts = [["Version", info.version], ["Environment", info.environment], ["Backplane", info.backplane], ...onDisk(info.disk), ["Host", location.host]];
  const text = facts.flat().join(" ");
  const list = find("facts");
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...facts.flatMap(([word, fact]) => [el("dt", {}, word), el("dd", { title: fact }, fact)]));
}

find("sign-out").addEventListener("click", signOut);
route();
every(REFRESH_MS, look);
