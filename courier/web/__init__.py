"""The web: HTTP in, WebSocket out. `app` is the ASGI application: `hypercorn courier.web:app`.

Importing this package puts our server in the place of Hypercorn's (`courier.serving.hypercorn`); the
application itself is built when a server starts it.
"""

from courier.serving import hypercorn
from courier.web.application import Application

hypercorn.install()

app = Application()

__all__ = ["app"]
