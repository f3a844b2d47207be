"""Doctor: says what is missing on this machine for each `make` command, and how to get it.

It needs nothing but Python, so that it runs where nothing is installed yet. Exit code 1 when `make test`
would not run.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

DEBIAN = "apt-get install"


class Need(NamedTuple):
    """A program that some command starts."""

    program: str
    package: str
    """Debian's name for it."""
    used_by: str
    at_least: tuple[int, ...] = ()
    version: str = "--version"
    """The argument that makes it print its version."""


NEEDS = (
    Need("git", "git", "make test, make dist"),
    Need("node", "nodejs", "make test, make docs, make lumiere, make dist", (20,)),
    Need("npm", "npm", "make test, make docs, make lumiere, make dist"),
    Need("redis-server", "redis-server", "make test", (7, 0)),
    Need("chromium", "chromium", "make test"),
    Need("promtool", "prometheus", "make test"),
    Need("nginx", "nginx", "make test"),
    Need("systemd-analyze", "systemd", "make test"),
)
PYTHON = (3, 11)


def printed(command: list[str]) -> str:
    """What a program prints; nothing when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def fault(
    need: Need,
    where: Callable[[str], str | None] = shutil.which,
    says: Callable[[list[str]], str] = printed,
) -> str | None:
    """Why a program cannot be used, as a sentence that says what to do; None when it can."""
    if where(need.program) is None:
        return f"{need.program} is missing: {DEBIAN} {need.package}"
    if need.at_least:
        found = re.search(r"\bv?=?(\d+(?:\.\d+)+)", says([need.program, need.version]))
        numbers = tuple(map(int, found[1].split("."))) if found else ()
        if numbers < need.at_least:
            wanted = ".".join(map(str, need.at_least))
            came = found[1] if found else "a version that it does not say"
            return f"{need.program} is {came}: it must be {wanted} or newer"
    return None


def python_faults() -> list[str]:
    """What this Python lacks."""
    faults = []
    if sys.version_info < PYTHON:
        faults.append(f"Python is {sys.version.split()[0]}: say a newer one with make PYTHON=python3.12")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        faults.append(f"Python cannot make virtual environments: {DEBIAN} python3-venv")
    if not sys.platform.startswith("linux"):
        faults.append(f"The server runs on Linux, and this is {sys.platform}: use a container")
    return faults


def main(arguments: list[str]) -> int:
    if arguments:
        return check(arguments[1:], only_packages=arguments[0] == "--missing")
    faults = python_faults()
    print(f"python          {'; '.join(faults) or sys.version.split()[0]}")
    for need in NEEDS:
        found = fault(need)
        faults += [found] if found else []
        print(f"{need.program:15} {found or 'ok':55} {need.used_by}")
    if missing := packages(NEEDS):
        print(f"\nOn Debian, as root: {DEBIAN} {missing}\n`make test` as root does that by itself.")
    elif not faults:
        print("\nNothing is missing.")
    return 1 if faults else 0


def packages(needs: Iterable[Need]) -> str:
    """Debian's names of what cannot be used, for a command line."""
    return " ".join(need.package for need in needs if fault(need))


def check(programs: list[str], only_packages: bool) -> int:
    """For the Makefile: print the packages of these programs that are missing, or what is wrong with them."""
    needs = [need for need in NEEDS if need.program in programs]
    if only_packages:
        print(packages(needs))
        return 0
    faults = [found for need in needs if (found := fault(need))]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
