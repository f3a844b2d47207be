"""Picture: records a real node, a real subscriber and a real Redis, and writes docs/images/courier.svg.

Two things happen to the subscriber: its node is killed, and Redis loses the log. What the terminals print is
written down with the time at which it came; `tools/svg.py` plays it back. Run it by `make picture`.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tools.svg import Line, Pane, animation

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TARGET = ROOT / "docs" / "images" / "courier.svg"
TITLE = (
    "A subscriber whose node is killed gets every event once it is back."
    " When Redis loses the log, the subscriber is told where events are missing."
)
SUBSCRIBER, SHOP = Pane("a subscriber", 15), Pane("the shop, and an operator", 15)
ITEMS = ("a teapot", "two cups", "a tray", "a sieve", "a spoon")


class Recording:
    """What was printed in both terminals, and when."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.start()

    def start(self) -> None:
        """Count time from now on."""
        self._began = time.monotonic()

    def add(self, pane: Pane, text: str) -> None:
        self.lines.append(Line(pane, time.monotonic() - self._began, text.rstrip("\n")))

    def follow(self, pane: Pane, process: "subprocess.Popen[str]") -> None:
        """Add each line that a process prints, when it prints it."""

        def read() -> None:
            assert process.stdout
            for line in process.stdout:
                self.add(pane, line)

        threading.Thread(target=read, daemon=True).start()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(*command: str | Path, env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A process whose output is one stream, killed at the end."""
    with subprocess.Popen(
        list(map(str, command)),
        env=env,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(url: str) -> None:
    for _ in range(200):
        try:
            urlopen(f"{url}/health/ready", timeout=1).close()  # noqa: S310 - a node of our own
        except (URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"no node at {url}")


def record(folder: Path) -> list[Line]:
    port, redis_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("COURIER_")} | {
        "COURIER_REDIS_URL": f"redis://127.0.0.1:{redis_port}",
        "COURIER_EVENT_MODULES": "examples.shop.events",
        "COURIER_JWT_SECRET": "the-shop-s-own-secret-of-32-bytes",
        "COURIER_LOG_LEVEL": "critical",
        "COURIER_URL": url,
        "FORCE_COLOR": "1",
        "COLUMNS": "106",
    }
    courier = BIN / "courier"
    token = subprocess.run(
        [courier, "token", "user", "ada", "--claim", "tenant=acme"],
        env=env, cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    for number, item in enumerate(ITEMS, 1):
        event = f'{{"type":"shop.order_placed","source":"shop","order_id":"{number}","item":"{item}"}}'
        (folder / f"{number}.json").write_text(event, encoding="utf-8")
    recording = Recording()

    def publish(number: int) -> None:
        recording.add(SHOP, f"$ courier publish orders.acme {number}.json")
        command: list[str | Path] = [courier, "publish", "orders.acme", folder / f"{number}.json"]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
        recording.add(SHOP, (done.stdout + done.stderr).strip())
        time.sleep(0.8)

    redis: list[str | Path] = ["redis-server", "--port", str(redis_port), "--save", "", "--appendonly", "no"]
    serve: list[str | Path] = [courier, "serve", "--bind", f"127.0.0.1:{port}"]
    subscribe: list[str | Path] = [courier, "subscribe", "orders.acme", "--follow"]
    with running(*redis, env=env):
        time.sleep(0.3)
        with running(*serve, env=env) as node:
            until_ready(url)
            recording.start()
            recording.add(SUBSCRIBER, "$ courier subscribe orders.acme --follow")
            with running(*subscribe, env=env | {"COURIER_TOKEN": token}) as subscriber:
                recording.follow(SUBSCRIBER, subscriber)
                time.sleep(1.2)
                publish(1)
                publish(2)
                recording.add(SHOP, "$ kill -9 $NODE          # the node dies")
                os.kill(node.pid, signal.SIGKILL)
                time.sleep(1)
                recording.add(SHOP, "$ courier serve &        # and starts again")
                with running(*serve, env=env):
                    publish(3)
                    publish(4)
                    time.sleep(2)
                    recording.add(SHOP, "$ redis-cli flushall     # Redis loses the log")
                    flush = ["redis-cli", "-p", str(redis_port), "flushall"]
                    subprocess.run(flush, capture_output=True, check=True)
                    time.sleep(1.2)
                    publish(5)
                    time.sleep(1.5)
                    lines = list(recording.lines)
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = record(Path(folder))
    TARGET.write_text(animation(lines, TITLE), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(lines)} lines, {TARGET.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
