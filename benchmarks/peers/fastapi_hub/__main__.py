"""Serve the hub on one loopback port: python -m benchmarks.peers.fastapi_hub --port 8000."""

import argparse

import uvicorn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, required=True)
options = parser.parse_args()
uvicorn.run(
    "benchmarks.peers.fastapi_hub.app:app",
    host="127.0.0.1",
    port=options.port,
    loop="uvloop",
    http="httptools",
    ws="websockets-sansio",
    ws_per_message_deflate=False,
    access_log=False,
    proxy_headers=False,
    log_level="warning",
    timeout_keep_alive=75,
    timeout_graceful_shutdown=2,
)
