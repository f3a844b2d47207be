"""What holds for all tests: their order, and that none hangs on how fast the machine is."""

import gc

import pytest
from hypothesis import HealthCheck, settings

WAITING = ("system", "deploy", "browser")
"""The directories whose tests wait for processes and for clocks."""

settings.register_profile("courier", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("courier"), max_examples=1000)
settings.load_profile("courier")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits longest begins first, and all else runs beside it."""
    items.sort(key=lambda item: item.path.parent.name not in WAITING)


def pytest_collection_finish() -> None:
    """What has been imported stays, so that no collection of garbage need walk it again."""
    gc.freeze()
