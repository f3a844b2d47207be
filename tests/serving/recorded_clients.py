"""The clients whose heads are recorded: what each is run as, and what it is made to ask."""

from dataclasses import dataclass, field

BASE = "127.0.0.1:8765"
PUBLISH = f"http://{BASE}/publish/user.u1"
HEALTH = f"http://{BASE}/health/live"
WEBSOCKET = f"ws://{BASE}/ws/user.u1?token=aaaa.bbbb.cccc&since=abcdefgh-12"
EVENT = '{"type":"system.announcement"}'
"""The recorder reads no bodies."""


@dataclass(frozen=True)
class Client:
    command: list[str]
    """ROOT in it is the repository, DIRECTORY one for this run alone."""
    heads: int
    """How many it sends."""
    version: list[str]
    files: dict[str, str] = field(default_factory=dict)
    proxy: str | None = None
    """It hands on what others ask: its configuration's file."""


PAGE = b"""<!doctype html><title>t</title><script>
const socket = new WebSocket("ws://127.0.0.1:8765/ws/user.u1?since=abcdefgh-12",
  ["courier.v1", "courier.bearer.aaaa.bbbb.cccc"])
socket.onclose = async () => {
  await fetch("/health/live")
  await fetch("/publish/user.u1", {method: "POST", body: "{}",
    headers: {"content-type": "application/json", "x-service-name": "page"}})
}
</script>"""
"""What a browser is made to do: a WebSocket with its token as a subprotocol, a GET, a POST."""

NODE = f"""
const http = require("http")
const options = {{method: "POST", headers: {{"content-type": "application/json"}}}}
const body = '{EVENT}'
const drain = (send) => new Promise((done) => send((answer) => answer.resume().on("end", done)))
;(async () => {{
  await (await fetch("{HEALTH}")).text()
  await (await fetch("{PUBLISH}", {{...options, body}})).text()
  const start = (it) => {{ it.enqueue(new TextEncoder().encode(body)); it.close() }}
  const stream = new ReadableStream({{start}})
  await (await fetch("{PUBLISH}", {{...options, body: stream, duplex: "half"}})).text()
  await drain((done) => http.get("{HEALTH}", done))
  await drain((done) => http.request("{PUBLISH}", options, done).end(body))
  await drain((done) => {{ const it = http.request("{PUBLISH}", options, done); it.write(body); it.end() }})
  await new Promise((done) => {{ new WebSocket("{WEBSOCKET}").onclose = done }})
  const WS = require(process.argv[1] + "/clients/typescript/node_modules/ws")
  await new Promise((done) => new WS("{WEBSOCKET}").on("close", done).on("error", done))
}})()
"""

GO = f"""package main

import (
	"bytes"
	"io"
	"net/http"

	"github.com/gorilla/websocket"
	coder "nhooyr.io/websocket"
	"context"
)

func read(answer *http.Response, err error) {{
	if err != nil {{
		panic(err)
	}}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}}

func main() {{
	event := []byte(`{EVENT}`)
	read(http.Get("{HEALTH}"))
	read(http.Post("{PUBLISH}", "application/json", bytes.NewReader(event)))
	read(http.Post("{PUBLISH}", "application/json", io.MultiReader(bytes.NewReader(event))))
	request, _ := http.NewRequest("GET", "{HEALTH}", http.NoBody)
	read(http.DefaultClient.Do(request))
	if one, _, err := websocket.DefaultDialer.Dial("{WEBSOCKET}", nil); err == nil {{
		one.ReadMessage()
	}}
	if one, _, err := coder.Dial(context.Background(), "{WEBSOCKET}", nil); err == nil {{
		one.Read(context.Background())
	}}
}}
"""


def python(code: str) -> list[str]:
    return ["python", "-c", code]


def version_of(package: str) -> list[str]:
    return ["-c", f"from importlib.metadata import version; print('{package}', version('{package}'))"]


STREAMS = f"lambda: iter([{EVENT.encode()!r}])"
HTTPX = f"""
import httpx
with httpx.Client() as client:
    client.get("{HEALTH}")
    client.post("{PUBLISH}", json={{}}, headers={{"X-Service-Name": "tests"}})
    client.post("{PUBLISH}", content=({STREAMS})())
"""
REQUESTS = f"""
import requests
with requests.Session() as session:
    session.get("{HEALTH}")
    session.post("{PUBLISH}", json={{}}, headers={{"X-Service-Name": "tests"}})
    session.post("{PUBLISH}")
    session.post("{PUBLISH}", data=({STREAMS})())
"""
AIOHTTP = f"""
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get("{HEALTH}"): pass
        async with session.post("{PUBLISH}", json={{}}): pass
        async with session.ws_connect("{WEBSOCKET}") as it: await it.receive()
asyncio.run(main())
"""
WEBSOCKETS = f"""
import asyncio, websockets
async def main():
    headers = {{"Authorization": "Bearer aaaa.bbbb.cccc"}}
    try:
        async with websockets.connect("{WEBSOCKET}", additional_headers=headers) as it:
            await it.recv()
    except websockets.ConnectionClosed: pass
asyncio.run(main())
"""
TRIO_WEBSOCKET = f"""
import trio, trio_websocket
async def main():
    async with trio_websocket.open_websocket_url("{WEBSOCKET}") as it:
        await it.get_message()
try: trio.run(main)
except BaseException: pass
"""
WEBSOCKET_CLIENT = f"""
import websocket
websocket.create_connection("{WEBSOCKET}").recv()
"""
THROUGH_A_PROXY = """
import asyncio, httpx, websockets
base = "127.0.0.1:8080"
async def main():
    async with httpx.AsyncClient() as client:
        await client.get(f"http://{base}/health/live")
        await client.post(f"http://{base}/publish/user.u1", json={}, headers={"X-Service-Name": "tests"})
        await client.post(f"http://{base}/publish/user.u1", json={}, headers={"Idempotency-Key": "k"})
    try:
        async with websockets.connect(f"ws://{base}/ws/user.u1?token=aaaa.bbbb.cccc") as it: await it.recv()
    except websockets.ConnectionClosed: pass
asyncio.run(main())
"""
UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
CURL = f"""
curl {HEALTH}
curl --json '{EVENT}' {PUBLISH}
curl -X POST {PUBLISH}
curl -H 'Expect:' -H 'Content-Type: application/json' -d '{EVENT}' {PUBLISH}
printf '{EVENT}' | curl -T - -X POST {PUBLISH}
curl -N {" ".join(f"-H '{line}'" for line in UPGRADE)} '{WEBSOCKET.replace("ws:", "http:")}'
"""

CLIENTS = {
    "chromium": Client(
        ["chromium", "--headless", "--no-sandbox", "--user-data-dir=DIRECTORY", f"http://{BASE}/page"],
        4,
        ["--version"],
    ),
    "firefox": Client(
        ["firefox-esr", "--headless", "--profile", "DIRECTORY", f"http://{BASE}/page"], 4, ["--version"]
    ),
    "node": Client(["node", "--experimental-websocket", "-e", NODE, "ROOT"], 8, ["--version"]),
    # Debian: golang-go, golang-github-gorilla-websocket-dev, golang-nhooyr-websocket-dev
    "go": Client(
        ["sh", "-c", "GO111MODULE=off GOPATH=${GOPATH:-/usr/share/gocode} go run main.go"],
        6,
        ["-c", "go version"],
        {"main.go": GO},
    ),
    "curl": Client(["sh", "-c", CURL], 6, ["-c", "curl --version"]),
    "httpx": Client(python(HTTPX), 3, version_of("httpx")),
    "requests": Client(python(REQUESTS), 4, version_of("requests")),
    "aiohttp": Client(python(AIOHTTP), 3, version_of("aiohttp")),
    "websockets": Client(python(WEBSOCKETS), 1, version_of("websockets")),
    "trio-websocket": Client(python(TRIO_WEBSOCKET), 1, version_of("trio-websocket")),
    "websocket-client": Client(python(WEBSOCKET_CLIENT), 1, version_of("websocket-client")),
    "nginx": Client(
        ["nginx", "-p", "DIRECTORY", "-c", "DIRECTORY/nginx.conf"], 4, ["-v"], proxy="nginx.conf"
    ),
    "haproxy": Client(["haproxy", "-f", "DIRECTORY/haproxy.cfg"], 4, ["-v"], proxy="haproxy.cfg"),
}
