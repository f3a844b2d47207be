"""Answers: the parts of a document that describe bodies, answers and headers."""

from typing import Any

from courier.schemas.channels import Kinds
from courier.schemas.contract.examples import example_of
from courier.schemas.contract.shapes import Schema
from courier.web.openapi.refusals import Refusals, examples
from courier.web.publishing.judge import JSON

COMPONENTS = "#/components/schemas/"

STATUS = {
    400: "The request is wrong, as the sentence says.",
    401: "The token is missing, invalid or expired.",
    403: "The token is good, but not for this.",
    404: "There is nothing of this name.",
    405: "The path takes another method.",
    408: "The body took too long to come.",
    409: "The idempotency key was used for another event.",
    413: "The body is too large, or holds too many events.",
    415: "The body is of another media type.",
    429: "The service has published as much as it may for now.",
    500: "The channel crashed; the event is not in the log.",
    503: "Not now: try again after `Retry-After`, best at another node.",
}

TEXT: Schema = {"type": "string"}
HEADERS: Schema = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    "WWW-Authenticate": {"description": "RFC 6750.", "required": True, "schema": TEXT},
    "Allow": {"description": "The methods that the path takes.", "required": True, "schema": TEXT},
    "ETag": {"description": "Changes with the document.", "required": True, "schema": TEXT},
    "X-RateLimit-Limit": {
        "description": "Events in a window. Left out where there is no limit.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    "X-RateLimit-Remaining": {
        "description": "Events that are left.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    "X-RateLimit-Reset": {
        "description": "When there will be more: Unix seconds.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
}
RATE = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_STATUS_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After", *RATE),
    503: ("Retry-After",),
}


def question(
    name: str,
    about: str,
    schema: str,
    yes: dict[str, Any],
    no: dict[str, Any] | None = None,
    security: list[Schema] | None = None,
) -> Schema:
    """A path that is asked with GET and answers yes, 200, or no, 503; by name, examples of both."""
    responses = {"200": {"description": "Yes.", "content": {JSON: content_of(schema, values(yes))}}}
    if no is not None:
        responses["503"] = {"description": "No.", "content": {JSON: content_of(schema, values(no))}}
    return {
        "get": {
            "operationId": name,
            "tags": ["Health"],
            "summary": about,
            "security": security or [],
            "responses": responses,
        }
    }


def answer(name: str, told: dict[str, Any], about: str, headers: tuple[str, ...] = RATE) -> Schema:
    """The answer of 200, with examples by name."""
    return {
        "200": {
            "description": about,
            "headers": headers_of(headers),
            "content": {JSON: content_of(name, values(told))},
        }
    }


def refusals_of(refusals: Refusals) -> Schema:
    """The answers to all of these, by status."""
    statuses = sorted({example.status for example in examples(refusals)})
    return {str(status): refused(refusals, status) for status in statuses}


def refused(refusals: Refusals, status: int) -> Schema:
    """The answer to those of one status."""
    told = {
        example.name: {"summary": example.body["detail"]["error"], "value": example.body}
        for example in examples(refusals)
        if example.status == status
    }
    response: Schema = {"description": STATUS[status], "content": {JSON: content_of("Refusal", told)}}
    if status in _STATUS_HEADERS:
        response["headers"] = headers_of(_STATUS_HEADERS[status])
    return response


def body_of(content: Schema) -> Schema:
    """A request's body, by media type."""
    return {"required": True, "content": content}


def content_of(schema: str, told: dict[str, Any]) -> Schema:
    """What is of a schema, with examples as OpenAPI has them."""
    return {"schema": ref(schema), "examples": told}


def values(told: dict[str, Any]) -> dict[str, Any]:
    """Examples by name, as OpenAPI has them."""
    return {name: {"value": value} for name, value in told.items()}


def example_named(name: str, bundle: Schema) -> Any:
    """An example of one schema of the contract."""
    return example_of(bundle["$defs"][name], bundle["$defs"])


def headers_of(names: tuple[str, ...]) -> Schema:
    """Headers of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": COMPONENTS + name}


def channel_parameter(kinds: Kinds) -> Schema:
    """The channel in a path."""
    return {
        "name": "channel",
        "in": "path",
        "required": True,
        "description": " or ".join(f"`{kind.form}`" for kind in kinds) + ".",
        "schema": {"type": "string", "pattern": kinds.pattern},
        "example": "user.alice",
    }
