"""RedisUrl: which Redis a node shares its logs in, as `COURIER_REDIS_URL` says it."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

_SHAPE = re.compile(
    r"(?P<scheme>rediss?(\+cluster|\+sentinel)?)://"
    r"((?P<user>[^/?#@]*)@)?"
    r"(?P<hosts>[^/?#@]*)"
    r"(?P<path>/[^?#]*)?"
    r"(\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


class RedisKind(StrEnum):
    """How the servers at the addresses work together."""

    SINGLE = "single"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """Where Redis is, and how to get in."""

    kind: RedisKind
    addresses: tuple[tuple[str, int], ...]
    """Of the server, of some of the cluster's nodes, or of the sentinels."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    service: str = ""
    """What the sentinels call the primary."""
    tls: bool = False
    ca_certs: str | None = None
    """A file of certificate authorities; None: those that the system trusts."""


def parse_redis_url(text: str) -> RedisUrl:
    """The Redis that `text` names.

    `redis://[user:password@]host:port[/database]`, `redis+cluster://host:port,host:port` or
    `redis+sentinel://host:port,host:port/service[/database]`; with `rediss` over TLS, verified by what the
    system trusts or by `?ssl_ca_certs=path`. Raises ValueError, whose text says what was expected and repeats
    nothing of `text`, since that may hold a password.
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError(
            "a redis://, rediss://, redis+cluster:// or redis+sentinel:// URL"
            " (with special characters of the password as %xx)"
        )
    scheme, _, kind = shape["scheme"].partition("+")
    how = RedisKind(kind or "single")
    addresses = _addresses(shape["hosts"], 26_379 if how is RedisKind.SENTINEL else 6379)
    if how is RedisKind.SINGLE and len(addresses) > 1:
        raise ValueError("a redis:// URL with one host (several: redis+cluster:// or redis+sentinel://)")
    service, database = _path(how, (shape["path"] or "").strip("/"))
    username, password = _credentials(shape["user"])
    tls = scheme == "rediss"
    return RedisUrl(how, addresses, username, password, database, service, tls, _options(shape["query"], tls))


def _addresses(hosts: str, default_port: int) -> tuple[tuple[str, int], ...]:
    addresses = []
    for part in hosts.split(","):
        host = _HOST.fullmatch(part)
        port = int(host["port"] or default_port) if host else 0
        if host is None or not 0 < port < 65_536:
            raise ValueError("a Redis URL with host:port (more than one: separated by commas)")
        addresses.append((host["six"] or host["name"], port))
    return tuple(addresses)


def _path(kind: RedisKind, path: str) -> tuple[str, int]:
    """The sentinels' name for the primary, and the database."""
    service = ""
    if kind is RedisKind.SENTINEL:
        service, _, path = path.partition("/")
        if not service:
            raise ValueError(
                "a redis+sentinel:// URL with the service's name after the hosts: host:port/name"
            )
    if kind is RedisKind.CLUSTER and path not in ("", "0"):
        raise ValueError("a redis+cluster:// URL without a database, since a cluster has only one")
    if path and not re.fullmatch("[0-9]{1,5}", path):
        raise ValueError("a Redis URL whose database is a number")
    return unquote(service), int(path or 0)


def _credentials(user: str | None) -> tuple[str | None, str | None]:
    if not user:
        return None, None
    name, separator, password = user.partition(":")
    if not separator:
        raise ValueError("a Redis URL with user:password@ or :password@ before the host")
    return unquote(name) or None, unquote(password) or None


def _options(query: str | None, tls: bool) -> str | None:
    options = dict(parse_qsl(query or "", keep_blank_values=True))
    ca_certs = options.pop("ssl_ca_certs", None)
    if options or (ca_certs is not None and not (ca_certs and tls)):
        raise ValueError("a Redis URL with no option but ssl_ca_certs=path, and that for rediss:// only")
    return ca_certs


__all__ = ["RedisKind", "RedisUrl", "parse_redis_url"]
