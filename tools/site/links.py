"""Links: from those of the repository, which GitHub shows, to those of the site."""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(```|~~~).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r'(?P<before>\]\(|src="|href=")(?P<path>[^)\s"#]+)')
_ELSEWHERE = re.compile(r"[a-z]+:|/")


class Links:
    """Where each file of the repository is on the site."""

    def __init__(self) -> None:
        self.repository = ""
        """The address of the repository, without a slash at its end."""
        self.pages: dict[str, str] = {}
        """From a path in the repository to a path in the site."""

    def source_of(self, uri: str) -> str | None:
        """The path in the repository of what the site has at `uri`."""
        return next((source for source, target in self.pages.items() if target == uri), None)

    def rewrite(self, markdown: str, source: str) -> str:
        """The same text, whose relative links work on the site; `source` is its path in the repository."""
        folder = posixpath.dirname(source)
        here, name = posixpath.split(self.pages[source])
        # MkDocs serves name.md as name/. It corrects for that in links of Markdown, and not in those of HTML.
        html = "" if name in ("index.md", "README.md") else "../"

        def link(match: re.Match[str]) -> str:
            path = match["path"]
            if _ELSEWHERE.match(path):
                return match[0]
            target = self._target(posixpath.normpath(posixpath.join(folder, path)), here)
            inner = match["before"] != "](" and not _ELSEWHERE.match(target)
            return match["before"] + (html + target if inner else target)

        done, end = [], 0
        for fence in _FENCE.finditer(markdown):
            done += [_TARGET.sub(link, markdown[end : fence.start()]), fence[0]]
            end = fence.end()
        return "".join([*done, _TARGET.sub(link, markdown[end:])])

    def _target(self, path: str, here: str) -> str:
        """What a page in the folder `here` of the site calls a path of the repository."""
        uri = self.pages.get(path) or self.pages.get(f"{path}/README.md")
        if uri is not None:
            return posixpath.relpath(uri, here or ".")
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{self.repository}/{kind}/main/{path}"
