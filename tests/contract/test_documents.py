"""Every example in README and docs is as the contract says, and a server takes what they publish."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from courier.schemas import Event, Registry
from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import default_registry
from tests.web.messages import closed
from tests.web.servers import a_server

ROOT = Path(__file__).parent.parent.parent
WRITTEN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DATA = re.compile(r"/publish/(\S+).*?X-Service-Name: (\w+).*?(?:-d|--data-binary) '(.*?)'", re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """The blocks of a language in all documents, and which document each is of."""
    return [
        (path.name, text)
        for path in WRITTEN
        for named, text in _FENCE.findall(path.read_text(encoding="utf-8"))
        if named == language
    ]


def schema_of(example: dict[str, Any]) -> str:
    """Which schema an example is of, by the fields that only it has."""
    if str(example.get("type", "")).startswith("courier."):
        return "CourierRefresh" if example["type"] == "courier.refresh" else "ControlMessage"
    for field, name in (
        ("results", "BatchReceipt"),
        ("failures", "StreamReceipt"),
        ("event_type", "Receipt"),
        ("detail", "Refusal"),
        ("events", "History"),
        ("id", "DeliveredEvent"),
        ("type", "CourierEvent"),
    ):
        if field in example:
            return name
    raise AssertionError(f"an example of nothing in the contract: {example}")


@pytest.mark.parametrize(("document", "text"), blocks("json"))
def test_every_json_example_is_as_its_schema_says(document: str, text: str, bundle: Schema) -> None:
    example = json.loads(text.replace("[…]", "[]"))  # what is left out
    schemas = closed(bundle["$defs"])
    whole = {"$ref": f"#/$defs/{schema_of(example)}", "$defs": schemas}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)


def test_there_are_examples() -> None:
    assert len(blocks("json")) >= 10
    assert len(_published()) >= 1


def _published() -> list[tuple[str, str, str]]:
    """Channel, service and body of what the documents publish by curl."""
    return [found for _, text in blocks("console") for found in _DATA.findall(text)]


async def test_what_the_documents_publish_is_taken_by_a_server() -> None:
    async with a_server() as server:
        for channel, service, body in _published():
            response = await server.publish(channel, body.encode(), service=service)
            assert response.status == 200, response.body


def test_the_models_in_the_documents_can_be_published() -> None:
    examples = [text for _, text in blocks("python") if "(Event)" in text]
    assert examples
    for text in examples:
        names: dict[str, Any] = {"__name__": "acme.events"}
        exec(text, names)
        models = [
            each
            for each in names.values()
            if isinstance(each, type) and issubclass(each, Event) and each is not Event
        ]
        registry = Registry([*default_registry().models.values(), *models])
        assert len(registry.types) > len(default_registry().types)
