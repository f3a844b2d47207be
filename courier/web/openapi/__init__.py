"""OpenAPI 3.1 of the HTTP side, made from the models and from the refusals themselves."""

from courier.web.openapi.document import openapi

__all__ = ["openapi"]
