"""Listing: one page of a long table, searched and sorted, without holding up the event loop."""

from collections.abc import Callable, Iterable, Mapping
from heapq import merge
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

import trio

from courier.web.errors import HttpError

LIMIT = 50
LARGEST_LIMIT = 500
LARGEST_OFFSET = 1_000_000
LONGEST_SEARCH = 200

ROWS_A_TURN = 500
"""How many rows are looked at before other tasks get a turn."""

Row = TypeVar("Row")


class Query(NamedTuple):
    """Which rows are asked for."""

    limit: int = LIMIT
    offset: int = 0
    search: str = ""
    """In lower case; empty: all rows."""
    sort: str = ""
    descending: bool = False


class Table(NamedTuple, Generic[Row]):
    """How the rows of one kind are found and put in order."""

    name: Callable[[Row], str]
    """What no two rows share: it decides between rows that are otherwise equal."""
    texts: Callable[[Row], tuple[str, ...]]
    """What is searched."""
    columns: Mapping[str, Callable[[Row], Any]]
    """What may be sorted by; the first one is the default. Always of one type that has an order."""


class Found(NamedTuple, Generic[Row]):
    """One page of the rows, and how many there are on all pages."""

    rows: list[Row]
    total: int


def parse_query(given: Mapping[str, str], columns: Iterable[str], order: str = "asc") -> Query:
    """The query in a URL's parameters, in that order when none is given; HttpError 400 with a sentence
    when one cannot be read."""
    names = list(columns)
    sort = given.get("sort", names[0])
    if sort not in names:
        raise HttpError(400, f"Unreadable sort: expected one of {', '.join(names)}")
    order = given.get("order", order)
    if order not in ("asc", "desc"):
        raise HttpError(400, "Unreadable order: expected asc or desc")
    search = given.get("search", "")
    if len(search) > LONGEST_SEARCH:
        raise HttpError(400, f"Unreadable search: expected at most {LONGEST_SEARCH} characters")
    return Query(
        number(given, "limit", LIMIT, least=1, most=LARGEST_LIMIT),
        number(given, "offset", 0, least=0, most=LARGEST_OFFSET),
        search.strip().lower(),
        sort,
        order == "desc",
    )


def number(given: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    """The whole number in a parameter; HttpError 400 when it is none, or out of range."""
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
        raise HttpError(400, f"Unreadable {name}: expected a whole number from {least} to {most}")
    return int(text)


async def find(rows: Iterable[Row], table: Table[Row], query: Query) -> Found[Row]:
    """The rows that match, in order, from `offset` on.

    Every 500 rows are a sorted run, and the runs are merged as far as the page reaches: no step is longer
    than that, however many rows there are.
    """
    key, name, texts = table.columns[query.sort], table.name, table.texts
    search, descending = query.search, query.descending
    runs: list[list[tuple[Any, str, Row]]] = []
    total = 0
    remaining = iter(tuple(rows))  # others may change what they come from while we give way
    while batch := list(islice(remaining, ROWS_A_TURN)):
        if search:
            batch = [row for row in batch if any(search in text.lower() for text in texts(row))]
        total += len(batch)
        runs.append(sorted([(key(row), name(row), row) for row in batch], reverse=descending))
        await trio.lowlevel.checkpoint()
    merged = merge(*runs, reverse=descending)
    to_pass = min(query.offset, total)
    while to_pass:
        passed = min(to_pass, ROWS_A_TURN)
        to_pass -= len(list(islice(merged, passed)))
        await trio.lowlevel.checkpoint()
    return Found([row for _, _, row in islice(merged, query.limit)], total)
