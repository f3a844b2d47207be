"""What stands under deploy/, read."""

from configparser import ConfigParser
from pathlib import Path
from typing import Any

import yaml

from courier.settings import Settings, variable

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

SETTINGS = frozenset(map(variable, Settings.model_fields))

AFTERWARDS_SECONDS = 5
"""What a node may take after its drain: the last words of subscribers, and HTTP's end."""


def read_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def read_unit(name: str) -> dict[str, dict[str, str]]:
    """The sections of a unit; of a setting that comes twice, the last."""
    parser = ConfigParser(strict=False, interpolation=None, comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / name, encoding="utf-8")
    return {section: dict(parser[section]) for section in parser.sections()}
