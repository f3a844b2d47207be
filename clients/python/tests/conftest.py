"""Every test that waits runs on both event loops; most of them share one node."""

from collections.abc import Iterator

import pytest
from nodes import Node, node


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    loop: str = request.param
    return loop


@pytest.fixture(scope="session")
def shared() -> Iterator[Node]:
    """A node without a rate limit, for tests that use channels of their own."""
    with node(publish_auth="required", heartbeat_seconds=5) as self:
        yield self
