"""Paths: where one publishes and subscribes."""

PUBLISH = "/publish"
"""Its last segment, if any, is a channel, or `BATCH`."""

BATCH = "batch"
"""Stands where a channel stands in a path, and is no channel's name."""

SUBSCRIBE = "/ws"
"""Its last segment is a channel, whose WebSockets are there."""
