"""Contract: the OpenAPI and AsyncAPI documents as pages, and the page of a node that shows them whole."""

import json
from collections.abc import Sequence
from typing import Any

from tools.site.links import ROOT

MADE = ROOT / ".site"
"""Where `make docs` has put what `courier contract` prints."""
NODE_PAGE = ROOT / "courier" / "web" / "docs"
FOLDER = "reference/contract"

# A node serves the page at paths of its own; here its files stand beside one another.
CHANGES = {
    "index.html": {
        'href="/docs/docs.css"': 'href="docs.css"',
        'src="/docs/docs.js"': 'src="docs.js"',
        'href="/openapi.json"': 'href="openapi.json"',
        'href="/asyncapi.json"': 'href="asyncapi.json"',
        'href="/schemas"': 'href="schemas.json"',
    },
    "docs.js": {
        '"/openapi.json"': '"openapi.json"',
        '"/asyncapi.json"': '"asyncapi.json"',
        '"/schemas"': '"schemas.json"',
        "location.origin": '"http://127.0.0.1:8766"',
    },
    "docs.css": {},
}


def contract_files() -> dict[str, str]:
    """The page of a node and the documents that it reads, by their paths on the site."""
    files = {f"{FOLDER}/{name}.json": _made(name) for name in ("openapi", "asyncapi", "schemas")}
    for name, changes in CHANGES.items():
        text = (NODE_PAGE / name).read_text(encoding="utf-8")
        for old, new in changes.items():
            if old not in text:
                raise ValueError(
                    f"courier/web/docs/{name} has no {old} any more: change tools/site/contract.py"
                )
            text = text.replace(old, new)
        files[f"{FOLDER}/{name}"] = text
    return files


def contract_pages() -> dict[str, str]:
    """A page for each document, in Markdown."""
    return {
        "reference/openapi.md": openapi_page(json.loads(_made("openapi"))),
        "reference/asyncapi.md": asyncapi_page(json.loads(_made("asyncapi"))),
    }


def _made(name: str) -> str:
    return (MADE / f"{name}.json").read_text(encoding="utf-8")


OPENAPI = """# OpenAPI

Every HTTP request that a node answers. Each links to its parameters, an example and its answers. A node shows
the same page at `/docs`.

[Open the whole page](contract/index.html){ .md-button .md-button--primary }
[openapi.json](contract/openapi.json){ .md-button }
"""

ASYNCAPI = """# AsyncAPI

The WebSockets of a node, and the messages on them. Each message links to its fields and an example. A node
shows the same page at `/docs`.

[Open the whole page](contract/index.html#subscribe){ .md-button .md-button--primary }
[asyncapi.json](contract/asyncapi.json){ .md-button }
"""


def openapi_page(document: dict[str, Any]) -> str:
    """A table of requests for each tag."""
    page = OPENAPI
    for tag in document["tags"]:
        rows = [
            (_link(f"{method.upper()} {path}", operation["operationId"]), operation["summary"])
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag["name"] in operation["tags"]
        ]
        page += f"\n## {tag['name']}\n\n{tag['description']}\n\n" + _table(("request", ""), rows)
    return page


def asyncapi_page(document: dict[str, Any]) -> str:
    """Tables of channels, of messages and of close codes."""
    channels = [
        (_link(channel["address"], f"channel-{key}"), channel["description"])
        for key, channel in document["channels"].items()
    ]
    page = ASYNCAPI + "\n## Channels\n\n" + _table(("WebSocket", ""), channels)
    messages = [
        (message["name"], (_link(message["name"], f"message-{message['name']}"), message["summary"]))
        for message in document["components"]["messages"].values()
    ]
    own = [row for name, row in messages if name in ("ping", "pong") or name.startswith("courier.")]
    events = [row for _, row in messages if row not in own]
    page += "\n## Events\n\n" + _table(("event", ""), events)
    page += "\n## Courier's own messages\n\n" + _table(("message", ""), own)
    codes = [(str(each["code"]), each["reason"], each["comeBack"]) for each in document["x-close-codes"]]
    return page + "\n## Close codes\n\n" + _table(("code", "reason", "come back?"), codes)


def _link(text: str, anchor: str) -> str:
    return f"[`{text}`](contract/index.html#{anchor})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
