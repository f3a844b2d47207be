"""What a token must be to prove anything, and which error it is when it is not."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.lumiere import LumiereClaims
from courier.settings import DEVELOPMENT_SECRET, Settings, SettingsError, load_settings
from courier.web.auth import (
    KNOWN_HEADERS,
    AuthError,
    ClaimInvalid,
    KeySet,
    KeysUnavailable,
    Signatures,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    Verifier,
    bearer,
    mint_service_token,
    mint_user_token,
)
from tests.web.test_ownership import never, says, serving

NOW = 1_800_000_000
GOOD = {"user_id": "u1", "wallet_address": "w1", "iat": NOW, "exp": NOW + 60}
DEFAULTS = load_settings({})

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def jwk(key: Any, **more: str) -> dict[str, Any]:
    algorithm = {RSA: "RS256", EC: "ES256", ED: "EdDSA"}[key]
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return made | more


def verifier(settings: Settings = DEFAULTS, now: float = NOW) -> Verifier:
    return Verifier(settings, LumiereClaims, lambda: now)


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token, with some changed; `...` leaves one out."""
    return {claim: value for claim, value in (GOOD | changed).items() if value is not ...}


def token(key: Any = DEVELOPMENT_SECRET, algorithm: str = "HS256", header: Any = None, **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm, headers=header)


def by_hand(header: object, payload: object = GOOD, secret: bytes = DEVELOPMENT_SECRET.encode()) -> str:
    """A token signed with HMAC-SHA256 whatever its header says."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc  ", "abc"),
        ("Bearer a b", "a b"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("Bearerabc", None),
        ("", None),
        (None, None),
    ],
)
def test_a_bearer_is_what_follows_the_scheme_in_any_case(header: str | None, expected: str | None) -> None:
    assert bearer(header) == expected


async def test_a_good_token_gives_its_claims() -> None:
    subscriber = await verifier().subscriber(token(extra="ignored"))
    assert subscriber.claims.model_dump() == GOOD
    service = await verifier().service(token(service="prophet", user_id=..., wallet_address=...))
    assert service.name == "prophet"


@pytest.mark.parametrize("missing", [None, ""])
async def test_no_token_is_missing_rather_than_invalid(missing: str | None) -> None:
    with pytest.raises(TokenMissing):
        await verifier().subscriber(missing)
    with pytest.raises(TokenMissing):
        await verifier().service(missing)


INVALID = {
    "junk": "junk",
    "dots": "..",
    "no ASCII": "é.è.à",
    "a lone surrogate": "\ud800",
    "no JSON": by_hand(b"{"),
    "a header that is a list": by_hand([]),
    "a header without an end": by_hand(b"[" * 5000),
    "no algorithm": by_hand({}),
    "an algorithm that is an object": by_hand({"alg": {}}),
    "a key id that is a number": by_hand({"alg": "HS256", "kid": 1}),
    "a critical extension": by_hand({"alg": "HS256", "crit": ["exp"], "exp": 1}),
    "a payload that is a list": by_hand({"alg": "HS256"}, []),
    "a payload that is no JSON": by_hand({"alg": "HS256"}, b"x"),
    "a payload without an end": by_hand({"alg": "HS256"}, b"[" * 5000),
    "another secret": token("another-secret-that-is-long-enough-too"),
    "another algorithm": token(DEVELOPMENT_SECRET + "x" * 32, "HS512"),
    "the right secret and another algorithm": by_hand({"alg": "HS512"}),
    "no signature": token().rpartition(".")[0] + ".",
    "half a signature": token()[:-20],
    "too long": token(extra="x" * 8192),
    "no user": token(user_id=...),
    "no wallet": token(wallet_address=...),
    "no end": token(exp=...),
    "no beginning": token(iat=...),
    "an end that is text": by_hand({"alg": "HS256"}, GOOD | {"exp": str(NOW + 60)}),
    "an end with a fraction": by_hand({"alg": "HS256"}, GOOD | {"exp": NOW + 60.0}),
    "an end that is true": by_hand({"alg": "HS256"}, GOOD | {"exp": True}),
    "an end that is null": by_hand({"alg": "HS256"}, GOOD | {"exp": None}),
    "an end beyond all calendars": token(exp=10**15),
    "a beginning with a fraction": by_hand({"alg": "HS256"}, GOOD | {"iat": NOW + 0.5}),
    "a user that is a number": token(user_id=7),
    "a beginning in the future": token(iat=NOW + 31),
    "not yet": token(nbf=NOW + 31),
    "a not-before that is text": by_hand({"alg": "HS256"}, GOOD | {"nbf": "0"}),
    "a not-before that is null": by_hand({"alg": "HS256"}, GOOD | {"nbf": None}),
    "a not-before that is no number": by_hand(
        {"alg": "HS256"}, json.dumps(GOOD | {"nbf": float("nan")}).encode()
    ),
    "a service's": token(user_id=..., wallet_address=..., service="prophet"),
    "ended and not signed": token("another-secret-that-is-long-enough-too", exp=NOW - 1),
    "ended and incomplete": token(user_id=..., exp=NOW - 1),
} | {f"alg {name}": by_hand({"alg": name}) for name in ("none", "None", "NONE", "", "hs256", "HS256 ")}


@pytest.mark.parametrize("wrong", INVALID.values(), ids=INVALID.keys())
async def test_what_proves_nothing_is_invalid(wrong: str) -> None:
    with pytest.raises(TokenInvalid):
        await verifier().subscriber(wrong)


async def test_an_unsigned_token_is_invalid_even_if_its_signature_is_left_out_as_it_should_be() -> None:
    unsigned = jwt.encode(GOOD, "", "none")
    with pytest.raises(TokenInvalid):
        await verifier().subscriber(unsigned)


async def test_only_a_good_token_that_has_ended_is_expired_and_its_end_has_no_leeway() -> None:
    ended = token(exp=NOW)
    with pytest.raises(TokenExpired):
        await verifier().subscriber(ended)
    assert await verifier(now=NOW - 0.001).subscriber(ended)


async def test_iat_and_nbf_have_thirty_seconds_of_leeway() -> None:
    early = token(iat=NOW + 30, nbf=NOW + 30.0)
    assert await verifier().subscriber(early)
    with pytest.raises(TokenInvalid):
        await verifier(now=NOW - 0.001).subscriber(early)


async def test_the_issuer_is_compared_when_it_is_set() -> None:
    settings = load_settings({}, jwt_issuer="lumiere")
    assert await verifier(settings).subscriber(token(iss="lumiere"))
    for iss in ("other", "Lumiere", ["lumiere"], None, ...):
        with pytest.raises(TokenInvalid):
            await verifier(settings).subscriber(by_hand({"alg": "HS256"}, claims(iss=iss)))
    assert await verifier().subscriber(token(iss="anyone"))


async def test_the_audience_is_compared_when_it_is_set_and_passes_when_it_is_not() -> None:
    settings = load_settings({}, jwt_audience="courier")
    for named in ("courier", ["other", "courier"]):
        assert await verifier(settings).subscriber(token(aud=named))
    for aud in ("other", "couriers", ["cour", "ier"], [], {"courier": 1}, None, ...):
        with pytest.raises(TokenInvalid):
            await verifier(settings).subscriber(by_hand({"alg": "HS256"}, claims(aud=aud)))
    assert await verifier().subscriber(token(aud="anyone"))


def in_base64(parts: list[bytes]) -> str:
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
wrong_tokens = st.one_of(
    st.text(),
    st.lists(st.binary(max_size=60), max_size=4).map(in_base64),
    st.builds(
        by_hand, json_values | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64"]), json_values)
    ),
    st.builds(by_hand, st.just({"alg": "HS256"}), st.binary() | json_values),
)


@given(wrong_tokens)
def test_no_text_makes_the_verifier_raise_anything_but_its_own_errors(text: str) -> None:
    with pytest.raises(AuthError):
        trio.run(verifier().subscriber, text)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "nbf", "aud", "iss"), json_values)))
def test_no_claim_makes_the_verifier_raise_anything_but_its_own_errors(changed: dict[str, Any]) -> None:
    settings = load_settings({}, jwt_audience="courier")
    with pytest.raises(AuthError):
        trio.run(verifier(settings).subscriber, by_hand({"alg": "HS256"}, GOOD | changed))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "RS512"), (EC, "ES256"), (ED, "EdDSA")])
async def test_a_token_of_another_party_is_judged_by_its_public_key(key: Any, algorithm: str) -> None:
    judge = verifier(load_settings({}, jwt_algorithms=algorithm, jwt_public_key=pem(key)))
    assert (await judge.subscriber(token(key, algorithm))).claims.user_id == "u1"
    for wrong in (token(), token(key, algorithm)[:-8] + "AAAAAAAA"):
        with pytest.raises(TokenInvalid):
            await judge.subscriber(wrong)


@pytest.mark.parametrize("algorithms", ["RS256", "HS256,RS256", "RS256,HS256"])
async def test_nobody_can_sign_with_the_public_key_as_if_it_were_the_secret(algorithms: str) -> None:
    public = pem(RSA)
    judge = verifier(load_settings({}, jwt_algorithms=algorithms, jwt_public_key=public))
    for secret in (
        public.encode(),
        public.strip().encode(),
        RSA.public_key().public_numbers().n.to_bytes(256),
    ):
        with pytest.raises(TokenInvalid):
            await judge.subscriber(by_hand({"alg": "HS256"}, secret=secret))
        with pytest.raises(TokenInvalid):
            await judge.subscriber(by_hand({"alg": "RS256"}, secret=secret))
    assert await judge.subscriber(token(RSA, "RS256"))


async def test_the_key_at_the_jwks_url_is_chosen_by_its_id() -> None:
    keys = {"keys": [jwk(RSA, kid="r"), jwk(EC, kid="e", use="sig", alg="ES256"), jwk(ED, kid="d")]}
    async with serving(says(json.dumps(keys))) as server:
        judge = verifier(load_settings({}, jwt_algorithms="HS256,RS256,ES256,EdDSA", jwks_url=server.url))
        for key, algorithm, key_id in ((RSA, "RS256", "r"), (EC, "ES256", "e"), (ED, "EdDSA", "d")):
            assert await judge.subscriber(token(key, algorithm, {"kid": key_id}))
        for wrong in (
            token(RSA, "RS256"),
            token(RSA, "RS256", {"kid": "e"}),
            token(EC, "ES256", {"kid": "r"}),
            token(rsa.generate_private_key(65537, 2048), "RS256", {"kid": "r"}),
            token(RSA, "RS512", {"kid": "r"}),
        ):
            with pytest.raises(TokenInvalid):
                await judge.subscriber(wrong)
    assert len(server.requests) == 1


async def test_a_token_without_a_key_id_is_judged_by_the_key_in_the_settings() -> None:
    async with serving(says(json.dumps({"keys": [jwk(EC, kid="e")]}))) as server:
        judge = verifier(
            load_settings({}, jwt_algorithms="ES256", jwks_url=server.url, jwt_public_key=pem(EC))
        )
        assert await judge.subscriber(token(EC, "ES256"))
        assert server.requests == []
        assert await judge.subscriber(token(EC, "ES256", {"kid": "e"}))
        assert len(server.requests) == 1


async def test_a_key_that_is_for_another_use_or_algorithm_or_is_a_secret_is_not_used() -> None:
    secret = base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")
    keys = [
        jwk(RSA, kid="encryption", use="enc"),
        jwk(RSA, kid="algorithm", alg="RS512"),
        {"kty": "oct", "k": secret, "kid": "secret"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "new", "kid": "new"},
        jwk(RSA),
        "no key",
        jwk(RSA, kid="good"),
    ]
    async with serving(says(json.dumps({"keys": keys}))) as server:
        judge = verifier(load_settings({}, jwt_algorithms="HS256,RS256", jwks_url=server.url))
        assert await judge.subscriber(token(RSA, "RS256", {"kid": "good"}))
        for key_id in ("encryption", "algorithm", "secret", "empty", "new", "None"):
            with pytest.raises(TokenInvalid):
                await judge.subscriber(token(RSA, "RS256", {"kid": key_id}))
        with pytest.raises(TokenInvalid):
            await judge.subscriber(token("x" * 32, "HS256", {"kid": "secret"}))
        assert await KeySet(server.url).key("secret") is None


async def test_an_unknown_key_id_fetches_the_keys_again_but_only_every_thirty_seconds(
    mock_clock: MockClock,
) -> None:
    old, new = (says(json.dumps({"keys": [jwk(EC, kid=key_id)]})) for key_id in ("old", "new"))
    async with serving(old, new) as server:
        keys = KeySet(server.url)
        assert await keys.key("old")
        mock_clock.jump(29)
        assert await keys.key("new") is None
        assert len(server.requests) == 1
        mock_clock.jump(1)
        assert await keys.key("new")
        assert await keys.key("old") is None
        assert len(server.requests) == 2


async def test_a_key_that_was_withdrawn_stops_counting_after_ten_minutes(mock_clock: MockClock) -> None:
    async with serving(says(json.dumps({"keys": [jwk(EC, kid="old")]})), says('{"keys": []}')) as server:
        keys = KeySet(server.url)
        assert await keys.key("old")
        mock_clock.jump(599)
        assert await keys.key("old")
        mock_clock.jump(1)
        assert await keys.key("old") is None
        assert len(server.requests) == 2


async def test_keys_that_cannot_be_had_are_unavailable_and_not_a_fault_of_the_token(
    mock_clock: MockClock,
) -> None:
    good = says(json.dumps({"keys": [jwk(EC, kid="e")]}))
    async with serving(says("", 503), good) as server:
        keys = KeySet(server.url)
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await keys.key("e")
        assert len(server.requests) == 1, "nor are they asked for at once again"
        mock_clock.jump(30)
        assert await keys.key("e")


async def test_keys_that_are_held_go_on_while_new_ones_cannot_be_had(mock_clock: MockClock) -> None:
    async with serving(says(json.dumps({"keys": [jwk(EC, kid="e")]})), says("", 500)) as server:
        keys = KeySet(server.url)
        assert await keys.key("e")
        mock_clock.jump(600)
        assert await keys.key("e")
        with pytest.raises(KeysUnavailable):
            await keys.key("unknown")
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer", [never, says("", 302, "Location: /"), says("{"), says("[]"), says('{"keys": 1}')]
)
async def test_no_key_set_within_the_limit_is_unavailable(answer: Any) -> None:
    async with serving(answer) as server:
        keys = KeySet(server.url, limit_seconds=0.2)
        with trio.fail_after(5), pytest.raises(KeysUnavailable):
            await keys.key("e")
        assert len(server.requests) == 1


async def test_all_who_need_the_keys_at_once_share_one_fetch_even_if_the_first_leaves() -> None:
    asked, released = trio.Event(), trio.Event()
    found = []

    async def when_released(stream: trio.SocketStream) -> None:
        asked.set()
        await released.wait()
        await says(json.dumps({"keys": [jwk(EC, kid="e")]}))(stream)

    async with serving(when_released) as server:
        keys = KeySet(server.url, limit_seconds=10)

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                found.append(await keys.key("e"))

        first = trio.CancelScope()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, first)
                await asked.wait()
                for _ in range(3):
                    nursery.start_soon(ask, trio.CancelScope())
                await wait_all_tasks_blocked()
                first.cancel()
                released.set()
    assert len(found) >= 3
    assert None not in found
    assert len(server.requests) == 1


async def test_a_token_that_needs_no_public_key_does_not_wait_for_the_key_set() -> None:
    async with serving(never) as server:
        judge = verifier(load_settings({}, jwt_algorithms="HS256,RS256", jwks_url=server.url))
        with trio.fail_after(0.1):
            assert await judge.subscriber(token())
        assert server.requests == []


async def test_minted_tokens_are_accepted_until_they_end() -> None:
    settings = load_settings(
        {}, jwt_issuer="a", jwt_audience="b", jwt_algorithms="HS512,HS256", jwt_secret="s" * 64
    )
    user = mint_user_token(settings, "u1", 60, {"wallet_address": "w1"}, now=lambda: NOW + 0.9)
    service = mint_service_token(settings, "prophet", 60, now=lambda: NOW)
    assert (await verifier(settings).subscriber(user)).claims.model_dump() == GOOD
    assert (await verifier(settings).service(service)).name == "prophet"
    with pytest.raises(TokenExpired):
        await verifier(settings, now=NOW + 60).service(service)


def test_a_token_that_would_be_refused_is_not_minted() -> None:
    makers: list[Callable[[], str]] = [
        lambda: mint_user_token(DEFAULTS, "", 60, {"wallet_address": "w1"}),
        lambda: mint_user_token(DEFAULTS, "u" * 129, 60, {"wallet_address": "w1"}),
        lambda: mint_service_token(DEFAULTS, "Prophet", 60),
    ]
    for make in makers:
        with pytest.raises(ValueError):
            make()


def test_without_an_hs_algorithm_courier_says_that_it_cannot_sign() -> None:
    settings = load_settings({}, jwt_algorithms="ES256", jwt_public_key=pem(EC))
    with pytest.raises(SettingsError, match=r"^COURIER_JWT_ALGORITHMS must name an HS algorithm"):
        mint_user_token(settings, "u1", 60, {"wallet_address": "w1"})


async def test_no_error_tells_anything_of_the_token() -> None:
    for wrong in (token(exp=NOW), by_hand(b"secret-in-a-header"), token(user_id={"secret": 1}), "secret"):
        with pytest.raises(AuthError) as caught:
            await verifier().subscriber(wrong)
        assert str(caught.value)
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_part_of_a_token_is_read_as_pyjwt_reads_it(segment: bytes) -> None:
    for part in (segment, base64.urlsafe_b64encode(segment), base64.urlsafe_b64encode(segment).rstrip(b"=")):
        outcomes: list[bytes | str] = []
        for kind in (Signatures, jwt.PyJWS):
            try:
                outcomes.append(kind._decode_base64url_segment(part, "payload"))
            except jwt.DecodeError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]


def read_by(signatures: jwt.PyJWS, text: str) -> bytes | str:
    key = DEVELOPMENT_SECRET.encode()
    try:
        if isinstance(signatures, Signatures):
            return signatures.payload(text, [key], ["HS256"])
        said: bytes = signatures.decode(text, key, ["HS256"])
    except (jwt.PyJWTError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return said


@given(st.data())
def test_a_token_with_a_known_header_is_judged_as_pyjwt_judges_it(data: st.DataObject) -> None:
    good, known = token(), Signatures()
    assert read_by(known, good) == read_by(jwt.PyJWS(), good)
    at = data.draw(st.integers(0, len(good)))
    new = data.draw(st.text("AQgw48-_=. \u00e9", max_size=3))
    changed = good[:at] + new + good[at + data.draw(st.integers(0, 3)) :]
    assert read_by(known, changed) == read_by(jwt.PyJWS(), changed)


def test_a_known_header_is_no_proof_for_another_key_or_another_algorithm() -> None:
    known = Signatures()
    known.payload(token(), [DEVELOPMENT_SECRET.encode()], ["HS256"])
    with pytest.raises(jwt.InvalidSignatureError):
        known.payload(token(), [b"another secret, of the length that it takes"], ["HS256"])
    with pytest.raises(jwt.InvalidAlgorithmError):
        known.payload(token(), [DEVELOPMENT_SECRET.encode()], ["HS512"])


def test_headers_that_all_differ_are_not_kept_without_end() -> None:
    known = Signatures()
    for number in range(3 * KNOWN_HEADERS):
        known.payload(token(header={"kid": str(number)}), [DEVELOPMENT_SECRET.encode()], ["HS256"])
    assert len(known._known) <= KNOWN_HEADERS


OLD, NEW = "an old secret of thirty-two bytes", "a new secret of thirty-two bytes."


async def test_the_previous_secret_is_good_for_tokens_and_never_signs() -> None:
    settings = load_settings({}, jwt_secret=NEW, jwt_previous_secret=OLD)
    for _ in range(2):  # by a header that is not known yet, and by one that is
        judge = verifier(settings)
        for secret in (NEW, OLD):
            assert (await judge.subscriber(token(secret))).claims.user_id == "u1"
            assert (await judge.service(token(secret, service="prophet"))).name == "prophet"
        with pytest.raises(TokenInvalid, match="signature is not by the key"):
            await judge.subscriber(token("another secret that is no less long"))
    minted = mint_user_token(settings, "u1", 60, {"wallet_address": "w1"}, now=lambda: NOW)
    assert (
        jwt.decode(minted, NEW, ["HS256"], options={"verify_exp": False, "verify_iat": False})["user_id"]
        == "u1"
    )


async def test_another_claim_may_name_the_user() -> None:
    judge = verifier(load_settings({}, jwt_user_claim="sub"))
    assert (await judge.subscriber(token(sub="alice", user_id="somebody else"))).claims.user_id == "alice"
    for wrong, cause in (({"sub": ...}, "claim sub is missing"), ({"sub": 7}, "claim sub: ")):
        with pytest.raises(ClaimInvalid) as refusal:
            await judge.subscriber(token(**wrong))
        assert str(refusal.value).startswith(cause)
        assert "user_id" not in str(refusal.value)
