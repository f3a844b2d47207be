"""Real Redis servers for tests: each on a free port, in a directory of its own, ended by its process id."""

import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SECONDS = 10.0
"""How long a server may take to answer."""

SLOTS = 16_384
BUS_OFFSET = 10_000
"""The port by which the servers of a cluster talk to each other is so much higher."""

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed (Debian: redis-server)"
)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


class RedisServer:
    """One server process, which may be killed, started again on the same port, and stopped for a while."""

    def __init__(self, directory: Path, *options: str, port: int | None = None, tls: bool = False) -> None:
        self.port = port or free_port()
        self._directory = directory
        self._options = options
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, with the data that it has, and return when it answers."""
        listening = ["--port", "0", "--tls-port", str(self.port)] if self._tls else ["--port", str(self.port)]
        log = (self._directory / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                ["redis-server", *self._first(), "--dir", str(self._directory), "--bind", "127.0.0.1",
                 *listening, "--save", "", "--enable-debug-command", "yes", *self._options],
                stdout=log,
                stderr=log,
                restore_signals=False,  # a file that must not grow is then an error of its write (SIGXFSZ)
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "server.log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def _first(self) -> list[str]:
        """What comes before the options."""
        return []

    def _login(self) -> list[str]:
        """How redis-cli logs in."""
        return []

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                if self._tls:
                    return True
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL: nothing is written, nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def fill_disk(self, size: int) -> None:
        """No file of it grows beyond so many bytes, until it is started again."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def exit_code(self) -> int:
        """Wait until it ends by itself."""
        assert self._process is not None
        return self._process.wait(SECONDS)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It hangs, with its connections open, for the length of the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def cli(self, *arguments: str | bytes | int, check: bool = True) -> str:
        """What redis-cli prints for a command; with `check` False, nothing when it cannot be asked."""
        command = ["redis-cli", "-p", str(self.port), *self._login(), *map(_argument, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=check, timeout=SECONDS)
        return done.stdout.strip()

    def calls_of(self, command: str) -> int:
        """How many times a command was called since the start or `CONFIG RESETSTAT`."""
        for line in self.cli("INFO", "commandstats").splitlines():
            if line.startswith(f"cmdstat_{command}:"):
                return int(line.partition("calls=")[2].partition(",")[0])
        return 0


def _argument(value: str | bytes | int) -> str | bytes:
    return str(value) if isinstance(value, int) else value


@contextmanager
def redis_server(*options: str, durable: bool = False, tls: bool = False) -> Iterator[RedisServer]:
    """A running server; `durable`: what it has acknowledged is there after a kill, too."""
    keeping = ("--appendonly", "yes", "--appendfsync", "always") if durable else ()
    with TemporaryDirectory() as directory:
        server = RedisServer(Path(directory), *keeping, *options, tls=tls)
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Sentinel(RedisServer):
    """A server that watches over another, which it calls `main`."""

    def __init__(self, directory: Path, primary: RedisServer) -> None:
        super().__init__(directory)
        self._configuration = directory / "sentinel.conf"
        self._configuration.write_text(f"sentinel monitor main 127.0.0.1 {primary.port} 1\n")

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/main"

    def _first(self) -> list[str]:
        return [str(self._configuration), "--sentinel"]


@contextmanager
def redis_sentinel(primary: RedisServer) -> Iterator[Sentinel]:
    """One sentinel over a server that runs."""
    with TemporaryDirectory() as directory:
        sentinel = Sentinel(Path(directory), primary)
        try:
            sentinel.start()
            yield sentinel
        finally:
            sentinel.kill()


class RedisCluster:
    """Three primaries that share the slots."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.servers[0].port},127.0.0.1:{self.servers[1].port}"

    def join(self) -> None:
        """Make one cluster of them, and return when each can serve."""
        first, *others = self.servers
        share = SLOTS // len(self.servers)
        for number, server in enumerate(self.servers):
            last = SLOTS - 1 if server is self.servers[-1] else (number + 1) * share - 1
            server.cli("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            server.cli("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for other in others:
            first.cli("CLUSTER", "MEET", "127.0.0.1", other.port, other.port + BUS_OFFSET)
        deadline = time.monotonic() + SECONDS
        while any("cluster_state:ok" not in server.cli("CLUSTER", "INFO") for server in self.servers):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)

    def owner_of(self, key: str) -> RedisServer:
        slot = int(self.servers[0].cli("CLUSTER", "KEYSLOT", key))
        return self.servers[min(slot // (SLOTS // len(self.servers)), len(self.servers) - 1)]


@contextmanager
def redis_cluster() -> Iterator[RedisCluster]:
    """A running cluster without replicas; skips the test where it cannot come together."""
    with TemporaryDirectory() as directory:
        servers = []
        try:
            for number in range(3):
                place = Path(directory) / str(number)
                place.mkdir()
                port = free_port_below(65_536 - BUS_OFFSET)
                options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
                server = RedisServer(place, *options, port=port)
                servers.append(server)
                server.start()
            cluster = RedisCluster(servers)
            try:
                cluster.join()
            except (AssertionError, subprocess.SubprocessError) as error:
                pytest.skip(f"three Redis servers do not come together as a cluster here: {error}")
            yield cluster
        finally:
            for server in servers:
                server.kill()


def free_port_below(limit: int) -> int:
    while (port := free_port()) >= limit:
        pass  # the kernel gives another each time
    return port
