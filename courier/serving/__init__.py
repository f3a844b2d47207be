"""Serving: sockets, HTTP and WebSocket, for an application that it does not know."""
