"""The contract as documents, all made from the models: pure functions from a registry."""

from courier.schemas.contract.asyncapi import asyncapi
from courier.schemas.contract.bundle import json_schema, type_schemas
from courier.schemas.contract.changes import Change, compare, report
from courier.schemas.contract.python import python
from courier.schemas.contract.typescript import typescript

__all__ = ["Change", "asyncapi", "compare", "json_schema", "python", "report", "type_schemas", "typescript"]
