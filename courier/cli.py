"""The command line: `courier serve`, `token`, `check`, `subscribe`, `contract`, `demo`."""

import json
import sys
from functools import partial

import click

from courier.cli_contract import contract

# What a command needs is imported in it: `courier --help` should not wait for a web server's imports.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="courier")
def main() -> None:
    """Courier: a real-time event bus. Events in over HTTP, out over WebSocket, never lost silently."""


main.add_command(contract)


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; COURIER_BIND otherwise.")
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False), help="TLS certificate chain, PEM.")
@click.option("--keyfile", type=click.Path(exists=True, dir_okay=False), help="TLS private key, PEM.")
def serve(bind: str | None, certfile: str | None, keyfile: str | None) -> None:
    """Run a node until SIGTERM or Ctrl-C; then drain it and exit."""
    import trio

    import courier.web.server
    from courier.settings import SettingsError, load_settings

    if (certfile is None) != (keyfile is None):
        raise click.UsageError("--certfile and --keyfile go together")
    try:
        settings = load_settings() if bind is None else load_settings(bind=bind)
    except SettingsError as error:
        raise SystemExit(f"Courier does not start: {error}") from None
    trio.run(partial(courier.web.server.serve, settings, certfile=certfile, keyfile=keyfile))


@main.group()
def token() -> None:
    """Make a token, signed with COURIER_JWT_SECRET."""


@token.command()
@click.argument("user_id")
@click.option("--wallet", default="", metavar="ADDRESS", help="The claim wallet_address.")
@click.option(
    "--ttl", default=3600, show_default=True, type=click.IntRange(min=1), help="Seconds it is good for."
)
def user(user_id: str, wallet: str, ttl: int) -> None:
    """A subscriber's token."""
    from courier.web.auth import mint_user_token

    _print_token(partial(mint_user_token, user_id=user_id, wallet=wallet, ttl_seconds=ttl))


@token.command()
@click.argument("name")
@click.option(
    "--ttl", default=3600, show_default=True, type=click.IntRange(min=1), help="Seconds it is good for."
)
def service(name: str, ttl: int) -> None:
    """A publishing service's token."""
    from courier.web.auth import mint_service_token

    _print_token(partial(mint_service_token, name=name, ttl_seconds=ttl))


def _print_token(mint: "partial[str]") -> None:
    from pydantic import ValidationError

    from courier.settings import SettingsError, load_settings

    try:
        click.echo(mint(load_settings()))
    except SettingsError as error:
        raise SystemExit(f"No token: {error}") from None
    except ValidationError as error:
        [wrong] = error.errors()
        raise SystemExit(f"No token: {wrong['loc'][0]}: {wrong['msg']}") from None


@main.command()
def check() -> None:
    """Print the settings as a node would take them, secrets masked, and say what is wrong with them."""
    import os

    from courier.schemas.errors import RegistryError
    from courier.schemas.registry import registry_for
    from courier.settings import SettingsError, check_bind, describe, load_settings, unknown_variables

    try:
        settings = load_settings()
        for name, value in describe(settings):
            click.echo(f"{name}={value}")
        check_bind(settings, [settings.bind])
        registry_for(settings.event_modules)
    except (SettingsError, RegistryError) as error:
        raise SystemExit(f"Courier would not start: {error}") from None
    for name in unknown_variables(os.environ):
        click.secho(f"{name} is no setting of Courier", fg="yellow", err=True)
    click.secho("Courier would start.", fg="green", err=True)


@main.command()
@click.option("--seconds", default=0, type=click.IntRange(min=0), help="End by itself; 0: run until Ctrl-C.")
def demo(seconds: int) -> None:
    """Run a node with simulated services, and show what a subscriber gets."""
    import trio

    from courier.demo import run

    sys.exit(trio.run(run, seconds))


@main.command()
@click.argument("channel")
@click.option("--since", metavar="POSITION|TIME", help="Begin with what came after it.")
@click.option("--url", envvar="COURIER_URL", default="http://127.0.0.1:8766", show_default=True)
@click.option("--token", envvar="COURIER_TOKEN", required=True, help="COURIER_TOKEN otherwise.")
def subscribe(channel: str, since: str | None, url: str, token: str) -> None:
    """Print a channel's events, one JSON object a line, until the node ends the subscription."""
    import trio
    from trio_websocket import HandshakeError

    from courier.subscribe import Closed
    from courier.subscribe import subscribe as events_of

    async def print_events() -> None:
        async for event in events_of(url, channel, token, since):
            click.echo(json.dumps(event))
            sys.stdout.flush()

    try:
        trio.run(print_events)
    except Closed as closed:
        raise SystemExit(f"Closed: {closed}") from None
    except (OSError, HandshakeError) as error:
        raise SystemExit(f"No node at {url}: {error.__cause__ or type(error).__name__}") from None
    except KeyboardInterrupt:
        pass
