"""Single: a WebSocket for one channel."""

from collections.abc import Callable, Iterable

from courier.actors.subscriber import Subscriber
from courier.backplane.steps import Steps
from courier.schemas.control import Refresh
from courier.web.auth import Identity
from courier.web.session import Session


class SingleSession(Session):
    """The subscription is the connection: the two begin and end together."""

    __slots__ = ()

    connection: Subscriber

    @property
    def kind(self) -> str:
        return self.connection.channel.kind

    @property
    def subscribers(self) -> Iterable[Subscriber]:
        return (self.connection,)

    def start(self) -> None:
        subscriber = self.connection
        beginning = subscriber.beginning
        assert beginning is not None
        position, recovered, replayed = str(beginning.position), beginning.recovered, beginning.replayed
        self._begin(position=position, recovered=recovered, replayed=replayed)
        if self._v1:
            self._tell_joined(subscriber, beginning)
        self._watch_clock()
        subscriber.open(self._peer, self)

    def _said(self, message: str | bytes) -> None:
        refresh = Refresh.parse(message)
        if refresh is not None:
            self._take_token(refresh.token)

    def _has_room(self) -> None:
        self.connection.writable()

    def _judge_channels(self, identity: Identity) -> Steps[Callable[[], None]]:
        yield from self._site.rules.admit(identity, self.connection.channel)
        return lambda: None

    def _progress(self) -> tuple[int, int]:
        return self.connection.delivered, self.connection.lag

    def _facts(self) -> dict[str, str]:
        subscriber = self.connection
        facts = {
            "user_id": subscriber.owner,
            "channel": subscriber.channel.name,
            "connection_id": subscriber.id,
        }
        return facts if self._request is None else self._request | facts
