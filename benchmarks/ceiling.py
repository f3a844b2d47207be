"""Ceiling: the same scenarios with a server that only sends ready-made bytes.

With one `send` an event and subscriber it is limited by the kernel, as every server is; with events joined,
by what the load client can take. It judges nothing, so single publishes and batches show what the client can
send.
"""

from dataclasses import replace

from benchmarks.batch import BATCH
from benchmarks.fanout import FANOUT
from benchmarks.publish import PUBLISH
from benchmarks.wide import WIDE

SCENARIOS = (FANOUT, WIDE, PUBLISH, BATCH)

if __name__ == "__main__":
    for scenario in SCENARIOS:
        print(f"# {scenario.name}", flush=True)
        replace(scenario, servers=("sender", "joining-sender")).main()
        print()
