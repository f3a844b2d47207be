"""Process: a server as a process of its own on one core, what it has used so far, and its end by its pid."""

import http.client
import os
import resource
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from benchmarks.errors import LoadError
from benchmarks.servers import CLIENT_CORE, SERVER_CORE, Server

START_SECONDS = 30.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Usage:
    """What a process and its children have taken so far."""

    cpu_seconds: float
    waited_seconds: float
    """How long it was ready to run and another process had the core."""
    rss_kib: int
    peak_rss_kib: int


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    secret: str
    pid: int
    folder: Path
    """Where it was started; it is gone when the server is."""

    def usage(self) -> Usage:
        """What `/proc` says of it, its children added."""
        used = [usage_of(pid) for pid in _family(self.pid)]
        return Usage(
            sum(one.cpu_seconds for one in used),
            sum(one.waited_seconds for one in used),
            sum(one.rss_kib for one in used),
            sum(one.peak_rss_kib for one in used),
        )


def usage_of(pid: int) -> Usage:
    """What `/proc` says of the process `pid` alone; nothing at all when it is gone."""
    process = Path(f"/proc/{pid}")
    try:
        ran, waited = zip(*(_scheduled(task) for task in (process / "task").iterdir()), strict=True)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return Usage(0, 0, 0, 0)
    rss, peak = (int(status.get(name, "0 kB").split()[0]) for name in ("VmRSS", "VmHWM"))
    return Usage(sum(ran) / 1e9, sum(waited) / 1e9, rss, peak)


def _scheduled(task: Path) -> tuple[int, int]:
    """Nanoseconds that a thread ran, and that it waited for its core."""
    ran, waited, _ = (task / "schedstat").read_text().split()
    return int(ran), int(waited)


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """`server`, ready, on the server's core; SIGTERM at the end, and SIGKILL if it does not go.

    LoadError with what it printed when it ends or is not ready within START_SECONDS, or when it is absent.
    """
    if (reason := server.absent()) is not None:
        raise LoadError(f"{server.name}: {reason}")
    port, secret = _free_port(), secrets.token_hex(32)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("COURIER_", "JWT_"))
    }
    environment |= {
        name: value.format(port=port, secret=secret) for name, value in server.environment.items()
    }
    command = [word.format(port=port, secret=secret) for word in server.command]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        with _on(SERVER_CORE):
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            try:
                _await_ready(server, port, process)
            except LoadError as error:
                output.seek(0)
                raise LoadError(f"{error}\n{output.read().decode(errors='replace')}") from None
            yield Running(server, port, secret, process.pid, Path(folder))
        finally:
            _stop(process)


def take_client_core() -> None:
    """From now on this process, the load client, keeps off the server's core, and may open many sockets."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _await_ready(server: Server, port: int, process: subprocess.Popen[bytes]) -> None:
    end = monotonic() + START_SECONDS
    while monotonic() < end:
        if process.poll() is not None:
            raise LoadError(f"{server.name} ended with {process.returncode} instead of serving")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", server.ready)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        sleep(0.05)
    raise LoadError(f"{server.name} was not ready after {START_SECONDS:g} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = _family(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _family(pid: int) -> list[int]:
    """`pid` and its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@contextmanager
def _on(core: int) -> Iterator[None]:
    """What is started in this block runs on `core`, from its first instruction."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)
