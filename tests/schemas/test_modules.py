"""Event models of a user's own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier.schemas import RegistryError, default_registry, registry_for

Write = Callable[[str, str], str]

HEAD = """
from typing import Annotated, Any, Literal
from pydantic import ConfigDict, Field, computed_field
from courier.schemas import Event, JsonObject
from courier.lumiere.prophet import MessageChunk
"""

GOOD = """
class AcmeEvent(Event):
    shop: str

class OrderShipped(AcmeEvent):
    type: Literal["acme.order_shipped"]
    facts: JsonObject
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported until the test ends."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> str:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + text)
        return name

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_the_events_of_a_module_join_the_built_in_ones(write: Write) -> None:
    registry = registry_for(["courier.lumiere", write("acme_events", GOOD)])
    assert registry.types == default_registry().types | {"acme.order_shipped"}
    event = registry.parse(
        b'{"type":"acme.order_shipped","source":"acme","timestamp":"2026-01-01T00:00:00Z","shop":"x","facts":{}}'
    )
    assert registry.encode(event) == (
        b'{"type":"acme.order_shipped","source":"acme","timestamp":"2026-01-01T00:00:00Z","shop":"x","facts":{}}'
    )


def test_a_package_may_pass_on_the_events_of_its_own_modules_and_be_named_beside_them(write: Write) -> None:
    write("acme.orders", GOOD)
    write("acme.__init__", "from acme.orders import OrderShipped")
    registry = registry_for(["courier.lumiere", "acme", "acme.orders", "acme"])
    assert registry.types == default_registry().types | {"acme.order_shipped"}


def test_a_base_that_says_nothing_of_its_type_is_no_event(write: Write) -> None:
    text = (
        "class Base(Event):\n    order_id: str\nclass Shipped(Base):\n    type: Literal['acme.shipped_2']\n"
    )
    assert registry_for(["courier.lumiere", write("acme_based", text)]).types == default_registry().types | {
        "acme.shipped_2"
    }


def test_a_model_may_have_several_types_and_postponed_annotations(write: Write) -> None:
    text = "class Switched(Event):\n    type: \"Literal['acme.on', 'acme.off']\"\n    by: \"JsonObject\"\n"
    assert registry_for(["courier.lumiere", write("acme_switch", text)]).types > {"acme.on", "acme.off"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'acme_bad' declares nothing"),
        ("class Base(Event): ...", "'acme_bad' declares nothing"),
        ("raise OSError('a\\nb')", "'acme_bad' cannot be imported: OSError: a b"),
        (
            "class X(Event):\n    type: Literal['prophet.error']",
            "acme_bad.X has the type 'prophet.error', as has",
        ),
        (
            "class X(Event):\n    type: Literal['x']\nclass Y(Event):\n    type: Literal['y', 'x']",
            "acme_bad.Y has the type 'x', as has acme_bad.X",
        ),
        ("class X(Event):\n    type: Literal['x']\n    id: str", "acme_bad.X has a field 'id'"),
        ("class X(Event):\n    type: Literal['x']\n    channel: str", "acme_bad.X has a field 'channel'"),
        (
            "class X(Event):\n    type: Literal['x']\n    a: str = Field(alias='id')",
            "acme_bad.X has a field 'id'",
        ),
        (
            "class X(Event):\n    type: Literal['x']\n    a: str = Field(serialization_alias='id')",
            "acme_bad.X has a field 'id'",
        ),
        (
            "class X(Event):\n    type: Literal['x']\n    @computed_field\n    def id(self) -> int: ...",
            "acme_bad.X has a field 'id'",
        ),
        (
            "class X(Event):\n    type: Literal['courier.gap']",
            "acme_bad.X has a type that begins with 'courier.'",
        ),
        ("class X(Event):\n    type: Literal['']", "acme_bad.X has the type '': expected words of a-z, 0-9"),
        ("class X(Event):\n    type: Literal[1]", "acme_bad.X has the type 1: expected words of a-z, 0-9"),
        (
            "class X(Event):\n    type: Literal['Acme Order!']",
            "acme_bad.X has the type 'Acme Order!': expected",
        ),
        ("class X(Event):\n    type: Literal['acme..x']", "acme_bad.X has the type 'acme..x': expected"),
        ("class X(Event):\n    type: Literal['acme.x\\n']", "acme_bad.X has the type 'acme.x\\n': expected"),
        ("class X(Event):\n    type: Literal['" + "x" * 129 + "']", "acme_bad.X has the type 'xxx"),
        (GOOD + "class X(Event):\n    type: str", "acme_bad.X needs a literal type, such as"),
        (GOOD + "class X(Event):\n    type: str = 'acme.x'", "acme_bad.X needs a literal type, such as"),
        (GOOD + "class X(OrderShipped):\n    type: str", "acme_bad.X needs a literal type, such as"),
        (
            "class X(Event):\n    type: Annotated[str, Field(pattern='x')] | None",
            "acme_bad.X needs a literal type",
        ),
        (
            "class X(Event):\n    type: Literal['x']\n    a: 'Nowhere'",
            "acme_bad.X names a type that is not defined",
        ),
        (
            "class X(Event, extra='allow'):\n    type: Literal['x']",
            "acme_bad.X does not refuse unknown fields",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_named_in_one_sentence(
    write: Write, text: str, sentence: str
) -> None:
    with pytest.raises(RegistryError) as refusal:
        registry_for(["courier.lumiere", write("acme_bad", text)])
    assert str(refusal.value).startswith(sentence)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["acme_nowhere", "", ".events", "acme nowhere"])
def test_a_module_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(RegistryError, match=r"cannot be imported") as refusal:
        registry_for([name])
    assert str(refusal.value).startswith(repr(name))
