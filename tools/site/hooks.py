"""Hooks: MkDocs calls these while it builds the site (`hooks:` in mkdocs.yml)."""

import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site.contract import contract_files, contract_pages
from tools.site.links import ROOT, Links

# Pages that are written elsewhere in the repository, and where the site shows them.
PAGES = {
    "examples/shop/README.md": "start/your-own-product.md",
    "examples/lumiere/README.md": "start/lumiere.md",
    "clients/python/README.md": "reference/python.md",
    "clients/typescript/README.md": "reference/typescript.md",
    "benchmarks/results/latest.md": "performance/latest.md",
    "benchmarks/results/curves.md": "performance/curves.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CODE_OF_CONDUCT.md": "project/conduct.md",
    "CHANGELOG.md": "project/changelog.md",
    "clients/python/CHANGELOG.md": "project/changelog-python.md",
    "clients/typescript/CHANGELOG.md": "project/changelog-typescript.md",
}
IMAGES = {f"benchmarks/results/{name}.svg": f"performance/{name}.svg" for name in ("latest", "curves")}
TYPESCRIPT = {name: f"reference/typescript-{name}.md" for name in ("index", "react")}

links = Links()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the address of the repository from pyproject.toml, its one place."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    config.repo_url = links.repository = urls["Repository"]
    config.repo_name = links.repository.removeprefix("https://github.com/")
    config.edit_uri = "edit/main/docs/"
    config.site_url = urls["Documentation"]
    _list_decisions(config.nav or [])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`."""
    for file in files:
        if file.abs_src_path:
            links.pages[f"docs/{file.src_uri}"] = file.src_uri
    for source, uri in {**PAGES, **IMAGES}.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
        links.pages[source] = uri
    for name, uri in TYPESCRIPT.items():
        source = f".site/typescript/{name}.md"
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
        links.pages[source] = uri
    for uri, content in {**contract_files(), **contract_pages()}.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point relative links at pages of the site, or at the repository."""
    source = links.source_of(page.file.src_uri)
    if source is None:
        return markdown
    if source.startswith(".site/"):
        page.edit_url = None
        # The second heading of a name is name-1 for typedoc, as on GitHub, and name_1 for Python-Markdown.
        markdown = re.sub(r"#(?!property-)([a-z]+)-(\d+)\)", r"#\1_\2)", markdown)
    elif not source.startswith("docs/"):
        page.edit_url = f"{links.repository}/edit/main/{source}"
    return links.rewrite(markdown, source)


def _list_decisions(nav: list[Any]) -> None:
    """Fill the entry `Decisions` with the records that there are."""
    for title, entries in (pair for entry in nav if isinstance(entry, dict) for pair in entry.items()):
        if title == "Decisions":
            records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
            entries += [{_title(path): f"adr/{path.name}"} for path in records]
        elif isinstance(entries, list):
            _list_decisions(entries)


def _title(record: Path) -> str:
    """Its first heading without the number."""
    return record.read_text(encoding="utf-8").partition("\n")[0].partition(": ")[2]
