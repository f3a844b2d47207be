"""Versions: of what exactly was measured."""

import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import nchan

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "websockets", "pydantic", "pyjwt")


def versions() -> dict[str, str]:
    """By name, as far as each is here."""
    lock = (_ROOT / "requirements-bench.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", lock, re.MULTILINE))
    found = {"Courier": _said(["git", "-C", str(_ROOT), "describe", "--always", "--dirty"])}
    found["FastAPI hub"] = ", ".join(f"{name} {pinned[name]}" for name in _PACKAGES if name in pinned)
    if shutil.which("node") is not None:
        package = (_ROOT / "benchmarks/peers/node_hub/package.json").read_text(encoding="utf-8")
        ws = re.search(r'"ws": "([^"]+)"', package)
        found["Node ws hub"] = f"Node {_said(['node', '--version'])}, ws {ws[1] if ws else '?'}"
    if (programs := nchan.programs()) is not None:
        found["nginx + nchan"] = _said([programs[0], "-v"]).removeprefix("nginx version: ")
    return found


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return (done.stdout or done.stderr).strip() or "unknown"
