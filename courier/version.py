"""Version: the release of Courier that runs, as the installed distribution says."""

from importlib.metadata import version

VERSION = version("courier-bus")
