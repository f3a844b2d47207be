"""SqliteBackplane: the logs of one node in a file, so that it forgets nothing when it is restarted.

`backplane` has the protocol's methods. What changes the file they give to a `Writer`: a thread that makes one
transaction of all that waits. It calls a `Store`, which knows the tables. `pages` reads for a `Reader`, on
connections of their own. `schema` opens a file and says what is wrong with it. No statement runs in the event
loop.
"""

from courier.backplane.sqlite.backplane import SqliteBackplane, open_sqlite
from courier.backplane.sqlite.options import SqliteOptions

__all__ = ["SqliteBackplane", "SqliteOptions", "open_sqlite"]
