"""Results: one comparison as a table, as Markdown, as JSON and as a picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.chart import chart
from benchmarks.fanout import FANOUT
from benchmarks.joins import JOINS
from benchmarks.pauses import PAUSES
from benchmarks.report import machine, number, table
from benchmarks.servers import COURIER, FASTAPI, Server
from benchmarks.stalled import STALLED
from benchmarks.storm import STORM
from benchmarks.suite import PARTS, PEERS, Result, Run, cell
from benchmarks.tape import Faults
from benchmarks.versions import versions

FOLDER = Path(__file__).parent / "results"

_HEAD = """\
# Courier beside the hub that it replaces

{machine}

{table}

{notes}
"""

_HOW = """\
`× hub`: how many times better than the FastAPI hub, median against median of this run; where less is better,
the hub's figure divided by Courier's. Servers take turns; medians of {repeat} runs for Courier and the hub
(memory and the stalled subscriber: one process, the latter in {pairs} pairs), one run of the others. Every
server has one core, the load client the other.

- **Loss, order, repeats**: {faults}.
- **Client's ceiling**: the most that the same client took here, from a Python server that judges nothing and
  sends ready-made bytes, or from a peer that was quicker still. A figure with ≥ was limited by the client
  (95 % busy or more): that server can do more. How busy the client was stands beside every figure below.
- **Batch**: the hub has no batches; beside it stands what it takes one by one.
- **Joins**: {in_flight} are under way at a time, each with a key, a token and a user of its own.
- **Join storm**: seconds until all are back; with Courier each gets the {missed} events that it missed, the
  others have no replay that a WebSocket can ask for by position: what was missed is lost there.
- **Collector**: what Python's garbage collector tracks for a connection, after a full collection, and how
  long it stops the server, in processor time, while {crowd:,} WebSockets join, are replaced and leave;
  {rate:g} events/s go to {readers} others. Node and nginx have no such collector.
- **What each does for a publish**: Courier and the FastAPI hub verify the service token, count against the
  rate limit, validate the event by the same models and count metrics; only Courier keeps the event in a log.
  The Node hub does as the FastAPI hub, but looks only at the fields that all events share. nginx + nchan
  carries bytes: no tokens, no rate limit, no look at an event.
"""


def write(run: Run) -> str:
    """Write everything to `results/`; the table for the terminal.

    Only a whole run is `latest.*`, which the project shows; git ignores the others, `quick.*` and `part.*`.
    """
    FOLDER.mkdir(exist_ok=True)
    name = "quick" if run.quick else "latest" if len(run.results) == len(PARTS) else "part"
    where = machine()
    overview = table(_rows(run))
    text = _HEAD.format(machine=where, table=overview, notes="\n".join(_notes(run)))
    if not run.quick:
        text += "\n" + _how(run)
    if rows := behind(run):
        text += f"\n## Where Courier is behind\n\n{table(rows)}\n"
    text += "\n## What was measured\n\n"
    text += "\n".join(f"- {what}: {version}" for what, version in versions().items())
    text += "\n\nRepeat it with `make bench`, or a part of it with `python -m benchmarks.<scenario>`.\n"
    text += "\n## All figures\n"
    for result in _measured(run):
        text += f"\n**{result.part.title}**: {result.asked}\n\n{table(result.rows())}\n"
    (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
    document = json.dumps(_document(run, where), indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(document + "\n", encoding="utf-8")
    (FOLDER / f"{name}.svg").write_text(chart(run, where), encoding="utf-8")
    return "\n".join([where, "", overview, "", *_notes(run)])


def _rows(run: Run) -> list[dict[str, str]]:
    return [_row(run, result) for result in run.results]


def _row(run: Run, result: Result) -> dict[str, str]:
    peers = [peer for peer in PEERS if any(peer.name in one.outcomes for one in run.results)]
    times = result.times(COURIER)
    ceiling = run.ceilings.get(result.part.title)
    return {
        "scenario": f"{result.part.title}, {result.unit}",
        **{server.name: cell(result, server) for server in (COURIER, *peers)},
        "× hub": "–" if times is None else f"{number(times)}×",
        "target": result.part.target or "–",
        "met": {True: "yes", False: "no", None: "–"}[result.met],
        "client's ceiling": "–" if ceiling is None else number(ceiling),
    }


def behind(run: Run) -> list[dict[str, str]]:
    """For each part in which a peer is better than Courier: Courier's figure, and the peers' by name."""
    rows = []
    for result in run.results:
        mine = result.value(COURIER)
        better = [peer for peer in PEERS if mine is not None and _better(result, peer, mine)]
        if better:
            note = f" ({result.part.note})" if result.part.note else ""
            rows.append(
                {
                    "scenario": f"{result.part.title}, {result.unit}{note}",
                    "Courier": cell(result, COURIER),
                    "ahead of it": ", ".join(f"{peer.name} {cell(result, peer)}" for peer in better),
                }
            )
    return rows


def _better(result: Result, peer: Server, mine: float) -> bool:
    its = result.value(peer)
    if its is None or peer.name not in result.outcomes:
        return False
    return its < mine if result.part.less_is_better else its > mine


def _notes(run: Run) -> list[str]:
    notes = [f"¹ {name}: {why}" for result in _measured(run) for name, why in _failures(result)]
    notes += [f"{name} was left out: {why}." for name, why in run.absent.items()]
    return [*notes, f"Loss, order, repeats: {_faults(run)}."]


def _measured(run: Run) -> list[Result]:
    """Without those that show another figure of the same runs."""
    return [result for result in run.results if not result.part.figure]


def _failures(result: Result) -> list[tuple[str, str]]:
    servers = (COURIER, *PEERS)
    title = result.part.title
    return [(f"{server.name}, {title}", result.failed(server)) for server in servers if result.failed(server)]


def _faults(run: Run) -> str:
    servers = {name for result in run.results for name in result.outcomes}
    known = [server for server in (COURIER, *PEERS) if server.name in servers]
    found = [
        f"{server.name} in {result.part.title}: {result.faults(server)}"
        for server in known
        for result in _measured(run)
        if result.faults(server) != Faults()
    ]
    return "; ".join(found) or "no fault, in any scenario, of any server"


def _how(run: Run) -> str:
    return _HOW.format(
        repeat=FANOUT.repeat,
        pairs=STALLED.shape.pairs,
        missed=STORM.shape.missed,
        in_flight=JOINS.shape.in_flight,
        crowd=PAUSES.shape.connections,
        rate=PAUSES.shape.rate,
        readers=PAUSES.shape.readers,
        faults=_faults(run),
    )


def _document(run: Run, where: str) -> dict[str, Any]:
    return {
        "machine": where,
        "versions": versions(),
        "quick": run.quick,
        "absent": run.absent,
        "scenarios": [
            {
                "name": result.part.scenario.name,
                "title": result.part.title,
                "asked": result.asked,
                "figure": result.unit,
                "less_is_better": result.part.less_is_better,
                "times_the_hub": result.times(COURIER),
                "hub": result.value(FASTAPI),
                "target": result.part.target or None,
                "met": result.met,
                "client_ceiling": run.ceilings.get(result.part.title),
                "servers": {
                    name: [
                        {
                            "figures": dict(outcome.figures),
                            "faults": {key: n for key, n in asdict(outcome.faults).items() if n},
                            "published": outcome.published,
                            "failed": outcome.failed or None,
                        }
                        for outcome in outcomes
                    ]
                    for name, outcomes in result.outcomes.items()
                },
            }
            for result in run.results
        ],
    }
