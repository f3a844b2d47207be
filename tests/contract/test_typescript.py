"""The contract as TypeScript."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from courier.schemas.contract import json_schema, typescript
from courier.schemas.contract.shapes import Schema
from courier.schemas.contract.typescript import type_of
from courier.schemas.registry import Registry
from tests.contract.conftest import NODE
from tests.contract.test_documents import blocks


def compiler(node_modules: Path, directory: Path, *names: str) -> str:
    """What `tsc --strict` says of the modules; nothing when they are good."""
    options = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022", "--module", "esnext"]
    told = subprocess.run(
        ["node", node_modules / "typescript" / "bin" / "tsc", *options, *names],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (told.returncode == 0) == (told.stdout == "")
    return told.stdout + told.stderr


def test_it_compiles_and_finds_what_is_wrong(
    bundle: Schema, acme_bundle: Schema, node_modules: Path, tmp_path: Path
) -> None:
    # An error that is expected is one only while the types are right: with one field more, it is missed.
    wider = typescript(bundle).replace("  progress: number;", "  progress: number;\n  percentage: number;", 1)
    [written] = [
        text for document, text in blocks("ts") if document == "contract.md"
    ]  # others need the client
    modules = {
        "courier.ts": typescript(bundle),
        "acme.ts": typescript(acme_bundle),
        "types.ts": (NODE / "types.ts").read_text(encoding="utf-8"),
        "wider/courier.ts": wider,
        "wider/types.ts": (NODE / "types.ts").read_text(encoding="utf-8"),
        "written.ts": written,
    }
    for name, text in modules.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    told = compiler(node_modules, tmp_path, *modules)
    assert re.search(
        r"^wider/types\.ts\(\d+,7\): error TS2578: Unused '@ts-expect-error'", told, re.MULTILINE
    )
    assert [line for line in told.splitlines() if not line.startswith("wider/")] == []


def test_it_is_the_same_text_each_time(registry: Registry, bundle: Schema) -> None:
    assert typescript(json_schema(Registry(registry.models.values(), registry.kinds))) == typescript(bundle)


def test_a_users_own_models_read_as_a_person_would_write_them(acme_bundle: Schema) -> None:
    text = typescript(acme_bundle)
    [order] = re.findall(
        r"export interface AcmeOrderShipped extends EventBase \{\n(.*?)\n\}", text, re.DOTALL
    )
    assert "  /** Which one. Uuid. */\n  order_number: string;" in order
    assert "  to: DeliveredAddress;" in order
    assert "  colour: Colour;" in order
    assert "  by: Card | Cash;" in order
    assert "  /** At most 50, more than 0, a multiple of 0.5. */\n  weight: number;" in order
    assert "  notes: string | null;" in order
    assert "  /** Default null. */\n  gift: string | null;" in order
    assert "  /** 1 to 5 items. */\n  tags: Array<string>;" in order
    assert "  counts: Record<string, number>;" in order
    assert "  place: [number, number];" in order
    assert "  code: number | string;" in order
    assert "  any_json: unknown;" in order
    assert "  odd_name?: number;" in order
    assert "  matrix: Array<Array<number | null>>;" in order
    assert 'export type Colour = "red" | "blue";' in text
    assert "  next_of_kin: DeliveredAddress | null;" in text
    assert "*\\/ does not end the comment" in text


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "unknown"),
        (True, "unknown"),
        (False, "never"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": 'a"b'}, '"a\\"b"'),
        ({"enum": [1, "a", None, True]}, '1 | "a" | null | true'),
        ({"type": "array"}, "Array<unknown>"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}},
            "[string, ...Array<null>]",
        ),
        ({"type": "object"}, "Record<string, unknown>"),
        ({"type": "object", "additionalProperties": False}, "Record<string, never>"),
        ({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, "Record<string, number>"),
        (
            {"allOf": [{"$ref": "#/$defs/A"}, {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/B"}]}]},
            "(A) & (null | B)",
        ),
        (
            {"type": "object", "properties": {"a-b": {"type": "null"}}, "required": ["a-b"]},
            '{\n  "a-b": null;\n}',
        ),
    ],
)
def test_what_a_schema_allows_is_a_type(schema: Any, expected: str) -> None:
    assert type_of(schema) == expected
