"""Many runs of several nodes on one shared log. `COURIER_SEEDS=0:5000` asks for more of them."""

import os

import pytest

from tests.backplane.simulation import replay

first, _, end = os.environ.get("COURIER_SEEDS", "0:130").partition(":")


@pytest.mark.parametrize("seed", range(int(first), int(end)))
def test_whatever_happens_to_nodes_nothing_is_lost_silently(seed: int) -> None:
    replay(seed)
