"""Dist: builds what would be published, and uses each piece as a stranger would, in an empty environment.

One line a check, and exit code 1 with what was said at the first that fails. The pieces stay in `dist/`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import NamedTuple

from tools.commands import ENVIRONMENT, Failed, get, must, ok, run

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
TRIALS = ROOT / "tools" / "trials"
TYPESCRIPT = ROOT / "clients" / "typescript"
LARGEST_BYTES = 1024 * 1024


EVENT = {"type": "system.announcement", "source": "shop", "title": "t", "message": "m", "severity": "info"}


class Package(NamedTuple):
    """A Python package of this repository."""

    folder: Path
    name: str
    """As wheels and sdists spell it."""
    module: str
    also: tuple[str, ...] = ()
    """What its sdist has beside what every one has."""


PACKAGES = (
    Package(ROOT, "courier_bus", "courier"),
    Package(ROOT / "clients" / "python", "courier_client", "courier_client", ("examples",)),
)
EVERY_SDIST = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}


class Node(NamedTuple):
    """A running server, and a position before its first event."""

    url: str
    token: str
    since: str


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix="courier-dist-") as folder:
            build_and_try(Path(folder))
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        print(f"FAIL {error}", file=sys.stderr)
        sys.exit(1)


def build_and_try(work: Path) -> None:
    for package in PACKAGES:
        run(sys.executable, "-m", "build", "--outdir", DIST, package.folder, cwd=work)
    run("npm", "run", "build", "--silent", cwd=TYPESCRIPT)
    run("npm", "pack", "--silent", "--pack-destination", DIST, cwd=TYPESCRIPT)
    courier, courier_sdist, client, client_sdist = (
        one(f"{package.name}-*{end}") for package in PACKAGES for end in (".whl", ".tar.gz")
    )
    tarball = one("courier-client-*.tgz")
    for package, wheel, sdist in zip(PACKAGES, (courier, client), (courier_sdist, client_sdist), strict=True):
        check_contents(package, wheel, sdist)
    run(
        sys.executable,
        "-m",
        "twine",
        "check",
        "--strict",
        courier,
        courier_sdist,
        client,
        client_sdist,
        cwd=work,
    )
    ok("twine", "metadata is complete, and each README renders")

    with try_courier(courier_sdist, work):
        pass
    with try_courier(courier, work) as node:
        try_client(client_sdist, work, node, "asyncio")
        try_client(client, work, node, "asyncio", "trio")
        try_typescript(tarball, work, node)
    venv = environment_of(f"{courier}[sentry]", work / "sentry")
    run(venv / "python", "-c", "import sentry_sdk, courier.web", cwd=work)
    ok(courier.name, "courier[sentry] can be installed")


def check_contents(package: Package, wheel: Path, sdist: Path) -> None:
    """Both hold the package as git has it; the sdist what it is made of too, and neither anything else."""
    tracked = set(run("git", "ls-files", package.module, *package.also, cwd=package.folder).split())
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    compare(wheel, packed, {name for name in tracked if name.startswith(f"{package.module}/")})
    with tarfile.open(sdist) as tar:
        packed = {member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()}
    compare(sdist, packed, tracked | EVERY_SDIST)


def compare(piece: Path, found: set[str], expected: set[str]) -> None:
    size = piece.stat().st_size
    if found != expected or size > LARGEST_BYTES:
        raise Failed(f"{piece.name}: {size} bytes, differs from git in {sorted(found ^ expected)}")
    ok(piece.name, f"holds {len(found)} files, {size // 1024} KiB, and nothing that git does not have")


@contextmanager
def try_courier(piece: Path, work: Path) -> Iterator[Node]:
    """The server of this piece, while others use it; then it must drain."""
    venv = environment_of(piece, work / piece.name)
    courier = venv / "courier"
    version = run(courier, "--version", cwd=work)
    must(piece, piece.name.startswith(f"courier_bus-{version.split()[-1]}"), version)
    must(piece, "COURIER_ENV=development" in (said := run(courier, "check", cwd=work)), said)
    document = json.loads(run(courier, "contract", "openapi", cwd=work))
    must(piece, document["openapi"].startswith("3.1"), document["openapi"])
    ok(piece.name, f"courier {version.split()[-1]}: --version, check, contract openapi")
    command: list[str | Path] = [courier, "serve", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=work, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield use_node(piece, courier, address(process), work)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    if process.returncode != 0:
        raise Failed(f"{piece.name}: exit code {process.returncode} after SIGTERM: {said}")
    ok(piece.name, "SIGTERM drains, exit code 0")


def address(process: "subprocess.Popen[str]") -> str:
    """Where it listens, as soon as it does."""
    assert process.stderr
    said = ""
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
        said += line
    raise Failed(f"courier serve: {said}")


def use_node(piece: Path, courier: Path, url: str, work: Path) -> Node:
    """What a user does with the command line and a browser."""
    event = work / "event.json"
    event.write_text(json.dumps(EVENT))
    token = run(courier, "token", "user", "alice", cwd=work).split()[-1]
    mine = ["--url", url, "--token", token, "--json"]
    run(courier, "publish", "user.alice", event, "--url", url, cwd=work)
    published = json.loads(run(courier, "history", "user.alice", *mine, cwd=work).splitlines()[-1])
    must(piece, published["title"] == EVENT["title"], str(published))
    since = re.sub(r"\d+$", "0", published["id"])
    command: list[str | Path] = [courier, "subscribe", "user.alice", "--since", since, *mine]
    with subprocess.Popen(command, cwd=work, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        late = Timer(30, process.kill)
        late.start()
        heard = any(json.loads(line).get("id") == published["id"] for line in process.stdout)
        late.cancel()
        process.terminate()
    must(piece, heard, "courier subscribe ended without the event")
    ok(piece.name, "serve; publish, history, subscribe")
    for page in ("/admin", "/docs"):
        html = get(url + page)
        files = re.findall(r'(?:href|src)="(/[^"]+\.(?:js|css|svg))"', html)
        must(piece, len(files) >= 2 and all(get(url + file) for file in files), html)
        ok(piece.name, f"{page} and its {len(files)} files")
    must(piece, "courier_" in (said := get(f"{url}/metrics")), said)
    ok(piece.name, "/metrics")
    return Node(url, token, since)


def try_client(piece: Path, work: Path, node: Node, *loops: str) -> None:
    extra = "[trio]" if "trio" in loops else ""
    venv = environment_of(f"{piece}{extra}", work / piece.name)
    for loop in loops:
        script = TRIALS / "publish_and_subscribe.py"
        said = run(venv / "python", "-I", script, node.url, node.token, loop, cwd=work)
        must(piece, "strategy.paused" in said, said)
        ok(piece.name, f"publishes and subscribes on {loop}")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", os.devnull]
    shutil.copy(TRIALS / "typed.py", work)
    run(*mypy, "--python-executable", venv / "python", "typed.py", cwd=work)
    ok(piece.name, "mypy --strict knows its types, and a wrong one")


def try_typescript(piece: Path, work: Path, node: Node) -> None:
    project = work / "project"
    project.mkdir()
    for file in ("subscribe.mjs", "typed.ts"):
        shutil.copy(TRIALS / file, project)
    wanted = json.loads((TYPESCRIPT / "package.json").read_text())["devDependencies"]
    run("npm", "init", "--yes", "--silent", cwd=project)
    others = [f"{name}@{wanted[name]}" for name in ("ws", "typescript")]
    run("npm", "install", "--silent", "--no-audit", "--no-fund", piece, *others, cwd=project)
    said = run("node", "subscribe.mjs", node.url, node.token, node.since, cwd=project)
    must(piece, json.loads(said)["title"] == EVENT["title"], said)
    ok(piece.name, "an ESM script in Node gets an event")
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]
    run("npx", "tsc", *options, "typed.ts", cwd=project)
    ok(piece.name, "tsc --strict knows its types, and a wrong one")


def environment_of(piece: Path | str, folder: Path) -> Path:
    """The programs of a new virtual environment that has this piece, and what it asks for."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    venv = folder / "bin"
    run(venv / "pip", "install", "--quiet", "--disable-pip-version-check", piece, cwd=folder)
    run(venv / "pip", "check", cwd=folder)
    return venv


def one(pattern: str) -> Path:
    [found] = DIST.glob(pattern)
    return found


if __name__ == "__main__":
    main()
