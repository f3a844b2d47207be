"""History: what a channel's log holds, over HTTP."""
