"""Options: those that the commands which speak to a node share, checked before anything is sent."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

Command = TypeVar("Command", bound=Callable[..., None])


class _Url(click.ParamType[str]):
    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The URL as it was given; a sentence that does not repeat it, for it may hold a password."""
        text = str(value).rstrip("/")
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            self.fail(f"this is no URL: {error}", param, ctx)
        if parts.username is not None or parts.password is not None:
            self.fail("a node's URL holds no credentials: there is --token for that", param, ctx)
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            self.fail("expected the URL of a node, such as https://courier.example.org", param, ctx)
        if not text.isprintable() or " " in text:
            self.fail("a URL has no spaces and no control characters", param, ctx)
        if not _is_host(host, text):
            self.fail("its host is no name that could be looked up", param, ctx)
        return text


def _is_host(host: str, url: str) -> bool:
    """Whether the libraries that will connect take the host: Python's know RFC 3490, httpx RFC 5891."""
    import httpx

    try:
        return bool(host.encode("idna") and httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


class _Token(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The token, without the end of the line that it was read from."""
        token = str(value).strip()
        if not token or not all("!" <= character <= "~" for character in token):
            self.fail("a token is one or more visible ASCII characters", param, ctx)
        return token


class _Text(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A text that can be sent: arguments may be any bytes, which Python keeps as surrogates."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("expected UTF-8", param, ctx)
        return text


TEXT = _Text()

claims = click.option(
    "--claim",
    "claims",
    metavar="NAME=VALUE",
    multiple=True,
    type=TEXT,
    help="Another claim, in JSON or as text; as often as you like.",
)
ttl = click.option(
    "--ttl", default=3600, show_default=True, type=click.IntRange(min=1), help="Seconds it is good for."
)


def channel(command: Command) -> Command:
    """The channel."""
    return click.argument("channel", type=TEXT)(command)


def url(command: Command) -> Command:
    """The node."""
    return click.option(
        "--url",
        envvar="COURIER_URL",
        show_envvar=True,
        default="http://127.0.0.1:8766",
        show_default=True,
        type=_Url(),
    )(command)


def user_token(command: Command) -> Command:
    """A subscriber's token."""
    return click.option(
        "--token",
        envvar="COURIER_TOKEN",
        show_envvar=True,
        required=True,
        type=_Token(),
        help="The user's token.",
    )(command)


def service_token(command: Command) -> Command:
    """A service's token."""
    return click.option(
        "--token", envvar="COURIER_TOKEN", show_envvar=True, type=_Token(), help="The service's token."
    )(command)


def admin_token(command: Command) -> Command:
    """The admin's token."""
    return click.option(
        "--admin-token",
        envvar="COURIER_ADMIN_TOKEN",
        show_envvar=True,
        type=_Token(),
        help="The admin's token; on the node's own machine it may need none.",
    )(command)


def as_json(command: Command) -> Command:
    """For programs."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)
