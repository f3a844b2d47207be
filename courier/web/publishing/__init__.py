"""Publishing: from a request to events in their logs: one event, a batch, or a stream of lines."""
