"""The logger of this package. No token and no event's data go into it."""

import logging

logger = logging.getLogger("courier_client")
