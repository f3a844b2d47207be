"""The command line: what `courier` can do; `courier contract …` is in `cli_contract.py`, `courier data …` in
`cli_data.py`."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from io import BufferedReader
from typing import Any, NoReturn

import click

from courier import cli_options
from courier.cli_contract import contract
from courier.cli_data import data
from courier.cli_output import Commands, complain
from courier.streams import open_standard_streams
from courier.visible import visible

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell has it: 128 and the signal's number."""

# What a command needs is imported in it: `courier --help` should not wait for a web server's imports.


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="courier-bus")
def main() -> None:
    """Courier: a real-time event bus. Events in over HTTP, out over WebSocket, never lost silently."""
    open_standard_streams()


main.add_command(contract)
main.add_command(data)


@main.command()
@click.option(
    "--bind",
    metavar="HOST:PORT",
    help="Where to listen; otherwise on the sockets that systemd hands down, or at COURIER_BIND.",
)
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False), help="TLS certificate chain, PEM.")
@click.option("--keyfile", type=click.Path(exists=True, dir_okay=False), help="TLS private key, PEM.")
def serve(bind: str | None, certfile: str | None, keyfile: str | None) -> None:
    """Run a node until SIGTERM or Ctrl-C; then drain it and exit."""
    import faulthandler
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload

    import trio

    import courier.web.server
    from courier.settings import SettingsError, load_settings

    if (certfile is None) != (keyfile is None):
        raise click.UsageError("--certfile and --keyfile go together")
    try:
        settings = load_settings() if bind is None else load_settings(bind=bind)
    except SettingsError as error:
        raise SystemExit(f"Courier does not start: {error}") from None
    binds = courier.web.server.addresses(settings, bind)
    # A watchdog ends a loop that stands with SIGABRT: on standard error it then says where it stood.
    faulthandler.enable(2)
    trio.run(partial(courier.web.server.serve, settings, binds=binds, certfile=certfile, keyfile=keyfile))


@main.group()
def token() -> None:
    """Make a token, signed with COURIER_JWT_SECRET."""


@token.command()
@click.argument("user_id", type=cli_options.TEXT)
@click.option("--wallet", metavar="ADDRESS", type=cli_options.TEXT, help="The claim wallet_address.")
@cli_options.claims
@cli_options.ttl
def user(user_id: str, wallet: str | None, claims: tuple[str, ...], ttl: int) -> None:
    """A subscriber's token; the user is named by the claim COURIER_JWT_USER_CLAIM."""
    from courier.schemas.channels import SEGMENT_SAID, Kinds, UnknownChannelError
    from courier.web.auth import mint_user_token

    try:
        Kinds().parse(f"user.{user_id}")
    except UnknownChannelError:
        raise SystemExit(
            f"No token: there can be no channel user.<id> for this user, because an id is {SEGMENT_SAID}"
        ) from None

    # A wallet is empty where nobody asks for one.
    others = {"wallet_address": wallet or "", **_claims(claims)}
    _print_token(partial(mint_user_token, user_id=user_id, ttl_seconds=ttl, others=others))


def _claims(given: tuple[str, ...]) -> dict[str, Any]:
    """Claims as they were given; what is not JSON is a text."""
    import json

    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.UsageError("Expected a claim such as --claim tenant=7")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@token.command()
@click.argument("name", type=cli_options.TEXT)
@cli_options.claims
@cli_options.ttl
def service(name: str, claims: tuple[str, ...], ttl: int) -> None:
    """A publishing service's token."""
    from courier.web.auth import mint_service_token

    _print_token(partial(mint_service_token, name=name, ttl_seconds=ttl, others=_claims(claims)))


def _print_token(mint: "partial[str]") -> None:
    from pydantic import ValidationError

    from courier.settings import SettingsError, load_settings

    try:
        click.echo(mint(load_settings()))
    except SettingsError as error:
        raise SystemExit(f"No token: {error}") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        raise SystemExit(f"No token: {wrong['loc'][0]}: {wrong['msg']}") from None


@main.command()
def check() -> None:
    """Print the settings as a node would take them, secrets masked, and say what is wrong with them."""
    import os

    from dotenv import dotenv_values

    from courier.error_reports import ReportsUnavailable, check_reports
    from courier.schemas.contract.asyncapi import who_may_join
    from courier.schemas.errors import RegistryError
    from courier.schemas.registry import registry_for
    from courier.settings import SettingsError, check_bind, describe, load_settings, warnings_of
    from courier.strays import strays
    from courier.web.ask import check_asked

    try:
        settings = load_settings()
        for name, value in describe(settings):
            click.echo(f"{name}={value}")
        check_bind(settings, [settings.bind])
        kinds = registry_for(settings.event_modules).kinds
        check_asked(kinds, settings)
        check_reports(settings.sentry_dsn)
    except (SettingsError, RegistryError, ReportsUnavailable) as error:
        raise SystemExit(f"Courier would not start: {error}") from None
    if settings.redis_url is not None:
        import trio

        from courier.backplane.redis.inspection import check_redis

        for sentence in trio.run(check_redis, settings.redis_url):
            click.secho(sentence, fg="yellow", err=True)
    for kind in kinds:
        click.secho(f"Channels {kind.form}: {who_may_join(kind)}", err=True)
    for sentence in warnings_of(settings):
        click.secho(sentence, fg="yellow", err=True)
    for sentence in strays(dotenv_values(".env") | os.environ):
        click.secho(sentence, fg="yellow", err=True)
    click.secho("Courier would start.", fg="green", err=True)


@main.command()
@click.option("--seconds", default=0, type=click.IntRange(min=0), help="End by itself; 0: run until Ctrl-C.")
def demo(seconds: int) -> None:
    """Run a node with simulated services, and show what a subscriber gets."""
    import trio

    from courier.demo import run

    sys.exit(trio.run(run, seconds))


@main.command()
@cli_options.channel
@click.argument("file", type=click.File("rb"), default="-")
@cli_options.url
@cli_options.service_token
@cli_options.as_json
@click.option(
    "--patience",
    default=90.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds to try for while the node is away or full, or the service's rate is used up.",
)
def publish(
    channel: str, file: BufferedReader, url: str, token: str | None, as_json: bool, patience: float
) -> None:
    """Publish events to a channel, from FILE or standard input.

    Either one JSON object, or one a line (NDJSON), which are published as they come. Each event names its
    service as "source". Nothing is published twice, whatever is tried again.

    Ends with 0 when all are published, 1 when some were refused, 3 when there was no node, 4 when what became
    of them could not be printed.
    """
    from courier.terminal.commands import publish_file

    _run(partial(publish_file, url, channel, token, file, patience, as_json))


@main.command()
@click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True, type=cli_options.TEXT)
@cli_options.url
@cli_options.user_token
@click.option(
    "--since",
    metavar="POSITION|TIME",
    type=cli_options.TEXT,
    help="Begin with what came after it; for several channels a time.",
)
@click.option("--follow", is_flag=True, help="Come back when the node leaves or the connection breaks.")
@cli_options.as_json
def subscribe(
    channels: tuple[str, ...], url: str, token: str, since: str | None, follow: bool, as_json: bool
) -> None:
    """Print the events of channels as they come, until the node ends a subscription.

    Several channels share one connection, and each keeps the order of its own events.
    Standard output has events only; gaps and all else go to standard error. Ends with 1 and the close code
    when the node ends it, 3 when there is no node, 4 when standard output cannot be written.
    """
    from courier.terminal.commands import print_subscription

    wanted = list(dict.fromkeys(channels))
    if since is not None and len(wanted) > 1 and "T" not in since:
        raise click.UsageError("A position is of one channel: give one channel, or --since with a time")
    _run(partial(print_subscription, url, wanted, token, since, follow, as_json))


@main.command()
@cli_options.channel
@cli_options.url
@cli_options.user_token
@click.option(
    "--since",
    metavar="POSITION|TIME",
    type=cli_options.TEXT,
    help="Begin with what came after it; else the newest.",
)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@cli_options.as_json
def history(channel: str, url: str, token: str, since: str | None, limit: int, as_json: bool) -> None:
    """Print what a channel's log holds, oldest first, and end."""
    from courier.terminal.commands import print_history

    if since is None and limit > 1000:
        raise click.UsageError("More than 1,000 events are read with --since only")
    _run(partial(print_history, url, channel, token, since, limit, as_json))


@main.command()
@click.argument("subject", type=click.Choice(["user", "token", "service"]), required=False)
@click.argument("name", type=cli_options.TEXT, required=False)
@click.option(
    "--issued-before",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="Unix time up to which a token must have been made; otherwise now.",
)
@click.option("--keep", type=click.IntRange(min=1), metavar="SECONDS", help="How long to remember it.")
@click.option("--take-back", metavar="ID", type=cli_options.TEXT, help="Let that revocation count no more.")
@cli_options.url
@cli_options.admin_token
def revoke(
    subject: str | None,
    name: str | None,
    issued_before: int | None,
    keep: int | None,
    take_back: str | None,
    url: str,
    admin_token: str | None,
) -> None:
    """Refuse the tokens of a user or a service, or one token by its id, on all nodes.

    What they have opened ends within a second. NAME is a user id, a token's jti, or a service. Prints the id
    of the revocation.
    """
    from courier.terminal import access

    if (take_back is None) == (subject is None) or (subject is not None and name is None):
        raise click.UsageError("Say what to revoke, as in: courier revoke user alice; or --take-back ID")
    if take_back is not None:
        _run(partial(access.take_back, url, admin_token, take_back))
    said = {
        {"user": "user_id", "token": "token_id"}.get(subject or "", "service"): name,
        "issued_before": issued_before,
        "keep_seconds": keep,
    }
    given = {field: value for field, value in said.items() if value is not None}
    _run(partial(access.revoke, url, admin_token, given))


@main.command()
@click.argument("user_id", type=cli_options.TEXT)
@cli_options.url
@cli_options.admin_token
def disconnect(user_id: str, url: str, admin_token: str | None) -> None:
    """Close all connections of a user, on all nodes. It may come back: revoke its tokens if it should not."""
    from courier.terminal import access

    _run(partial(access.disconnect, url, admin_token, user_id))


def _run(command: "Callable[[], Awaitable[int]]") -> NoReturn:
    """Run it, and exit with what it returns; with its sentence when it fails, and quietly after Ctrl-C."""
    import trio

    from courier.terminal.errors import Failed

    async def run() -> int:
        try:
            return await command()
        except Failed as failed:
            complain(visible(str(failed)))
            return failed.exit_code

    code = INTERRUPTED
    try:
        code = trio.run(run)
    except* KeyboardInterrupt:
        pass
    sys.exit(code)
