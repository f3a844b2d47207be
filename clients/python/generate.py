"""Writes courier_client/events.py from Courier's models: `python clients/python/generate.py`, or `make
client`."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import MISSING, AwareDatetime
from pydantic.fields import FieldInfo

from courier.schemas.events.base import Event
from courier.schemas.registry import default_registry

TARGET = Path(__file__).parent / "courier_client" / "events.py"

HEADER = '''"""Events: for each type the shape of its data, and a helper that gives what `publish` takes.

    await courier.publish(*events.system_announcement(title="…", message="…", severity="info"))

By place, a helper takes an event's fields in the order of docs/protocol.md.

Generated from Courier's models by generate.py: do not edit.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict
'''

_PLAIN: dict[Any, str] = {str: "str", int: "int", float: "float", bool: "bool"}


@dataclass(frozen=True)
class Field:
    """A field of an event: how a helper takes it, and how it stands in the data."""

    name: str
    taken: str
    shape: str
    default: str | None
    """None for a field that must be given."""
    value: str

    @property
    def optional(self) -> bool:
        """Whether it stays out of the data when it is not given."""
        return self.default == "None"

    @property
    def parameter(self) -> str:
        optional = f"{self.taken} | None" if self.optional else self.taken
        return f"{self.name}: {optional}" + ("" if self.default is None else f" = {self.default}")


def render() -> str:
    """The module, formatted."""
    models = default_registry().models
    parts = [HEADER, *(_event(event_type, model) for event_type, model in models.items())]
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(command, input="\n\n".join(parts), capture_output=True, text=True, check=True)
    return done.stdout


def _event(event_type: str, model: type[Event]) -> str:
    fields = [
        _field(name, info) for name, info in model.model_fields.items() if name not in Event.model_fields
    ]
    # As docs/protocol.md has them, for they may be given by place: what may be left out comes last.
    fields.sort(key=lambda field: (field.default is not None, field.name != "backtest_id"))
    return f"{_shape(model, fields)}\n\n\n{_helper(event_type, model, fields)}"


def _shape(model: type[Event], fields: list[Field]) -> str:
    lines = [
        f"    {one.name}: " + (f"NotRequired[{one.shape}]" if one.optional else one.shape) for one in fields
    ]
    return "\n".join([f"class {model.__name__}(TypedDict):", f'    """{model.__doc__}"""', "", *lines])


def _helper(event_type: str, model: type[Event], fields: list[Field]) -> str:
    channel, channels_own = _channel(event_type, fields)
    parameters = ", ".join([*channels_own, *(one.parameter for one in fields)])
    data = ", ".join(f'"{one.name}": {one.value}' for one in fields if not one.optional)
    lines = [
        f"def {event_type.replace('.', '_')}({parameters})"
        f' -> tuple[str, Literal["{event_type}"], {model.__name__}]:',
        f'    """{model.__doc__}"""',
        f"    data: {model.__name__} = {{{data}}}",
    ]
    for one in fields:
        if one.optional:
            lines += [f"    if {one.name} is not None:", f'        data["{one.name}"] = {one.value}']
    return "\n".join([*lines, f'    return {channel}, "{event_type}", data'])


def _channel(event_type: str, fields: list[Field]) -> tuple[str, list[str]]:
    """Where the event goes, and what only that needs: an event of the system to all, any other to its
    user."""
    if event_type.startswith("system."):
        return '"global"', []
    named = any(one.name == "user_id" for one in fields)
    return 'f"user.{user_id}"', [] if named else ["user_id: str"]


def _field(name: str, info: FieldInfo) -> Field:
    annotation = _without_missing(info.annotation)
    default, value = None if info.is_required() else "None", name
    taken = shape = _PLAIN.get(annotation, "")
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        taken = shape = f"Literal[{', '.join(map(_quoted, choices))}]"
        if len(choices) == 1:
            default = _quoted(choices[0])
    elif annotation is AwareDatetime:
        taken, shape, value = "datetime", "str", f"{name}.isoformat()"
    elif get_origin(annotation) is dict:
        taken = shape = "Mapping[str, Any]"
    if not taken:
        raise TypeError(f"{name}: generate.py does not know {annotation}")
    return Field(name, taken, shape, default, value)


def _without_missing(annotation: Any) -> Any:
    """The type of a field that may be left out."""
    kinds = [one for one in get_args(annotation) if one is not MISSING]
    while MISSING in get_args(annotation):
        [annotation] = kinds
    return annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation


def _quoted(text: str) -> str:
    return f'"{text}"'


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
