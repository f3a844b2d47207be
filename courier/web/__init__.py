"""The web: HTTP in, WebSocket out. `app` is the ASGI application: `hypercorn courier.web:app`.

Importing this package adapts Hypercorn (see `hypercorn.py`); the application itself is built when a server
starts it.
"""

from courier.web import hypercorn
from courier.web.application import Application

hypercorn.install()

app = Application()

__all__ = ["app"]
