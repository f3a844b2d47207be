"""FastAPI hub: the plan that Courier replaces, as a competent team writes it in a few days.

FastAPI on uvicorn[standard] (uvloop, httptools, websockets), one process, everything in memory. It validates
with Courier's own event models, so that both sides refuse the same events, and has what the plan asked for:
tokens by PyJWT, a sliding-window rate limit, Prometheus metrics, `id` and `channel` in every event delivered.
What the plan had no word for, it has not: no log, so no replay and no gap; no answer to a subscriber that
stops reading but uvicorn's pings; no drain.

Where there were two ways, it takes the quicker one: the body goes to pydantic as bytes, since FastAPI's own
way parses it into dicts first; answers are `Response`s with ready bytes; subscribers are served in a loop,
since `gather` makes a task for each and was slower at every size; nothing is logged per message or request.
"""
