"""Check: follows every link of the built site, as a visitor's browser would."""

import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools.site.links import ROOT


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and writes no line for each."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Says nothing of a reader that has seen enough of a file."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def main() -> int:
    """The exit code of linkchecker; with --extern it also asks the addresses outside."""
    with Server(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT / "site"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        program = Path(sys.executable).with_name("linkchecker")
        command: list[str | Path] = [program, "--no-status", "--no-warnings", "--threads", "4"]
        command += ["--check-extern"] if "--extern" in sys.argv else []
        done = subprocess.run([*command, f"http://127.0.0.1:{server.server_port}/"], check=False)
        server.shutdown()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
