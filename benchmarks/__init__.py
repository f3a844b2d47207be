"""How fast Courier is, and what it costs: measured from outside, over loopback, by a client of its own.

The server under test has one core, the load client another. `tape`, `subscriber`, `publisher`, `crew`,
`ledger`, `joiner`, `sockets`, `crowd`, `apart` and `load` are the client. `servers` says what is measured,
`process` runs it, `counts` asks a Python server for its objects and its collector's pauses; `peers` is what
Courier is measured beside, and `sender` is a server that does nothing but send. Scenarios are `fanout`,
`wide`, `publish`, `batch`, `latency`, `joins`, `storm`, `idle`, `pauses` and `stalled`, each a
`python -m benchmarks.<name>` with `--help` and `--quick`; `ceiling` shows what the client can take.
`python -m benchmarks` asks them all and writes `results/`. `neighbours` is asked by hand: it puts the peers
of `hostile` beside others, and takes five minutes.
"""
