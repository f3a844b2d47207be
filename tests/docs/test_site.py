"""The documentation site: what `make docs` would find too late for `make test`."""

from typing import Any

import yaml

from courier.schemas.contract import asyncapi, json_schema
from courier.schemas.registry import default_registry
from courier.web.openapi import openapi
from tests.test_docs import ROOT
from tools.site.contract import CHANGES, NODE_PAGE, asyncapi_page, openapi_page
from tools.site.links import Links


def navigation(entries: list[Any]) -> set[str]:
    """Every page that the navigation names."""
    found: set[str] = set()
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found |= navigation(value) if isinstance(value, list) else {value}
    return found


def test_the_navigation_has_every_page_and_no_other() -> None:
    # A new page in docs/ needs a line in mkdocs.yml. Records of decisions are listed by themselves.
    named = navigation(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    pages = {page for page in pages if not page.startswith("adr/0")}
    hooks = (ROOT / "tools" / "site" / "hooks.py").read_text(encoding="utf-8")
    elsewhere = {page for page in named - pages if f'"{page}"' in hooks}
    made = {
        "reference/openapi.md",
        "reference/asyncapi.md",
        "reference/typescript-index.md",
        "reference/typescript-react.md",
    }
    assert pages <= named, "add the page to the navigation in mkdocs.yml"
    assert named - pages - elsewhere == made


def links() -> Links:
    links = Links()
    links.repository = "https://example.com/courier"
    links.pages = {
        "README.md": "index.md",
        "docs/admin.md": "admin.md",
        "docs/adr/README.md": "adr/README.md",
        "docs/images/a.png": "images/a.png",
        "clients/python/README.md": "reference/python.md",
    }
    return links


def test_links_of_the_repository_become_links_of_the_site() -> None:
    rewritten = links().rewrite(
        "[a](../../docs/admin.md#opening) [b](../../docs/adr/) [c](../../LICENSE) [d](https://e.org) [e](#f)",
        "clients/python/README.md",
    )
    assert rewritten == (
        "[a](../admin.md#opening) [b](../adr/README.md)"
        " [c](https://example.com/courier/blob/main/LICENSE) [d](https://e.org) [e](#f)"
    )


def test_a_link_in_html_counts_from_the_folder_that_the_page_is_served_as() -> None:
    assert links().rewrite('<img src="images/a.png">', "docs/admin.md") == '<img src="../images/a.png">'


def test_code_keeps_its_text() -> None:
    text = "```md\n[a](../LICENSE)\n```\n"
    assert links().rewrite(text, "docs/admin.md") == text


def test_the_page_of_a_node_still_has_what_the_site_changes_in_it() -> None:
    for name, changes in CHANGES.items():
        text = (NODE_PAGE / name).read_text(encoding="utf-8")
        assert [old for old in changes if old not in text] == []


def test_each_request_and_each_message_has_a_row() -> None:
    registry = default_registry()
    bundle = json_schema(registry)
    document = openapi(registry, bundle)
    page = openapi_page(document)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert page.count(f"#{operation['operationId']})") == 1
    sides = asyncapi(bundle, registry)
    page = asyncapi_page(sides)
    for message in sides["components"]["messages"].values():
        assert page.count(f"#message-{message['name']})") == 1
