"""What can go wrong here, split by what the caller can do about it.

CourierError
├── Refused             nothing happened; the same call may succeed later
│   ├── Draining        this node is leaving: ask another one
│   ├── NodeFull        no room for one more subscriber
│   └── TooManyChannels no room for one more channel
└── ChannelFailed       the channel crashed before it took the message; nothing was appended
"""


class CourierError(Exception):
    """Any error of Courier's own."""


class Refused(CourierError):
    """Nothing happened; the same call may succeed later."""


class Draining(Refused):
    """This node is leaving and takes neither events nor subscribers."""


class NodeFull(Refused):
    """The node, or this subscriber's user, has as many connections as it may have."""


class TooManyChannels(Refused):
    """The node has as many channels as it may have, and the one asked for is not among them."""


class ChannelFailed(CourierError):
    """The channel crashed before it took the message: nothing of it is in the log."""
