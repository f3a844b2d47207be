"""Keys: a repeat gets the first answer, for as long as its key is kept."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from courier.actors.keys import KEPT_SECONDS, Keys
from courier.backplane import Appended, KeyConflict, Publication
from courier.schemas.position import Position


def appended(offset: int) -> Appended:
    return Appended(Position("epoch000", offset), 1000 + offset, clients_reached=offset)


def test_a_new_key_is_not_known() -> None:
    assert Keys(10).find("user.u1", Publication(b"{}", "bot:a", b"x"), 0) is None


def test_a_repeat_gets_the_first_answer_and_is_told_that_it_is_one() -> None:
    keys, once = Keys(10), Publication(b"{}", "bot:a", b"x")
    keys.keep("user.u1", once, appended(1), 0)
    assert keys.find("user.u1", once, 5) == appended(1)._replace(deduplicated=True)
    assert keys.find("user.u2", once, 5) is None
    assert isinstance(keys.find("user.u1", once._replace(digest=b"y"), 5), KeyConflict)


def test_a_key_is_new_again_after_five_minutes() -> None:
    keys, once = Keys(10), Publication(b"{}", "bot:a", b"x")
    keys.keep("user.u1", once, appended(1), 7)
    assert keys.find("user.u1", once, 7 + KEPT_SECONDS - 1) is not None
    assert keys.find("user.u1", once, 7 + KEPT_SECONDS) is None
    assert not len(keys)


def test_beyond_the_limit_the_oldest_go() -> None:
    keys = Keys(2)
    for number in range(3):
        keys.keep("user.u1", Publication(b"{}", f"bot:{number}", b"x"), appended(number), 0)
    known = [keys.find("user.u1", Publication(b"{}", f"bot:{number}", b"x"), 0) for number in range(3)]
    assert [outcome is not None for outcome in known] == [False, True, True]


class KeysAgainstAList(RuleBasedStateMachine):
    """The table knows of the last so many keys those that are young enough."""

    @initialize(limit=st.integers(0, 4))
    def start(self, limit: int) -> None:
        self.limit = limit
        self.keys = Keys(limit)
        self.kept: list[tuple[float, str, str, bytes, Appended]] = []
        self.now = 0.0

    @rule(seconds=st.integers(0, 200))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(channel=st.sampled_from("ab"), key=st.sampled_from("xyz"), digest=st.sampled_from([b"1", b"2"]))
    def publish(self, channel: str, key: str, digest: bytes) -> None:
        publication = Publication(b"{}", key, digest)
        young = (
            [one for one in self.kept if self.now - one[0] < KEPT_SECONDS][-self.limit :]
            if self.limit
            else []
        )
        known = [one for one in young if one[1:3] == (channel, key)]
        outcome = self.keys.find(channel, publication, self.now)
        if known and known[0][3] == digest:
            assert outcome == known[0][4]._replace(deduplicated=True)
        elif known:
            assert isinstance(outcome, KeyConflict)
        else:
            assert outcome is None
            receipt = appended(len(self.kept))
            self.keys.keep(channel, publication, receipt, self.now)
            self.kept.append((self.now, channel, key, digest, receipt))

    @invariant()
    def is_bounded(self) -> None:
        if hasattr(self, "keys"):
            assert len(self.keys) <= self.limit


TestKeysAgainstAList: Any = KeysAgainstAList.TestCase
TestKeysAgainstAList.settings = settings(max_examples=50, derandomize=True)
