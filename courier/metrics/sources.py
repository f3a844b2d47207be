"""Sources: which services' names may be labels. A publisher can make up names, but no labels."""

from collections.abc import Iterable, Iterator

OTHER = "other"
"""The label of everything that has none of its own."""

NEWCOMERS = 50
"""With open publishing: so many names that nobody has vouched for get a label of their own."""

MOST_NAMES = 1000
"""Names that are labels, in all."""


class Sources:
    """The services that are known, each by one of three ways: `named` in the settings, verified by a token of
    its own, or, where publishing is open, among the first `newcomers` that published something."""

    def __init__(self, named: Iterable[str] = (), newcomers: int = 0) -> None:
        self._known = set(named)
        self._newcomers = newcomers

    def label(self, service: str | None) -> str:
        """Its name if it is known, else `other`."""
        return service if service is not None and service in self._known else OTHER

    def __iter__(self) -> Iterator[str]:
        """All labels that there are so far."""
        return iter((*self._known, OTHER))

    def verified(self, service: str) -> None:
        """Its token was good."""
        if service not in self._known and len(self._known) < MOST_NAMES:
            self._known.add(service)

    def published(self, service: str) -> str:
        """It has published an event; its label."""
        if service in self._known:
            return service
        if not self._newcomers:
            return OTHER
        self._newcomers -= 1
        self._known.add(service)
        return service
