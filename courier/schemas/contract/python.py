"""Python: for each event the shape of its data, and a typed helper that gives what `publish` takes."""

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import MISSING, AwareDatetime
from pydantic.fields import FieldInfo

from courier.schemas.contract.bundle import pascal
from courier.schemas.events.base import Event
from courier.version import VERSION

HEADER = f'''"""Events: for each type the shape of its data, and a helper that gives what `publish` takes.

    await courier.publish(*events.system_announcement(title="…", message="…", severity="info"))

Made by `courier contract python` of Courier {VERSION}: do not edit.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict
'''

_PLAIN: dict[Any, str] = {str: "str", int: "int", float: "float", bool: "bool"}

Where = tuple[str, list[str]]
"""An expression for the channel, and the parameters that only it needs."""


@dataclass(frozen=True)
class Field:
    """A field of an event: how a helper takes it, and how it stands in the data."""

    name: str
    key: str
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


def own_channel(event_type: str, fields: list[Field]) -> Where:
    """An event of the system goes to all, one with a user to that user, any other to the given channel."""
    if event_type.startswith("system."):
        return '"global"', []
    if any(one.name == "user_id" for one in fields):
        return 'f"user.{user_id}"', []
    return "channel", ["channel: str"]


def python(
    models: Mapping[str, type[Event]],
    where: Callable[[str, list[Field]], Where] = own_channel,
    first: str = "",
    header: str = HEADER,
) -> str:
    """A module without imports of Courier, for these models by type; lines are as long as they are.

    By place, a helper takes the fields in their order, `first` before all others, what may be left out last.
    A type that cannot be said here is `Any`: the node judges it.
    """
    parts, taken = [header], set[str]()
    for event_type, model in models.items():
        name = model.__name__ if model.__name__ not in taken else pascal(event_type)
        taken.add(name)
        function = _function(event_type)
        while function in taken:
            function += "_"
        taken.add(function)
        parts.append(_event(event_type, model, (name, function), where, first))
    return "\n\n".join(parts)


def _event(
    event_type: str,
    model: type[Event],
    names: tuple[str, str],
    where: Callable[[str, list[Field]], Where],
    first: str,
) -> str:
    fields = [
        _field(field, info) for field, info in model.model_fields.items() if field not in Event.model_fields
    ]
    fields.sort(key=lambda field: (field.default is not None, field.name != first))
    return f"{_shape(model, names[0], fields)}\n\n\n{_helper(event_type, model, names, fields, where)}\n"


def _shape(model: type[Event], name: str, fields: list[Field]) -> str:
    rows = {one.key: f"NotRequired[{one.shape}]" if one.optional else one.shape for one in fields}
    if all(key.isidentifier() and not keyword.iskeyword(key) for key in rows):
        lines = [f"    {key}: {shape}" for key, shape in rows.items()] or ["    pass"]
        return "\n".join([f"class {name}(TypedDict):", f'    """{_about(model)}"""', "", *lines])
    pairs = ", ".join(f"{_quoted(key)}: {shape}" for key, shape in rows.items())
    return f"{name} = TypedDict({_quoted(name)}, {{{pairs}}})"


def _helper(
    event_type: str,
    model: type[Event],
    names: tuple[str, str],
    fields: list[Field],
    where: Callable[[str, list[Field]], Where],
) -> str:
    name, function = names
    channel, channels_own = where(event_type, fields)
    parameters = ", ".join([*channels_own, *(one.parameter for one in fields)])
    data = ", ".join(f"{_quoted(one.key)}: {one.value}" for one in fields if not one.optional)
    lines = [
        f'def {function}({parameters}) -> tuple[str, Literal["{event_type}"], {name}]:',
        f'    """{_about(model)}"""',
        f"    data: {name} = {{{data}}}",
    ]
    for one in fields:
        if one.optional:
            lines += [f"    if {one.name} is not None:", f"        data[{_quoted(one.key)}] = {one.value}"]
    return "\n".join([*lines, f'    return {channel}, "{event_type}", data'])


def _function(event_type: str) -> str:
    name = event_type.replace(".", "_")
    if not name.isidentifier():
        return f"event_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def _about(model: type[Event]) -> str:
    """What a model says of itself, fit for a docstring."""
    text = re.sub(r"\s+", " ", (model.__doc__ or f"An event of {model.__name__}.").strip())
    return text.replace("\\", "\\\\").replace('"', "'")


def _field(name: str, info: FieldInfo) -> Field:
    annotation = _without_missing(info.annotation)
    key, default = info.alias or name, None if info.is_required() else "None"
    name = f"{name}_" if name in ("channel", "data") else name  # which a helper has for itself
    value = name
    taken = shape = _PLAIN.get(annotation, "")
    origin = get_origin(annotation)
    if origin is Literal and all(isinstance(each, str) for each in get_args(annotation)):
        choices = get_args(annotation)
        taken = shape = f"Literal[{', '.join(map(_quoted, choices))}]"
        if len(choices) == 1:
            default = _quoted(choices[0])
    elif annotation is AwareDatetime:
        taken, shape, value = "datetime", "str", f"{name}.isoformat()"
    elif origin is dict:
        taken = shape = "Mapping[str, Any]"
    elif origin in (list, tuple, set, frozenset):
        taken = shape = "Sequence[Any]"
    return Field(name, key, taken or "Any", shape or "Any", default, value)


def _without_missing(annotation: Any) -> Any:
    """The type of a field that may be left out."""
    kinds = [one for one in get_args(annotation) if one is not MISSING]
    while MISSING in get_args(annotation):
        if len(kinds) != 1:
            return Any
        [annotation] = kinds
    return annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
