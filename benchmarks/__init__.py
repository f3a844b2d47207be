"""How fast Courier is, and what it costs: measured from outside, over loopback, by a client of its own.

The server under test has one core, the load client another. `tape`, `subscriber`, `publisher`, `ledger`,
`joiner` and `load` are the client; `servers` says what is measured, `peers` what Courier is measured beside,
and `sender` is a server that does nothing but send. Scenarios are `fanout`, `wide`, `publish`, `batch`,
`latency`, `idle`, `storm` and `stalled`, each a `python -m benchmarks.<name>` with `--help` and `--quick`;
`ceiling` shows what the client can take. `python -m benchmarks` asks them all and writes `results/`.
"""
