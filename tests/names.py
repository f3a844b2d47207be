"""Channel names of the default kinds, for tests."""

from courier.schemas.channels import ChannelName
from courier.schemas.registry import default_registry
from courier.web.access import Rules


def channel_name(text: str) -> ChannelName:
    """The channel that a node without settings takes `text` for."""
    return default_registry().kinds.parse(text)


PLAIN_RULES = Rules(default_registry().kinds, {}, lambda component, error: None)
"""Rules of a site that asks nobody."""
