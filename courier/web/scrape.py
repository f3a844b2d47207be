"""Scrape: what a node counts, as text for Prometheus."""

import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from courier.settings import Settings
from courier.web.auth import bears


class _Part(Collector):
    """Some families, as an encoder asks a registry for them."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> tuple[Metric, ...]:
        return self._families


def may_scrape(settings: Settings, authorization: str | None) -> bool:
    """In production a scrape needs the metrics token or the admin's; in development anybody may."""
    return settings.env == "development" or bears(authorization, settings.metrics_token, settings.admin_token)


async def scrape(registry: CollectorRegistry, accept: str | None) -> tuple[bytes, str]:
    """All metrics, and their media type: OpenMetrics when `accept` asks for it, else Prometheus' own.

    Other tasks get a turn after each metric.
    """
    encode, media_type = choose_encoder(accept or "")
    end = encode(_Part())
    parts: list[bytes] = []
    for family in registry.collect():
        parts.append(encode(_Part(family)).removesuffix(end))
        await trio.lowlevel.checkpoint()
    return b"".join([*parts, end]), media_type
