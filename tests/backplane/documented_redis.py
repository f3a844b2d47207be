"""The Redis of docs/operations.md: settings, users and commands, taken out of the document itself."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.backplane.redis_servers import RedisServer

RUNBOOK = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")

ACL_FILE = "/etc/redis/users.acl"


def block(first: str) -> str:
    """The code block of the runbook whose first line begins so."""
    found = [
        text for text in re.findall(r"^```\w*\n(.*?)^```$", RUNBOOK, re.M | re.S) if text.startswith(first)
    ]
    [text] = found
    return str(text)


SETTINGS = block("appendonly yes")
USERS = block("user default")


def granted() -> set[str]:
    """The commands that the runbook grants Courier's user."""
    return set(re.findall(r" \+(\S+)", next(line for line in USERS.splitlines() if "user courier" in line)))


def granted_on_a_cluster() -> list[str]:
    """What the runbook grants Courier's user beside these, as arguments of `ACL SETUSER`."""
    [text] = re.findall(r"On a cluster `courier` also needs `([^`]+)`", RUNBOOK)
    return str(text).split()


class DocumentedRedis(RedisServer):
    """A server that runs with them, and may be asked as `ops`."""

    def __init__(self, directory: Path, users: str = USERS) -> None:
        self.directory = directory
        (directory / "users.acl").write_text(users)
        (directory / "redis.conf").write_text(SETTINGS.replace(ACL_FILE, str(directory / "users.acl")))
        super().__init__(directory)

    @property
    def url(self) -> str:
        return f"redis://courier:PASSWORD@127.0.0.1:{self.port}"

    @property
    def ops(self) -> str:
        """What the runbook calls `OPS`."""
        return f"redis://ops:OPS-PASSWORD@127.0.0.1:{self.port}"

    def _first(self) -> list[str]:
        return [str(self.directory / "redis.conf")]

    def _login(self) -> list[str]:
        return ["--user", "ops", "--pass", "OPS-PASSWORD", "--no-auth-warning"]


@contextmanager
def documented_redis(users: str = USERS) -> Iterator[DocumentedRedis]:
    """A running server."""
    with TemporaryDirectory() as directory:
        server = DocumentedRedis(Path(directory), users)
        try:
            server.start()
            yield server
        finally:
            server.kill()
