"""What a backplane answers when it cannot do what it was asked."""


class BackplaneAway(Exception):
    """What the nodes share cannot be reached now; the same call may succeed later.

    A publish that met it was not acknowledged, and may or may not be in the log.
    """


class BackplaneRefused(BackplaneAway):
    """What the nodes share answers, and refuses; the text says what, and why in its own word, as in
    `the write: OOM`."""


class DiskRefused(BackplaneRefused):
    """The disk takes nothing now, or gives nothing; the text says why, as in `disk is full`."""


class DataUnusable(Exception):
    """The data folder cannot be used, and no waiting helps. The text is a sentence for people."""


class InboxFull(Exception):
    """The channel's publishers are faster than the channel, for longer than they may be made to wait."""


class KeyConflict(Exception):
    """The idempotency key was used for another event of the same channel."""
