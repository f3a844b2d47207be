"""Servers: what is measured, and how each is started."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.peers import nchan

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = _CORES[0], _CORES[-1]
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Server:
    """How to start a server; `{port}` and `{secret}` in `command` and `environment` are filled in.

    It must answer `ready` with 200 once it serves, `POST /publish/{channel}` and `/ws/{channel}?token=` as
    Courier does, and end by SIGTERM. To measure another one, add it to `SERVERS`.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/health/ready"
    replays: bool = False
    """Whether `since` brings back what was missed."""
    batches: bool = False
    """Whether it has `POST /publish/batch`."""
    interpreter: str | None = None
    """The Python that runs it, where it is one Python process: such a process can be counted (`counts`)."""
    absent: Callable[[], str | None] = lambda: None
    """Why it cannot be measured here, as a sentence; None when it can."""


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


RATE_LIMIT = "1000000"
"""Events a minute: so many that nobody is refused, and yet each is counted. Not 0, which is no limiter."""

_COURIER = {
    "COURIER_ENV": "development",
    "JWT_SECRET": "{secret}",
    "COURIER_PUBLISH_AUTH": "required",
    "COURIER_RATE_LIMIT": RATE_LIMIT,
    "COURIER_LOG_LEVEL": "warning",
    "COURIER_MAX_CONNECTIONS_PER_USER": "0",
}

COURIER = Server(
    "Courier",
    (_tool("courier"), "serve", "--bind", "127.0.0.1:{port}"),
    _COURIER,
    replays=True,
    batches=True,
    interpreter=sys.executable,
)
COURIER_GENERAL = replace(
    COURIER, name="Courier without its desk", environment={**_COURIER, "COURIER_DESK": "off"}
)
HYPERCORN = replace(
    COURIER,
    name="Courier by hypercorn -k trio",
    command=(_tool("hypercorn"), "-k", "trio", "-b", "127.0.0.1:{port}", "courier.web:app"),
    interpreter=None,
)

COURIER_DISK = replace(COURIER, name="Courier on disk", environment={**_COURIER, "COURIER_DATA": "data"})
"""In the folder where it is started, which is gone with it."""

COURIER_REDIS = replace(
    COURIER,
    name="Courier on Redis",
    command=(
        sys.executable, "-m", "benchmarks.peers.redis_node", "--port", "{port}",
        "--redis-core", str(CLIENT_CORE),
    ),
    environment={**_COURIER, "PYTHONPATH": str(_ROOT)},
    interpreter=None,
    absent=lambda: None if shutil.which("redis-server") else "redis-server is not installed",
)  # fmt: skip

_HUB_PYTHON = Path(sys.prefix) / "bench" / "bin" / "python"
_NODE_HUB = _ROOT / "benchmarks" / "peers" / "node_hub"


def _no_fastapi() -> str | None:
    return None if _HUB_PYTHON.exists() else "its packages are not installed: make bench does it"


def _no_node() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    return None if (_NODE_HUB / "node_modules" / "ws").exists() else "its packages are not installed (npm ci)"


def _no_nchan() -> str | None:
    return None if nchan.programs() else "nginx with nchan is not there (Debian: nginx, libnginx-mod-nchan)"


FASTAPI = Server(
    "FastAPI hub",
    (str(_HUB_PYTHON), "-m", "benchmarks.peers.fastapi_hub", "--port", "{port}"),
    {"JWT_SECRET": "{secret}", "RATE_LIMIT": RATE_LIMIT, "PYTHONPATH": str(_ROOT)},
    interpreter=str(_HUB_PYTHON),
    absent=_no_fastapi,
)
NODE = Server(
    "Node ws hub",
    ("node", str(_NODE_HUB / "hub.js")),
    {"JWT_SECRET": "{secret}", "RATE_LIMIT": RATE_LIMIT, "PORT": "{port}", "NODE_ENV": "production"},
    absent=_no_node,
)
NCHAN = Server(
    "nginx + nchan",
    (sys.executable, "-m", "benchmarks.peers.nchan", "--port", "{port}"),
    {"PYTHONPATH": str(_ROOT)},
    absent=_no_nchan,
)

_SENDER = (sys.executable, "-m", "benchmarks.sender", "--port", "{port}")
SENDER = Server("ready-made bytes", _SENDER, {"PYTHONPATH": str(_ROOT)}, batches=True)
JOINING_SENDER = replace(SENDER, name="ready-made bytes, joined", command=(*_SENDER, "--join"))

SERVERS = {
    "courier": COURIER,
    "courier-general": COURIER_GENERAL,
    "courier-disk": COURIER_DISK,
    "courier-redis": COURIER_REDIS,
    "fastapi": FASTAPI,
    "node": NODE,
    "nchan": NCHAN,
    "hypercorn": HYPERCORN,
    "sender": SENDER,
    "joining-sender": JOINING_SENDER,
}
"""What a scenario's `--servers` names."""


def of_checkout(server: Server, folder: Path) -> Server:
    """`server`, which is one of Courier's, from the checkout in `folder` and its own environment.

    ValueError when `server` is not started by `courier`.
    """
    if server.command[0] != COURIER.command[0]:
        raise ValueError(f"{server.name} is not of a checkout: name courier or courier-general")
    tools = folder.resolve() / ".venv" / "bin"
    return replace(
        server,
        name=f"{server.name} in {folder}",
        command=(str(tools / "courier"), *server.command[1:]),
        interpreter=str(tools / "python"),
        absent=lambda: None if (tools / "courier").exists() else f"{tools / 'courier'} is not there",
    )
