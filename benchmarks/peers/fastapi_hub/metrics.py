"""Metrics: the Prometheus counters of the plan; `channel` is the part of a name before its id."""

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("hub_events_published", "Events accepted", ["channel", "event_type", "source"])
DELIVERED = Counter("hub_events_delivered", "Events written to WebSockets")
INVALID = Counter("hub_events_invalid", "Events refused", ["source"])
LIMITED = Counter("hub_rate_limited", "Publishes over the limit", ["service"])
CONNECTIONS = Gauge("hub_connections", "Open WebSockets", ["channel"])
LATENCY = Histogram("hub_publish_seconds", "From a request's body to its receipt", ["channel"])
