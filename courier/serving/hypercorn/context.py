"""Context: one server, as its connections see it."""

from hypercorn.trio.worker_context import WorkerContext

from courier.serving.desk.desk import Desk
from courier.serving.headers import ONCE_HEADERS
from courier.serving.hypercorn.link import Link
from courier.serving.service import Service


class ServerContext(WorkerContext):
    """Hypercorn's context of a server, which it gives to each of its parts, with what they need of ours."""

    def __init__(self, service: Service) -> None:
        super().__init__(None)
        self.service = service
        self.once_headers = ONCE_HEADERS | service.once_headers
        self.links: set[Link] = set()
        """Of all connections on the general path."""
        self.desk: Desk | None = None
        """The rest of the connections."""

    @property
    def connections(self) -> int:
        """How many there are, of any kind."""
        return len(self.links) + (0 if self.desk is None else len(self.desk))
