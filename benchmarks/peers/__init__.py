"""Peers: what Courier is measured beside. None of them is part of Courier, and none is needed to run it."""
