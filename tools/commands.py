"""Commands: what `make dist` runs, and what it says of each check."""

import os
import subprocess
from pathlib import Path
from urllib.request import urlopen

SECONDS = 300
# Nothing of this repository's environment reaches what is tried.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("COURIER_", "PYTHON", "VIRTUAL_ENV", "npm_", "MAKE"))
}


class Failed(Exception):
    """A check failed: what was seen instead."""


def run(*command: str | Path, cwd: Path) -> str:
    """What it prints. Raises Failed with what it said when it fails."""
    given = [str(part) for part in command]
    done = subprocess.run(
        given, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(given)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def get(url: str) -> str:
    with urlopen(url, timeout=10) as response:  # noqa: S310 - of the server that was just started
        text: str = response.read().decode()
        return text


def must(piece: Path, holds: bool, said: str) -> None:
    if not holds:
        raise Failed(f"{piece.name}: {said}")


def ok(piece: str, sentence: str) -> None:
    print(f"ok   {piece:40} {sentence}", flush=True)
