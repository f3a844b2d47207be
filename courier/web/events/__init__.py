"""Event streams: channels read as server-sent events (WHATWG HTML, 9.2)."""
