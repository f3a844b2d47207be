import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.schemas.channels import UnknownChannelError
from courier.schemas.registry import default_registry
from tests.names import channel_name

KINDS = default_registry().kinds.names
ID_CHARACTERS = string.ascii_letters + string.digits + "_-@|:+~"

TEXTS = st.one_of(
    st.text(),
    st.builds(
        "{}{}{}".format,
        st.sampled_from([*KINDS, "forge", "job", "User", ""]),
        st.sampled_from([".", "..", "", "\n"]),
        st.text(ID_CHARACTERS + ". \n$é٣", max_size=140),
    ),
)


def expected(text: str) -> tuple[str, str, str | None] | None:
    """What the contract says of `text`, the slow way."""
    if text == "global":
        return text, "global", None
    for kind in ("user", "strategy", "backtest", "forge.job"):
        head, tail = text[: len(kind) + 1], text[len(kind) + 1 :]
        if head == kind + "." and 1 <= len(tail) <= 128 and all(letter in ID_CHARACTERS for letter in tail):
            return text, kind, tail
    return None


@given(TEXTS)
def test_a_text_names_a_channel_exactly_when_the_contract_says_so(text: str) -> None:
    if (channel := expected(text)) is not None:
        assert channel_name(text) == channel
    else:
        with pytest.raises(UnknownChannelError):
            channel_name(text)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_an_id_has_from_1_to_128_characters(kind: str) -> None:
    for identifier in ("x", "x" * 128, *ID_CHARACTERS):
        assert channel_name(f"{kind}.{identifier}") == (f"{kind}.{identifier}", kind, identifier)
    for identifier in ("", "x" * 129):
        with pytest.raises(UnknownChannelError):
            channel_name(f"{kind}.{identifier}")


@pytest.mark.parametrize(
    "text",
    ["", "global.x", "Global", "global\n", "user", "user.", "user.u1.evil", "user.u1\n", "user.u 1", "user.ü",
     "user.a/b", "user.a%40b", "user.a{b", "user.a}b", "user.a b", "user.a*b", "user.a&b", "user.a=b",
     "user.٣", "xuser.u1", "forge.j1", "forgexjob.j1", "forge.job", "topic.x", "user.\ud800"],
)  # fmt: skip
def test_a_lookalike_is_no_channel(text: str) -> None:
    with pytest.raises(UnknownChannelError):
        channel_name(text)


def test_the_refusal_says_what_was_expected_and_not_what_came() -> None:
    with pytest.raises(UnknownChannelError, match=r"expected global, user\.<id>, .* 1 to 128 of") as refusal:
        channel_name("topic.secret")
    assert "secret" not in str(refusal.value)
    assert all(kind in str(refusal.value) for kind in KINDS)


def test_a_channel_is_written_as_its_name() -> None:
    assert str(channel_name("forge.job.j1")) == "forge.job.j1"
