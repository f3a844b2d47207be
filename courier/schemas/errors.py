"""Errors: why a body holds no event, in sentences that its sender may read.

None of them repeats what was sent, except the names of fields, shortened.
"""

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from courier.schemas.exact import losses

Location = tuple[int | str, ...]

_ERRORS_SHOWN = 50
_ERRORS_READ = 1000
_PATH_SHOWN = 1024
_NAME_SHOWN = 128
_LEVELS = 200  # what pydantic's parser allows

_WHAT_CAME = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class JsonError(ValueError):
    """A body that is no JSON object; its message says what was expected and what came."""


class NotJsonError(JsonError):
    """A body that is no JSON at all, or not in UTF-8."""


class SchemaError(ValueError):
    """A JSON object that is no event; `errors` says where and why, and can always be written as JSON.

    Each error is `{"loc": […], "msg": …, "type": …}`, `loc` seen from the event; the first 50 are kept.
    `event_type` is the type that it says it is, if there is a model of it, else empty; `channel` is the name
    of the channel that it was for, once that is known, else empty.
    """

    def __init__(self, errors: list[dict[str, Any]], event_type: str = "") -> None:
        super().__init__("Invalid event schema")
        self.errors = errors
        self.event_type = event_type
        self.channel = ""

    @property
    def fields(self) -> list[str]:
        """The names of the fields that are wrong, each once; what is below a field counts as the field."""
        return list(dict.fromkeys(str(error["loc"][0]) for error in self.errors if error["loc"]))


class TooManyEvents(ValueError):
    """A batch of more events than one may hold."""


class RegistryError(ValueError):
    """Models that cannot be published together; its message names the module at fault."""


def details_of(error: ValidationError) -> list[ErrorDetails]:
    """What is wrong, fault by fault; nothing when there are so many that to list them takes long."""
    return error.errors(include_url=False) if error.error_count() <= _ERRORS_READ else []


def json_error(details: list[ErrorDetails], body: bytes) -> JsonError | None:
    """The error of a body that is no JSON object, or None if it is one and its fields are at fault."""
    if not details:
        return None
    first = details[0]
    if first["type"] == "json_invalid":
        return NotJsonError(_why_no_json(body, first["ctx"]["error"]))
    if not first["loc"] and first["type"] in ("dict_type", "model_type"):
        return JsonError(f"Expected a JSON object, got {_WHAT_CAME[type(first['input'])]}")
    return None


class _Object(BaseModel):
    """Any JSON object; what it holds is not even made."""


def batch_error(body: bytes) -> JsonError:
    """What is wrong with a body that is no `{"events": […]}`."""
    if body.lstrip(b" \t\r\n").startswith(b"["):
        return JsonError(f"Expected a JSON object, got {_WHAT_CAME[list]}")
    try:
        _Object.model_validate_json(body)
    except ValidationError as error:
        if refusal := json_error(details_of(error), body):
            return refusal
    return JsonError('Expected {"events": [{"channel", "data"}, …]} and no other field')


def _why_no_json(body: bytes, found: str) -> str:
    if not body.strip():
        return "Expected a JSON object, got an empty body"
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"Expected JSON in UTF-8, got a byte that is not, at position {error.start}"
    if found.startswith("recursion limit"):
        return f"Expected JSON nested at most {_LEVELS} levels deep, got more"
    if "surrogate" in found or "hex escape" in found:
        return f"Expected whole characters, got half a surrogate pair (RFC 8259 section 8.2): {found}"
    return f"Expected JSON (RFC 8259), got something else: {found}"


def schema_error(details: list[ErrorDetails], root: Location, types: str) -> SchemaError:
    """What is wrong with the event at `root`, told as if it lay alone; `types` lists the known ones."""
    if not details:
        return SchemaError(
            [{"loc": [], "msg": f"More than {_ERRORS_READ} faults", "type": "too_many_faults"}]
        )
    return SchemaError(
        [_as_seen_from(root, detail, types) for detail in details[:_ERRORS_SHOWN]],
        next((type_ for detail in details if (type_ := _type_at(root, detail))), ""),
    )


def loss_error(tree: Any, root: Location, event_type: str) -> SchemaError | None:
    """What would be lost of a `tree`, told as if the event at `root` lay alone; None when nothing would."""
    errors = [
        {
            "loc": _shown(loss.loc[len(root) :] if loss.loc[: len(root)] == root != loss.loc else loss.loc),
            "msg": loss.msg,
            "type": loss.type,
        }
        for loss in losses(tree, _ERRORS_SHOWN)
    ]
    return SchemaError(errors, event_type) if errors else None


def _shown(loc: Location) -> list[int | str]:
    shown: list[int | str] = []
    left = _PATH_SHOWN
    for step in loc:
        shown.append(step[:_NAME_SHOWN] if isinstance(step, str) else step)
        left -= len(str(shown[-1]))
        if left < 0:
            break
    return shown


def _as_seen_from(root: Location, detail: ErrorDetails, types: str) -> dict[str, Any]:
    loc, message = detail["loc"], detail["msg"]
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        loc, message = ("type",), f"Input should be one of {types}"
    elif len(loc) > len(root) and loc[: len(root)] == root:
        loc = loc[len(root) + 1 :]  # without the event's type, which pydantic puts between
    return {"loc": _shown(loc), "msg": message, "type": detail["type"]}


def _type_at(root: Location, detail: ErrorDetails) -> str:
    """The type of the model that was chosen, which pydantic puts behind the event's own place."""
    loc = detail["loc"]
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found") or len(loc) <= len(root):
        return ""
    return str(loc[len(root)]) if loc[: len(root)] == root else ""
