"""The desk and the general path: whatever bytes they get, all that can be seen of them is the same.

`COURIER_CASES=2000` sends more of them, and `COURIER_TEST_SEED=2` others."""

import os
from collections import Counter

import pytest

from tests.web.requests import LAST, Case, a_case, odd_requests, small_requests
from tests.web.ways import SLOTS, both_ways, who

SEED = os.environ.get("COURIER_TEST_SEED", "1")
CASES = int(os.environ.get("COURIER_CASES", "80"))

SETTINGS: dict[str, dict[str, object]] = {
    "open": {},
    "required": {"publish_auth": "required"},
    "reported": {"publish_auth": "report", "rate_limit": 3},
}


@pytest.mark.parametrize("name", SETTINGS)
async def test_whatever_is_sent_is_answered_and_published_as_on_the_general_path(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = [f"{SEED}-{name}-{number}" for number in range(CASES)]
    cases = [a_case(seed, who(seed, number % SLOTS)) for number, seed in enumerate(seeds)]
    assert sum(case.requests for case in cases) > 2 * CASES
    async with both_ways(monkeypatch, capsys, **SETTINGS[name]) as both:
        await both.compare(cases)
    assert Counter(both.taken)[200] > CASES // 4  # or little was compared


async def test_what_comes_while_others_are_answered_is_answered_as_on_the_general_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are plain: where an answer needs no body, what becomes of the connection hangs on who is first."""
    seeds = [f"{SEED}-hasty-{number}" for number in range(CASES)]
    cases = [a_case(seed, who(seed, number % SLOTS), plain=True) for number, seed in enumerate(seeds)]
    async with both_ways(monkeypatch, capsys) as both:
        await both.compare(cases, hasty=True)


async def test_a_plain_request_with_one_thing_that_is_odd_is_answered_as_on_the_general_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another plain one follows it, so that both must agree where it ends."""
    callers = [who("s", slot) for slot in range(SLOTS)]
    requests = [odd_requests(caller, SEED) for caller in callers]
    cases = []
    for number in range(len(requests[0])):
        slot = number % SLOTS
        sent = requests[slot][number] + small_requests(callers[slot])[0] + LAST
        cases.append(Case(f"odd {number}", (sent,), 3))
    async with both_ways(monkeypatch, capsys) as both:
        await both.compare(cases)


async def test_ten_requests_cut_at_every_byte_are_answered_as_on_the_general_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases: list[Case] = []
    for number, whole in enumerate(small_requests(who("s", 0))):
        for cut in range(1, len(whole)):
            sent = small_requests(who("s", len(cases) % SLOTS))[number]
            cases.append(Case(f"{number} cut at {cut}", (sent[:cut], sent[cut:]), 1))
    async with both_ways(monkeypatch, capsys) as both:
        await both.compare(cases)
    assert len(both.taken) > len(cases) // 4


async def test_ten_requests_sent_byte_by_byte_are_answered_as_on_the_general_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = []
    for number in range(10):
        sent = small_requests(who("s", number))[number]
        cases.append(Case(f"{number} byte by byte", tuple(bytes([byte]) for byte in sent), 1))
    async with both_ways(monkeypatch, capsys) as both:
        await both.compare(cases)
