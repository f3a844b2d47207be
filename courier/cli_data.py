"""The command line: `courier data …`, for the log on disk."""

from pathlib import Path

import click


@click.group()
def data() -> None:
    """Look after a log on disk (COURIER_DATA)."""


@data.command("check")
def data_check() -> None:
    """Read the whole file, and say what is wrong with it; exit code 1 when something is."""
    from courier.backplane.errors import DataUnusable
    from courier.backplane.sqlite.schema import check

    file = _file()
    try:
        found = check(file)
    except DataUnusable as error:
        raise SystemExit(str(error)) from None
    for sentence in found:
        click.secho(sentence, fg="red")
    if found:
        raise SystemExit(1)
    click.secho(f"{file} is whole.", fg="green")


@data.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def data_backup(file: Path) -> None:
    """Copy the log to FILE, also while a node runs.

    A node that is started from the copy has its events, and begins new epochs: subscribers get a gap.
    """
    from courier.backplane.errors import DataUnusable
    from courier.backplane.sqlite.schema import back_up

    if file.exists():
        raise SystemExit(f"{file} exists already; name another file")
    try:
        back_up(_file(), file)
    except DataUnusable as error:
        raise SystemExit(str(error)) from None
    click.secho(f"{file} has {file.stat().st_size} bytes.", fg="green")


def _file() -> Path:
    from courier.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    if settings.data is None:
        raise SystemExit("COURIER_DATA is not set: there is no log on disk")
    file = settings.data / "courier.db"
    if not file.exists():
        raise SystemExit(f"{file} does not exist")
    return file
