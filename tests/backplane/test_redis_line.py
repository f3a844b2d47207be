"""The line to Redis: what a caller gets at the moment that it breaks."""

from typing import Any, cast

import anyio
import pytest
from coredis.exceptions import RedisError

from courier.backplane.redis.line import Line
from tests.backplane.redis_nodes import ONE


class Closing:
    """A connection whose queue is closed, though it calls itself usable: coredis passes that error on."""

    def send_command(self, command: bytes, *arguments: str) -> None:
        raise anyio.ClosedResourceError


def test_a_subscription_over_a_line_that_breaks_is_an_error_of_redis() -> None:
    line = Line(cast("Any", None), {"": cast("Any", Closing())})
    for ask in (line.subscribe, line.unsubscribe):
        with pytest.raises(RedisError, match="lost"):
            ask(ONE, "feed")
