"""Settings: what the environment says, checked once, as frozen values with their units in their names."""

import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import jwt
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from courier.schemas.names import SERVICE_NAME_PATTERN

PREFIX = "COURIER_"
CLIENT_VARIABLES = frozenset({"COURIER_URL", "COURIER_TOKEN"})
"""What `courier publish` and `courier subscribe` read themselves."""

DEVELOPMENT_SECRET = "courier-development-secret-that-everybody-knows"  # noqa: S105 - known to all on purpose
MASK = "**********"
MIN_SECRET_BYTES = 32

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip


class SettingsError(Exception):
    """The node must not start. The text has one sentence for each wrong variable and never a secret."""


def variable(field: str) -> str:
    """The environment variable of a field: `rate_limit` is `COURIER_RATE_LIMIT`."""
    return PREFIX + field.upper()


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part for part in map(str.strip, value.split(",")) if part)
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _bind(value: str) -> str:
    if value.startswith(("unix:", "fd://")):
        return value
    _, separator, port = value.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("host:port, unix:path or fd://number")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.fragment:
        raise ValueError("an http:// or https:// URL")
    return value.rstrip("/")


def _origin(value: str) -> str:
    """An origin as a browser sends it (RFC 6454 section 6.2), in lower case."""
    try:
        parts = urlsplit(value)
        usable = parts.hostname and value.lower() == f"{parts.scheme}://{parts.netloc}".lower()
    except ValueError:
        usable = False
    if not usable or "@" in value:
        raise ValueError("origins such as https://app.example.com, without a path")
    return value.lower()


def _module(value: str) -> str:
    if not all(part.isidentifier() for part in value.split(".")):
        raise ValueError("names of Python modules such as acme.events")
    return value


def _limits(value: object) -> object:
    """A JSON object, or a mapping already; each limit is for one service, by its name."""
    try:
        limits = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        limits = None
    if not isinstance(limits, Mapping) or not all(
        isinstance(service, str)
        and re.match(SERVICE_NAME_PATTERN, service)
        and type(limit) is int
        and 0 <= limit <= 1_000_000
        for service, limit in limits.items()
    ):
        raise ValueError('a JSON object of service names and limits such as {"prophet": 500}')
    return limits


def _public_key(value: str) -> str:
    try:
        return value if "-----BEGIN" in value else Path(value).read_text(encoding="ascii")
    except (OSError, ValueError):
        raise ValueError("PEM text, or the path of a readable PEM file") from None


def _redis(_: object) -> object:
    raise ValueError("unset: the Redis backplane is not in this version, and a node alone keeps its log in memory")


Count = Annotated[int, Field(ge=1, le=100_000_000)]
CountOrOff = Annotated[int, Field(ge=0, le=1_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=2**40)]
Seconds = Annotated[float, Field(gt=0, le=30 * 86_400, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Url = Annotated[str, AfterValidator(_url)]
CommaSeparated = (NoDecode, BeforeValidator(_split))


def _publish_auth(given: dict[str, Any]) -> str:
    return "required" if given["env"] == "production" else "off"


def _log_format(given: dict[str, Any]) -> str:
    return "json" if given["env"] == "production" else "console"


class Settings(BaseSettings):
    """All that an operator may decide. Made by `load_settings`; `Settings(...)` itself reads no environment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        alias_generator=AliasGenerator(validation_alias=variable),
    )

    env: Literal["development", "production"] = "development"
    bind: Annotated[str, AfterValidator(_bind)] = "127.0.0.1:8766"

    jwt_secret: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_SECRET), validation_alias=AliasChoices("COURIER_JWT_SECRET", "JWT_SECRET")
    )
    jwt_algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1), *CommaSeparated] = ("HS256",)
    jwt_public_key: Annotated[str, AfterValidator(_public_key)] | None = None
    """PEM text, wherever it came from."""
    jwks_url: Url | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None

    publish_auth: Literal["off", "report", "required"] = Field(default_factory=_publish_auth)
    rate_limit: CountOrOff = 100
    rate_window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    rate_limits: Annotated[dict[str, int], NoDecode, BeforeValidator(_limits)] = Field(default_factory=dict)
    max_event_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 65_536

    history_events: Count = 10_000
    history_seconds: Seconds = 3600
    history_bytes: Bytes = 256 * 1024 * 1024
    redis_url: Annotated[None, BeforeValidator(_redis)] = None

    max_connections: Count = 20_000
    max_connections_per_user: CountOrOff = 100
    max_channels: Count = 100_000
    max_services: Count = 10_000
    inbox_events: Count = 1000
    inbox_wait_seconds: SecondsOrNone = 1

    allowed_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], *CommaSeparated] = ()
    drain_delay_seconds: SecondsOrNone = 0
    drain_seconds: SecondsOrNone = 20
    stall_seconds: Seconds = 30
    heartbeat_seconds: Seconds = 30
    architect_url: Url | None = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = "info"  # fmt: skip
    log_format: Literal["json", "console"] = Field(default_factory=_log_format)
    event_modules: Annotated[tuple[Annotated[str, AfterValidator(_module)], ...], *CommaSeparated] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment comes in as arguments, so that a test can bring its own.
        return init_settings, dotenv_settings

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if wrong := list(_contradictions(self)):
            raise SettingsError("\n".join(wrong))
        return self

    @property
    def secret_in_use(self) -> bool:
        """Whether tokens signed with `jwt_secret` count."""
        return any(algorithm.startswith("HS") for algorithm in self.jwt_algorithms)

    @property
    def development_in_so_many_words(self) -> bool:
        """Whether somebody said `development`, rather than nothing."""
        return self.env == "development" and "env" in self.model_fields_set


_VARIABLES = frozenset(map(variable, Settings.model_fields)) | {"JWT_SECRET"}
