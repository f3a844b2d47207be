"""Tag: fails unless a release's tag names the version of every package. It needs nothing but Python."""

import json
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = ("pyproject.toml", "clients/python/pyproject.toml")
NPM = "clients/typescript/package.json"


def versions() -> dict[str, str]:
    """The version of each package, by the file that says it."""
    found = {
        file: tomllib.loads((ROOT / file).read_text(encoding="utf-8"))["project"]["version"]
        for file in PYTHON
    }
    found[NPM] = json.loads((ROOT / NPM).read_text(encoding="utf-8"))["version"]
    return found


def main(tag: str) -> None:
    wrong = {file: version for file, version in versions().items() if f"v{version}" != tag}
    if wrong:
        sys.exit(
            f"The tag is {tag}, but: " + ", ".join(f"{file} says {each}" for file, each in wrong.items())
        )


if __name__ == "__main__":
    main(sys.argv[1])
