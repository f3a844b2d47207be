"""Ceiling: fan-out by a server that only sends ready-made bytes.

With one `send` an event and subscriber it is limited by the kernel, as every server is; with events joined,
by what the load client can take.
"""

from benchmarks.errors import sentence
from benchmarks.fanout import arguments, show
from benchmarks.servers import JOINING_SENDER, SENDER

if __name__ == "__main__":
    with sentence():
        show([SENDER, JOINING_SENDER], arguments(__doc__, publishers=(1, 8, 64)).parse_args())
