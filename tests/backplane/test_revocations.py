"""Revocations as a node holds them: what counts, what was taken back, what has ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.backplane.revocations import Revocation, Revocations

NOW = 1_000

ENTRIES = st.lists(
    st.builds(
        Revocation,
        id=st.sampled_from("abc"),
        subject=st.just("user_id"),
        name=st.just("alice"),
        issued_before=st.just(500),
        expires_at=st.just(2_000),
        taken_back=st.booleans(),
    ),
    max_size=8,
)


def a_revocation(id: str = "a", issued_before: int | None = 500, expires_at: int = 2_000) -> Revocation:
    return Revocation(id, "user_id", "alice", issued_before, expires_at)


def test_a_token_made_up_to_the_moment_counts_no_more_until_the_revocation_ends() -> None:
    held = Revocations(known=True)
    held.merge([a_revocation()], NOW)
    assert held.revokes("user_id", "alice", 500, NOW)
    assert not held.revokes("user_id", "alice", 501, NOW)
    assert not held.revokes("user_id", "bob", 500, NOW)
    assert not held.revokes("service", "alice", 500, NOW)
    assert not held.revokes("user_id", "alice", 500, 2_000)


def test_a_token_id_counts_no_more_whenever_it_was_made() -> None:
    held = Revocations(known=True)
    held.merge([Revocation("a", "token_id", "x", None, 2_000)], NOW)
    assert held.revokes("token_id", "x", 10**9, NOW)


def test_a_second_revocation_goes_on_when_the_first_ends_or_is_taken_back() -> None:
    held = Revocations(known=True)
    held.merge([a_revocation("a", 500, 1_500), a_revocation("b", 100, 2_000)], NOW)
    held.expire(1_600)
    assert not held.revokes("user_id", "alice", 500, 1_600)
    assert held.revokes("user_id", "alice", 100, 1_600)
    held.merge([a_revocation("b", 100, 2_000)._replace(taken_back=True)], NOW)
    assert not held.revokes("user_id", "alice", 100, 1_600)
    assert held.get("b") is None
    held.expire(2_000)
    assert len(held) == 0


@given(ENTRIES, st.randoms())
def test_what_counts_does_not_depend_on_the_order_in_which_it_came(
    entries: list[Revocation], random: object
) -> None:
    one, two = Revocations(known=True), Revocations(known=True)
    one.merge(entries, NOW)
    shuffled = entries * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    two.merge(shuffled, NOW)
    assert sorted(one.held(NOW)) == sorted(two.held(NOW))
    assert one.revokes("user_id", "alice", 1, NOW) == two.revokes("user_id", "alice", 1, NOW)
    assert one.revokes("user_id", "alice", 1, NOW) == any(
        not any(each.id == other.id and each.taken_back for each in entries) for other in entries
    )


def test_each_that_is_new_is_heard_once() -> None:
    held, heard = Revocations(known=True), list[str]()
    held.heard = lambda revocations: heard.extend(each.id for each in revocations)
    for _ in range(3):
        held.merge([a_revocation("a"), a_revocation("b"), a_revocation("old", expires_at=NOW)], NOW)
    held.merge([a_revocation("a")._replace(taken_back=True)], NOW)
    held.merge([a_revocation("a")], NOW)
    assert heard == ["a", "b"]


def test_it_goes_as_text_and_comes_back() -> None:
    assert Revocation.from_json(a_revocation().to_json()) == a_revocation()
    later = a_revocation().to_json().replace("{", '{"of_a_later_version":1,')
    assert Revocation.from_json(later) == a_revocation()
    other_types = a_revocation().to_json().replace(":2000", ':"2000"')
    assert other_types != a_revocation().to_json()
    for junk in ("{}", '{"id":"a","other":1}', "[]", "junk", "7", other_types):
        with pytest.raises(ValueError, match=r".*"):
            Revocation.from_json(junk)


def test_however_often_a_user_is_revoked_a_look_up_looks_at_one() -> None:
    held = Revocations(known=True)
    held.merge([a_revocation(str(number), 500 + number, 2_000 + number) for number in range(2_000)], NOW)
    assert len(held._by_name["user_id", "alice"]) == 1
    assert held.revokes("user_id", "alice", 2_499, NOW)
    held.merge([a_revocation("1999", 2_499, 3_999)._replace(taken_back=True)], NOW)
    assert not held.revokes("user_id", "alice", 2_499, NOW)
    assert held.revokes("user_id", "alice", 2_498, NOW)
