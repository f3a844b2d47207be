"""How fast Courier is, and what it costs: measured from outside, over loopback, by a client of its own.

The server under test has one core, the load client another. `tape`, `subscriber`, `publisher` and `load` are
the client, `servers` what is measured, `sender` a server that does nothing but send; each of the others is a
scenario: `python -m benchmarks.fanout`, `.ceiling`, `.idle`, `.stalled`, all with `--help` and `--quick`.
"""
