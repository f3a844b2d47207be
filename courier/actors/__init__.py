"""The actors: a channel is a log, a subscriber is a cursor.

Start reading at `hub.py`, the front door; `channel.py` is the actor, `log.py` and `subscriber.py` are the
two halves of the sentence. Nothing here knows HTTP, tokens or Redis.
"""
