"""Records the heads that real clients send, into `tests/serving/heads/`.

`python -m tests.serving.record_heads curl node` runs these two clients, and without a name all of them,
against a bare socket that writes down what comes and answers so that they go on. It names a client that is
not installed, and goes on without it. `--python` is an interpreter that has websockets, trio-websocket,
websocket-client, httpx, requests and aiohttp; Node's `ws` is that of `clients/typescript`.
"""

import argparse
import base64
import hashlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.backplane.documented_redis import RUNBOOK
from tests.serving import recorded_clients as clients
from tests.system.processes import ROOT

PORT, PROXY_PORT = 8765, 8080
HEADS = Path(__file__).parent / "heads"
SECONDS = 30.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
_PAGE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nset-cookie: theme=dark; path=/\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(clients.PAGE), clients.PAGE)
)


class Recorder:
    """Listens, and keeps each head that comes, in order."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def listen(self) -> None:
        """For the rest of the process."""
        threading.Thread(
            target=self._accept, args=[socket.create_server(("127.0.0.1", PORT))], daemon=True
        ).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=self._serve, args=[peer], daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        data = b""
        with peer, suppress(ConnectionResetError):
            while True:
                while b"\r\n\r\n" not in data:
                    more = peer.recv(65_536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                if not head.startswith((b"GET /favicon", b"OPTIONS /health", b"GET /health/ready")):
                    self.heads.append(head)
                key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)
                if key is not None:
                    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
                    offered = re.search(rb"(?im)^sec-websocket-protocol: *([^,\r]+)", head)
                    chosen = b"sec-websocket-protocol: %b\r\n" % offered[1] if offered else b""
                    peer.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                        b"sec-websocket-accept: %b\r\n%b\r\n\x88\x02\x03\xe8" % (accept, chosen)
                    )
                    time.sleep(0.2)
                    return
                data = self._skip_body(peer, head.lower(), data)
                peer.sendall(_PAGE if head.startswith(b"GET /page") else _ANSWER)

    @staticmethod
    def _skip_body(peer: socket.socket, head: bytes, data: bytes) -> bytes:
        if b"expect: 100" in head:
            peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head)
        while length is not None and len(data) < int(length[1]):
            data += peer.recv(65_536)
        while b"transfer-encoding: chunked" in head and not data.endswith(b"0\r\n\r\n"):
            data += peer.recv(65_536)
        return b"" if length is None else data[int(length[1]) :]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def record(recorder: Recorder, name: str, client: clients.Client, python: str) -> None:
    program = python if client.command[0] == "python" else shutil.which(client.command[0])
    if program is None:
        say(f"{name}: {client.command[0]} is not installed")
        return
    recorder.heads = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        for file, text in client.files.items():
            (Path(directory) / file).write_text(text)
        if client.proxy is not None:
            (Path(directory) / client.proxy).write_text(proxy_configuration(client.proxy, Path(directory)))
        command = [program, *client.command[1:]]
        command = [part.replace("ROOT", str(ROOT)).replace("DIRECTORY", directory) for part in command]
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if client.proxy is not None:
            time.sleep(1)
            subprocess.run([python, "-c", clients.THROUGH_A_PROXY], check=False, timeout=SECONDS)
        until = time.monotonic() + SECONDS
        while len(recorder.heads) < client.heads and time.monotonic() < until and process.poll() in (None, 0):
            time.sleep(0.05)
        process.terminate()
        try:
            _, said = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
        if len(recorder.heads) < client.heads:
            say(f"{name}: {len(recorder.heads)} heads instead of {client.heads}: {said.decode()[-500:]}")
            return
    version = subprocess.run(
        [program, *client.version], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    first = (version.stdout + version.stderr).strip().splitlines()[0]
    HEADS.mkdir(exist_ok=True)
    texts = [head.decode("latin-1").replace("\r\n", "\n") for head in recorder.heads]
    (HEADS / f"{name}.txt").write_text("\n\n".join([f"# {first}", *texts]) + "\n", encoding="latin-1")
    say(f"{name}: {len(texts)} heads")


def proxy_configuration(name: str, directory: Path) -> str:
    """What is shipped or documented, with the recorder as its node."""
    if name == "haproxy.cfg":
        [text] = re.findall(r"^\*\*HAProxy\*\*:\n\n```\n(.*?)^```", RUNBOOK, re.M | re.S)
        text = text.replace(":8080", f"127.0.0.1:{PROXY_PORT}")
        return re.sub(r"127\.0\.0\.1:876[67]", f"127.0.0.1:{PORT}", text)
    shipped = (ROOT / "deploy" / "nginx" / "courier.conf").read_text()
    shipped = shipped.replace("listen 8080", f"listen 127.0.0.1:{PROXY_PORT}")
    shipped = shipped.replace("/var/log/nginx", str(directory))
    places = "".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log; events {{}}\n"
        f"http {{ {places} upstream courier {{ server 127.0.0.1:{PORT}; keepalive 64; }} {shipped} }}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the heads that real clients send.")
    parser.add_argument("names", nargs="*", choices=[[], *clients.CLIENTS], default=[])
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    recorder = Recorder()
    recorder.listen()
    for name in arguments.names or clients.CLIENTS:
        record(recorder, name, clients.CLIENTS[name], arguments.python)


if __name__ == "__main__":
    main()
