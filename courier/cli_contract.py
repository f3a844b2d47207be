"""`courier contract`: the documents of the contract, and what differs between two."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from courier.schemas.registry import Registry

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)

# As in `cli`, what a command needs is imported in it.


@click.group()
def contract() -> None:
    """Print what events there are, COURIER_EVENT_MODULES included, or compare two such contracts."""


@contract.command("json-schema")
def contract_json_schema() -> None:
    """The whole contract as one JSON Schema: keep it, to compare."""
    from courier.schemas.contract import json_schema

    _print_json(json_schema(_registry()))


@contract.command("openapi")
def contract_openapi() -> None:
    """OpenAPI 3.1 of the HTTP side."""
    from courier.schemas.contract import json_schema
    from courier.web.openapi import openapi

    registry = _registry()
    _print_json(openapi(registry, json_schema(registry)))


@contract.command("asyncapi")
def contract_asyncapi() -> None:
    """AsyncAPI 3.0 of the WebSocket side."""
    from courier.schemas.contract import asyncapi, json_schema

    registry = _registry()
    _print_json(asyncapi(json_schema(registry), registry))


@contract.command("typescript")
def contract_typescript() -> None:
    """TypeScript types, as one module."""
    from courier.schemas.contract import json_schema, typescript

    click.echo(typescript(json_schema(_registry())), nl=False)


@contract.command("python")
def contract_python() -> None:
    """Typed helpers for `publish`, as one Python module."""
    from courier.schemas.contract import python

    click.echo(python(_registry().models), nl=False)


@contract.command("diff")
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
def contract_diff(old: str, new: str) -> None:
    """Say what changes from OLD to NEW, and whom it breaks; exit with 1 when it breaks somebody.

    Both are files of `courier contract json-schema`, or `-` for standard input.
    """
    from courier.schemas.contract import compare, report

    if old == new == "-":
        raise click.UsageError("only one of the two can come from standard input")
    bundles = []
    for path in (old, new):
        try:
            with click.open_file(path, encoding="utf-8") as file:
                bundles.append(json.load(file))
        except OSError as error:
            raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise click.UsageError(f"{path} is no JSON") from None
    try:
        changes = compare(*bundles)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(report(changes), nl=False)
    sys.exit(any(change.breaks for change in changes))


def _registry() -> "Registry":
    from courier.schemas.errors import RegistryError
    from courier.schemas.registry import registry_for
    from courier.settings import SettingsError, load_settings

    try:
        return registry_for(load_settings().event_modules)
    except (SettingsError, RegistryError) as error:
        raise SystemExit(f"No contract: {error}") from None


def _print_json(document: "dict[str, Any]") -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
