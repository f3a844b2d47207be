"""Queue: what waits to be asked of Redis, in the order it came, and put together where it can be."""

from collections import deque
from collections.abc import Hashable

from courier.backplane.redis.calls import Call, Calls
from courier.backplane.redis.requests import Publish, Request

EVENTS_A_CALL = 1000
"""Beyond so many events no further request joins a call: Redis does nothing else while it runs one."""
BYTES_A_PIPELINE = 4 * 1024 * 1024
"""Beyond so many bytes no further call joins a pipeline, so that it is through well within its time."""


class Queue:
    """Requests, by their subject: those for one channel's log leave together, as one call.

    Publications are bounded by the room of each channel, and all else by how many tasks the node has.
    """

    def __init__(self, calls: Calls, calls_at_once: int) -> None:
        self._calls = calls
        self._calls_at_once = calls_at_once
        self._waiting: dict[Hashable, deque[Request]] = {}

    def put(self, request: Request) -> None:
        self._waiting.setdefault(request.subject, deque()).append(request)

    def take(self) -> list[Call]:
        """The next pipeline: at most one call a subject, so that calls for one channel keep their order."""
        calls: list[Call] = []
        left: dict[Hashable, deque[Request]] = {}
        size = 0
        while self._waiting and len(calls) < self._calls_at_once and size < BYTES_A_PIPELINE:
            subject = next(iter(self._waiting))
            requests = self._waiting.pop(subject)
            together: list[Request] = []
            events = 0
            while requests and events < EVENTS_A_CALL and size < BYTES_A_PIPELINE:
                request = requests.popleft()
                together.append(request)
                if isinstance(request, Publish):
                    events += len(request.publications)
                    size += sum(len(publication.event) for publication in request.publications)
                else:
                    events += 1
            if requests:
                left[subject] = requests
            calls.append(self._calls.make(together))
        self._waiting.update(left)  # behind the others: a busy channel does not hold up the quiet ones
        return calls

    def take_all(self) -> list[Request]:
        """Everything, for the caller that has to refuse it."""
        requests = [request for waiting in self._waiting.values() for request in waiting]
        self._waiting.clear()
        return requests
