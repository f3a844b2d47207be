"""Pages: the dashboard, the sign-in form, and the files that they are made of."""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

STATIC = "/admin/static/"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: nothing inline, and nothing from anywhere else."""

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_HEADERS = {
    **SAFE,
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FILE_HEADERS = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable"}
"""A file's URL has the digest of all files in it, so what is there never changes."""

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOLDER = Path(__file__).parent / "static"


class File(NamedTuple):
    """A static file, read once."""

    body: bytes
    content_type: str


class Pages:
    """The pages and their files, read when a node starts."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        paths = sorted(folder.iterdir())
        self._files = {
            path.name: File(path.read_bytes(), f"{_TYPES[path.suffix]}; charset=utf-8")
            for path in paths
            if path.suffix in _TYPES
        }
        digest = sha256()
        for name, file in self._files.items():
            digest.update(f"{name} {len(file.body)} ".encode() + file.body)
        self.version = digest.hexdigest()[:16]
        self._dashboard, self._sign_in = (
            (folder / name).read_bytes().replace(b"{static}", (STATIC + self.version).encode())
            for name in ("dashboard.html", "sign-in.html")
        )

    @property
    def dashboard(self) -> bytes:
        """The page for operators; it holds no data itself."""
        return self._dashboard

    @property
    def sign_in(self) -> bytes:
        """The form, for everybody else."""
        return self._sign_in

    def file(self, version: str, name: str) -> File | None:
        """A static file of this version of the pages; None when there is none."""
        return self._files.get(name) if version == self.version else None
