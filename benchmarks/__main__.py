"""Everything: Courier beside its peers in all scenarios; prints one table and writes `results/`."""

import argparse
import sys
from time import perf_counter

from benchmarks.errors import sentence
from benchmarks.process import take_client_core
from benchmarks.report import machine
from benchmarks.results import FOLDER, write
from benchmarks.suite import ONCE, PARTS, PEERS, Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the FastAPI hub alone, fewer scenarios, one run"
    )
    parser.add_argument(
        "--only", nargs="+", choices=[part.scenario.name for part in PARTS], metavar="SCENARIO"
    )
    options = parser.parse_args()
    take_client_core()
    print(machine(), file=sys.stderr)
    run = Run(options.quick)
    for server in PEERS:
        reason = "not in a quick run" if options.quick and server in ONCE else server.absent()
        if reason is not None:
            run.absent[server.name] = reason
            print(f"{server.name} is left out: {reason}", file=sys.stderr)
    start = perf_counter()
    for part in PARTS:
        chosen = options.only is None or part.scenario.name in options.only
        if chosen and (part.in_quick or not options.quick or options.only):
            run.measure(part)
    print(write(run))
    print(
        f"\nTook {perf_counter() - start:.0f} s; written to {FOLDER.name}/ beside the benchmarks.",
        file=sys.stderr,
    )


if __name__ == "__main__":
    with sentence():
        main()
