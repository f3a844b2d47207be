"""The sign-in: serves the page, and gives each user a token. For development: it asks for no password."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import jwt

from examples.lumiere.users import USERS

PAGE = Path(__file__).parent / "dist"
TOKEN_SECONDS = 300
"""Short, since the page gets the next one by itself and hands it over on the same connection."""


class SignIn(SimpleHTTPRequestHandler):
    """Answers `/token?user=` with a token and Courier's address, and anything else with the built page."""

    def __init__(self, *given: object, courier_url: str, secret: str) -> None:
        self._courier_url = courier_url
        self._secret = secret
        super().__init__(*given, directory=str(PAGE))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path != "/token":
            return super().do_GET()
        [user, *_] = parse_qs(asked.query).get("user", [""])
        if user not in USERS:
            return self._answer(404, {"error": "There is no such user"})
        return self._answer(200, {"token": self._token(user), "courier": self._courier_url})

    def log_message(self, *_: object) -> None:
        """Nothing: the services and the node are what there is to watch."""

    def _token(self, user: str) -> str:
        now = int(time.time())
        claims = {
            "user_id": user,
            "wallet_address": f"wallet-of-{user}",
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._secret, "HS256")

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def sign_in(courier_url: str, secret: str, port: int = 0) -> Iterator[str]:
    """The page's address for the length of a block, on this machine only; port 0 is any free one."""
    answer = partial(SignIn, courier_url=courier_url, secret=secret)
    with ThreadingHTTPServer(("127.0.0.1", port), answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
