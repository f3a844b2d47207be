"""The README's five minutes are run, from the first command to the last."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.test_docs import ROOT


def test_the_five_minutes_are_as_the_readme_says(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    session = readme.partition("[start:five-minutes]")[2].partition("[end:five-minutes]")[0]
    serve, subscribe, publish, replay, stream = re.findall(r"```console\n(.*?)```", session, re.DOTALL)
    # The commands as they are written, but on a free port. A command that follows a channel is ended once it
    # has printed what is waited for.
    script = f"""
        set -eu
        {serve.strip()} --bind 127.0.0.1:0 2> node.log &
        node=$!
        trap 'kill $node' EXIT
        for try in $(seq 200); do grep -q Listening node.log && break; sleep 0.05; done
        export COURIER_URL=$(grep -o 'http://127.0.0.1:[0-9]*' node.log | head -1)
        {subscribe.replace("subscribe user.alice", "subscribe user.alice > followed &").strip()}
        follower=$!
        for try in $(seq 200); do grep -q 'Subscriber joined' node.log && break; sleep 0.05; done
        FIRST=$({publish.strip()} 2>/dev/null | tee receipt | sed -n 's/.*"id":"\\([^"]*\\)".*/\\1/p')
        for try in $(seq 200); do grep -q Hello followed && break; sleep 0.05; done
        kill $follower
        {publish.strip()} > second 2>/dev/null
        {replay.strip().replace("qc9t3f7g-1", "$FIRST")} > replayed 2> gaps &
        for try in $(seq 200); do grep -q Hello replayed && break; sleep 0.05; done
        kill $!
        {stream.strip()} -s --max-time 1 > streamed || true
    """
    script = script.replace("http://127.0.0.1:8766", "$COURIER_URL")
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    env = {key: value for key, value in os.environ.items() if not key.startswith("COURIER_")}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=50, check=False
    )
    log = (tmp_path / "node.log").read_text(encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr + log
    receipt = json.loads((tmp_path / "receipt").read_text(encoding="utf-8"))
    assert (receipt["status"], receipt["clients_reached"]) == ("published", 1)
    second = json.loads((tmp_path / "second").read_text(encoding="utf-8"))["id"]
    replayed = (tmp_path / "replayed").read_text(encoding="utf-8")
    assert second in replayed
    assert receipt["id"] not in replayed.split()
    assert (tmp_path / "gaps").read_text(encoding="utf-8") == ""
    assert '"type":"courier.joined"' in (tmp_path / "streamed").read_text(encoding="utf-8")
