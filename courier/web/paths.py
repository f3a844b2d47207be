"""Paths: where one publishes."""

PUBLISH = "/publish"
"""Its last segment, if any, is a channel, or `BATCH`."""

BATCH = "batch"
"""Stands where a channel stands in a path, and is no channel's name."""
