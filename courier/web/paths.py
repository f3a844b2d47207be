"""Paths: where one publishes and subscribes."""

PUBLISH = "/publish"
"""Its last segment, if any, is a channel, or `BATCH`."""

BATCH = "batch"
"""Stands where a channel stands in a path, and is no channel's name."""

EVENTS = "/events"
"""Its last segment, if any, is a channel; else the query names channels."""

HISTORY = "/history"
"""Its last segment is a channel."""

SUBSCRIBE = "/ws"
"""Its last segment is a channel, whose WebSockets are there."""
