"""Fixtures that tests of the contract share."""

import os
from pathlib import Path

import pytest

from courier.schemas.contract import json_schema
from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import Registry, default_registry, registry_for

NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in events."""
    return default_registry()


@pytest.fixture(scope="session")
def bundle(registry: Registry) -> Schema:
    """The contract; not to be changed."""
    return json_schema(registry)


@pytest.fixture(scope="session")
def acme() -> Registry:
    """The built-in events, and a user's own."""
    return registry_for(["courier.lumiere", "tests.contract.acme"])


@pytest.fixture(scope="session")
def acme_bundle(acme: Registry) -> Schema:
    return json_schema(acme)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What npm has installed for these tests."""
    path = NODE / "node_modules"
    if not path.is_dir():
        missing = "install it first: npm ci --prefix tests/contract/node"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return path
