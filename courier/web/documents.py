"""Documents: the contract as the node serves it, encoded once."""

import json
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

from courier.schemas.contract import asyncapi, json_schema, type_schemas
from courier.schemas.registry import Registry
from courier.web.errors import HttpError
from courier.web.openapi import openapi
from courier.web.publishing.judge import JSON

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do (Content Security Policy, level 3): nothing but what this node serves."""


class Document(NamedTuple):
    """One document, ready to be written."""

    body: bytes
    content_type: str
    headers: dict[str, str]

    def asked(self, if_none_match: str | None) -> bool:
        """Whether it must be sent; not when `If-None-Match` names it (RFC 9110, 13.1.2)."""
        known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
        return self.headers["ETag"] not in known and "*" not in known


class Documents(NamedTuple):
    """All that is served of a contract, by path."""

    by_path: dict[str, Document]
    types: list[str]

    def schema(self, event_type: str) -> Document:
        """The schema of one type; raises 404 with the names that are near."""
        found = self.by_path.get(f"/schemas/{event_type}")
        if found is None:
            near = get_close_matches(event_type, self.types, n=5)
            raise HttpError(404, "There is no such type", near=near)
        return found


@lru_cache(maxsize=4)
def documents_of(registry: Registry) -> Documents:
    """The documents of a registry; made once for those of the same models."""
    bundle = json_schema(registry)
    types = type_schemas(bundle)
    return Documents(
        {
            "/openapi.json": _json(openapi(registry, bundle)),
            "/asyncapi.json": _json(asyncapi(bundle, registry)),
            "/schemas": _json(bundle),
            **{f"/schemas/{name}": _json(schema) for name, schema in types.items()},
            "/docs": _file("index.html", "text/html; charset=utf-8"),
            "/docs/docs.js": _file("docs.js", "text/javascript; charset=utf-8"),
            "/docs/docs.css": _file("docs.css", "text/css; charset=utf-8"),
        },
        list(types),
    )


def _json(document: Any) -> Document:
    return _document(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), JSON)


def _file(name: str, content_type: str) -> Document:
    document = _document((files("courier.web") / "docs" / name).read_bytes(), content_type)
    document.headers.update(
        {
            "Content-Security-Policy": PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
    )
    return document


def _document(body: bytes, content_type: str) -> Document:
    # Asked for anew each time, which costs a 304: the next release may say something else.
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    return Document(body, content_type, {"ETag": etag, "Cache-Control": "no-cache"})
