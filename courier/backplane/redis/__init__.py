"""RedisBackplane: the logs are streams in Redis, which all nodes append to, read and follow.

`backplane` has the protocol's methods. What they need of Redis they ask a `Pump` for: a task that lives as
long as the backplane, and sends what waits as one pipeline. `calls` makes script calls of what was asked, and
what callers get of the answers. A `Listener` holds the pub/sub connection that feeds the node. `probes` show
whether Redis does what a node needs, and an `Inspector` looks at how it is set up.
"""

from courier.backplane.redis.backplane import RedisBackplane, open_redis
from courier.backplane.redis.options import RedisOptions

__all__ = ["RedisBackplane", "RedisOptions", "open_redis"]
