"""Logs (stand-in until the real one is written)."""

import structlog


def get_logger(name):
    return structlog.get_logger(name)
