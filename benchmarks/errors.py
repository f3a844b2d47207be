"""LoadError: the one thing that ends a measurement."""


class LoadError(Exception):
    """The server, or the machine, did something with which a measurement makes no sense."""
