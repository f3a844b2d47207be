"""Request ids: what a request is called by those who sent it on, for the lines that are written of it."""

import re

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

# https://www.w3.org/TR/trace-context/#traceparent-header-field-values; a version to come may say more behind
# a dash, and then what stands before it is read as of version 00.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)


def facts(request_id: str | None, traceparent: str | None) -> dict[str, str]:
    """The facts of a line: `request_id` of `X-Request-ID`, `trace_id` and `traceparent` of a `traceparent`.

    What is not as it must be is left out.
    """
    told = {"request_id": request_id} if request_id and _REQUEST_ID.fullmatch(request_id) else {}
    match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if match is not None and not (match["version"] == "00" and match["more"]):
        told |= {"trace_id": match["trace_id"], "traceparent": match[0][:55]}
    return told


def echo(request_id: str | None) -> dict[str, str]:
    """The header by which an answer says which request it answers, when that bore an id that can be told."""
    if request_id is None or _REQUEST_ID.fullmatch(request_id) is None:
        return {}
    return {"X-Request-ID": request_id}
