"""The manifests: good by Kubernetes' own schemas, and in step with the node."""

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from courier.settings import load_settings
from tests.deploy.files import AFTERWARDS_SECONDS, DEPLOY, SETTINGS, read_yaml

MANIFESTS = sorted(path.name for path in (DEPLOY / "kubernetes").glob("*.yaml") if "kustom" not in path.name)
KUBERNETES = "1.30"
LABEL = {"app.kubernetes.io/name": "courier"}


def manifest(name: str) -> Any:
    return read_yaml(f"kubernetes/{name}")


@pytest.fixture
def pod() -> Any:
    return manifest("deployment.yaml")["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_each_manifest_is_good_by_the_schema(name: str) -> None:
    kubernetes_validate.validate(manifest(name), KUBERNETES, strict=True)


def test_all_manifests_are_applied_but_the_example_of_a_secret() -> None:
    assert manifest("kustomization.yaml")["resources"] == [
        name for name in MANIFESTS if "example" not in name
    ]


def test_the_settings_are_settings_and_a_node_starts_with_them() -> None:
    given = manifest("configmap.yaml")["data"] | manifest("secret.example.yaml")["stringData"]
    assert set(given) <= SETTINGS
    secrets = {"COURIER_JWT_SECRET": "s" * 32, "COURIER_METRICS_TOKEN": "m" * 32}
    assert load_settings(given | secrets).env == "production"


def test_a_pod_has_the_time_to_leave(pod: Any) -> None:
    settings = load_settings(manifest("configmap.yaml")["data"] | {"COURIER_JWT_SECRET": "s" * 32})
    [_, before] = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    seconds = float(before) + settings.drain_delay_seconds + settings.drain_seconds + AFTERWARDS_SECONDS
    assert pod["terminationGracePeriodSeconds"] > seconds


def test_the_ports_and_the_labels_match(pod: Any) -> None:
    deployment, service = manifest("deployment.yaml"), manifest("service.yaml")
    [port] = pod["containers"][0]["ports"]
    assert str(port["containerPort"]) == manifest("configmap.yaml")["data"]["COURIER_BIND"].rpartition(":")[2]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod["containers"][0][probe]["httpGet"]["port"] == port["name"]
    assert deployment["spec"]["selector"]["matchLabels"] == LABEL
    assert deployment["spec"]["template"]["metadata"]["labels"] == LABEL
    assert service["spec"]["selector"] == LABEL
    assert manifest("disruption.yaml")["spec"]["selector"]["matchLabels"] == LABEL


def test_a_node_is_restarted_for_its_loop_and_passed_by_for_its_readiness(pod: Any) -> None:
    probes = pod["containers"][0]
    assert probes["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_a_pod_meets_the_restricted_standard(pod: Any) -> None:
    """Pod Security Standards, Restricted: what an admission controller that enforces it asks."""
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
