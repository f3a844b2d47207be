"""Courier with its log in Redis: starts a redis-server beside the node, and ends it with the node.

Redis runs on the load client's core, as it would on another machine; its CPU time counts as the server's all
the same, and says what an event costs in all.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

START_SECONDS = 10.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis-core", type=int, required=True)
    options = parser.parse_args()
    port = _free_port()
    with TemporaryDirectory() as directory:
        redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
            stdout=subprocess.DEVNULL,
        )
        try:
            os.sched_setaffinity(redis.pid, {options.redis_core})
            _wait_for(port)
            node = subprocess.Popen(
                [
                    Path(sys.executable).with_name("courier"),
                    "serve",
                    "--bind",
                    f"127.0.0.1:{options.port}",
                ],
                env={**os.environ, "COURIER_REDIS_URL": f"redis://127.0.0.1:{port}"},
            )

            def pass_on(number: int, frame: FrameType | None) -> None:
                node.send_signal(number)

            signal.signal(signal.SIGTERM, pass_on)
            return node.wait()
        finally:
            redis.terminate()
            redis.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("redis-server does not answer")


if __name__ == "__main__":
    sys.exit(_main())
