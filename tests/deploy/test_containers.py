"""The image and the composition: well-formed, and in step with the node."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from courier.settings import check_bind, load_settings
from tests.deploy.files import AFTERWARDS_SECONDS, DEPLOY, ROOT, SETTINGS, read_yaml
from tests.system.processes import BIN

DOCKERFILE = ROOT / "Dockerfile"


@pytest.fixture(scope="module")
def compose() -> Any:
    return read_yaml("compose.yaml")


def stages() -> dict[str, str]:
    """The Dockerfile's stages and what they do."""
    found = re.split(r"^FROM .+ AS (\w+)\n", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_dockerfile_has_nothing_to_find_fault_with() -> None:
    lint = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout) == (0, "")


def test_what_is_built_by_default_is_for_production_and_not_run_by_root() -> None:
    assert list(stages())[-1] == "production"
    for name in ("development", "production"):
        assert "USER 10001:10001" in stages()[name]
        assert 'CMD ["courier", "serve"]' in stages()[name]
        assert "STOPSIGNAL SIGTERM" in stages()[name]


def test_a_node_for_development_is_reached_from_outside_its_container() -> None:
    development = dict(re.findall(r"(COURIER_\w+)=(\S+)", stages()["development"]))
    settings = load_settings(development)
    check_bind(settings, [settings.bind])
    assert settings.bind == "0.0.0.0:8766"
    assert "EXPOSE 8766\n" in stages()["development"]


def test_one_node_for_development_comes_up_from_the_root() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert PyCompose.from_json(json.dumps(compose)).service_names() == ["courier"]
    [service] = compose["services"].values()
    assert service["build"] == {"context": ".", "target": "development"}
    assert "development" in stages()
    assert service["ports"] == ["127.0.0.1:8766:8766"]
    assert set(service["environment"]) <= SETTINGS
    assert all(re.fullmatch(r"\$\{\w+(:-|-/data)\}", value) for value in service["environment"].values()), (
        "none is needed"
    )
    assert service["init"] is True


def test_each_compose_file_names_the_health_check_that_an_oci_image_drops(compose: Any) -> None:
    [command] = re.findall(r"HEALTHCHECK .*\n    CMD (\[.+\])", stages()["production"])
    root = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    for service in (compose["services"]["courier-1"], root["services"]["courier"]):
        assert service["healthcheck"]["test"] == ["CMD", *json.loads(command)]
        assert service["init"] is True


def test_the_image_asks_the_port_that_it_serves_and_every_setting_in_it_is_one() -> None:
    production = stages()["production"]
    assert set(re.findall(r"(COURIER_\w+)=", production)) <= SETTINGS
    [port] = re.findall(r"COURIER_BIND=0\.0\.0\.0:(\d+)", production)
    assert f"EXPOSE {port}\n" in production
    assert f"http://127.0.0.1:{port}/health/ready" in production
    assert port == load_settings({}).bind.rpartition(":")[2]


def test_the_composition_builds_the_image_for_production(compose: Any) -> None:
    build = compose["services"]["courier-1"]["build"]
    assert (DEPLOY / build["context"] / build.get("dockerfile", "Dockerfile")).resolve() == DOCKERFILE
    assert build["target"] in stages()


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
        for name in line.split()[:-1]
    }
    assert copied == {"requirements-dev.lock", "pyproject.toml", "README.md", "LICENSE", "courier", "."}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "**/*.env" in ignored
    assert ".*" in ignored, "among them .git, .env and .venv"


def test_the_composition_is_one(compose: Any) -> None:
    names = set(PyCompose.from_json(json.dumps(compose)).service_names())
    assert names == {"courier-1", "courier-2", "redis", "nginx", "prometheus", "grafana"}


def test_every_setting_of_the_composition_is_one_and_has_a_good_value(compose: Any) -> None:
    secrets = dict.fromkeys(
        re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE), "s" * 40
    )
    for name in ("courier-1", "courier-2"):
        variables = compose["services"][name]["environment"]
        assert set(variables) <= SETTINGS
        filled = {
            key: re.sub(r"\$\{(\w+):[?-][^}]*\}", lambda found: secrets[found[1]], value)
            for key, value in variables.items()
        }
        settings = load_settings(filled)
        assert settings.redis_url == "redis://redis:6379"
        seconds = settings.drain_delay_seconds + settings.drain_seconds + AFTERWARDS_SECONDS
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > seconds
        assert compose["services"][name]["ulimits"]["nofile"] > settings.max_connections + 4096


def test_redis_keeps_what_it_has_acknowledged(compose: Any) -> None:
    command = compose["services"]["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"] == "512mb"


def test_everything_is_pinned_confined_and_reached_from_this_machine_alone(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert compose["networks"]["bus"]["internal"] is True


def test_prometheus_scrapes_the_nodes_of_the_composition_with_their_token(compose: Any) -> None:
    [job] = read_yaml("prometheus/prometheus.yml")["scrape_configs"]
    port = compose["services"]["courier-1"]["environment"]["COURIER_BIND"].rpartition(":")[2]
    targets = [target for static in job["static_configs"] for target in static["targets"]]
    assert targets == [f"courier-1:{port}", f"courier-2:{port}"]
    [secret] = compose["services"]["prometheus"]["secrets"]
    assert secret["target"] == "/etc/prometheus/" + job["authorization"]["credentials_file"]
    assert compose["secrets"][secret["source"]] == {"environment": "COURIER_METRICS_TOKEN"}


def test_every_file_that_is_mounted_is_there(compose: Any) -> None:
    mounted: list[Path] = []
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                mounted.append(DEPLOY / source)
    assert len(mounted) >= 6
    assert [path for path in mounted if not path.exists()] == []


def test_nginx_knows_the_nodes_by_the_names_and_the_port_that_they_have(compose: Any) -> None:
    text = (DEPLOY / "nginx" / "nodes.compose.conf").read_text()
    named = re.findall(r"server ([\w-]+):(\d+) ", text)
    port = compose["services"]["courier-1"]["environment"]["COURIER_BIND"].rpartition(":")[2]
    nodes = [
        name
        for name, service in compose["services"].items()
        if "COURIER_BIND" in service.get("environment", {})
    ]
    assert named == [(name, port) for name in nodes]
