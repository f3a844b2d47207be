"""Auth: from a bearer token to the claims that it proves, and the tokens that Courier signs itself."""

import math
import time
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hmac import compare_digest
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import httpx
import jwt
import trio
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from pydantic import SecretStr, ValidationError
from pydantic_core import from_json

from courier.logs import get_logger
from courier.schemas.claims import ServiceClaims, SubscriberClaims
from courier.settings import Settings, SettingsError
from courier.web.grants import NOTHING, Grants

MAX_TOKEN_BYTES = 8192
LEEWAY_SECONDS = 30
"""How far another machine's clock may run ahead of ours."""

JWKS_SECONDS = 2.0
JWKS_BYTES = 256 * 1024
REFETCH_SECONDS = 30.0
RENEW_SECONDS = 600.0

OWN_SERVICE = "courier"
TOKEN_SECONDS = 300
RENEW_TOKEN_SECONDS = 60
"""Before its end, so that a token does not end on its way."""

KNOWN_SECONDS = 60.0
KNOWN_TOKENS = 1024
_UNKNOWN = (None, 0.0, 0.0)

logger = get_logger(__name__)

Claims = TypeVar("Claims", SubscriberClaims, ServiceClaims)


class AuthError(Exception):
    """A bearer did not prove who it is. No text of these errors holds any of the token."""


class TokenMissing(AuthError):
    """There is no token."""


class TokenInvalid(AuthError):
    """The token proves nothing: junk, another key or algorithm, or claims that are not what they must be.

    The text says which, for operators.
    """


class ClaimInvalid(TokenInvalid):
    """The signature is good, and a claim is missing or wrong, which the text says. The bearer may know it."""


class TokenExpired(AuthError):
    """The token was good, and has ended; the text says when."""


class TokenRevoked(AuthError):
    """The token was good, and was revoked."""

    def __init__(self) -> None:
        super().__init__("token was revoked")


class KeysUnavailable(AuthError):
    """The keys to judge the token by cannot be had now; the same token may be good later."""


@lru_cache(maxsize=KNOWN_TOKENS)
def bearer(header: str | None) -> str | None:
    """The token in an `Authorization` header (RFC 6750 section 2.1), unjudged; None when there is none.

    The scheme is compared without regard to case (RFC 9110 section 11.1).
    """
    scheme, _, token = (header or "").strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def bears(header: str | None, *secrets: SecretStr | None) -> bool:
    """Whether an `Authorization` header bears one of `secrets`; None is no secret. Takes as long for any."""
    given = (bearer(header) or "").encode()
    found = [compare_digest(given, each.get_secret_value().encode()) for each in secrets if each is not None]
    return any(found)


_HASHES = {
    "HS256": HMACAlgorithm.SHA256,
    "HS384": HMACAlgorithm.SHA384,
    "HS512": HMACAlgorithm.SHA512,
}


class Hmac(HMACAlgorithm):
    """PyJWT's, but that it looks at a secret once, and not with each token: to find out whether it could be a
    public key takes longer than to find out whether the signature is good."""

    def __init__(self, hash_alg: Any) -> None:
        super().__init__(hash_alg)
        self._prepared = lru_cache(4)(super().prepare_key)

    def prepare_key(self, key: str | bytes) -> bytes:
        return self._prepared(key)


_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = {0: _BASE64URL, 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
"""What base64url without padding (RFC 7515 section 2) may end in, by its length modulo 4, when it is written
in the one way in which an encoder writes it."""
_TO_BASE64 = bytes.maketrans(b"-_", b"+/")

KNOWN_HEADERS = 16


class Signatures(jwt.PyJWS):
    """PyJWT's, made quick: it reads the same header once, and looks at the characters of a part all at once,
    where PyJWT looks at each.

    A token that is not plain, or has no good signature, is left to PyJWT, which also knows what is wrong.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, str] = {}
        """Headers of good tokens, still encoded, with their algorithms. Those of one issuer are all alike."""

    def payload(self, token: str, keys: Sequence[Any], algorithms: Sequence[str]) -> bytes:
        """What the token says, when its signature is by one of the keys; else raises what PyJWT raises."""
        header, _, rest = token.partition(".")
        name = self._known.get(header)
        if name is not None and name in algorithms:
            payload, _, signature = rest.partition(".")
            algorithm = self.get_algorithm_by_name(name)
            with suppress(ValueError):
                signed, mark = f"{header}.{payload}".encode(), self._segment(signature.encode())
                for key in keys:
                    if algorithm.verify(signed, algorithm.prepare_key(key), mark):
                        return self._segment(payload.encode())
        *earlier, last = keys
        for key in earlier:
            with suppress(jwt.InvalidSignatureError):
                return self._read(token, key, algorithms)
        return self._read(token, last, algorithms)

    def _read(self, token: str, key: Any, algorithms: Sequence[str]) -> bytes:
        header = token.partition(".")[0]
        found = self.decode_complete(token, key, algorithms)
        if len(self._known) >= KNOWN_HEADERS:
            self._known.clear()
        self._known[header] = found["header"]["alg"]
        said: bytes = found["payload"]
        return said

    @staticmethod
    def _segment(segment: bytes) -> bytes:
        """A part of a token; ValueError for one that is not plain."""
        if not segment:
            raise ValueError
        if segment.translate(None, _BASE64URL) or segment[-1:] not in _LAST.get(len(segment) % 4, b""):
            raise ValueError
        return a2b_base64(segment.translate(_TO_BASE64) + b"==")

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        try:
            return Signatures._segment(segment)
        except ValueError:
            found: bytes = jwt.PyJWS._decode_base64url_segment(segment, name)
            return found


class Identity(NamedTuple):
    """Who subscribes, as a token proves it."""

    claims: SubscriberClaims
    grants: Grants
    """Channels that the token names."""
    said: Mapping[str, Any]
    """All that it says."""


class Publisher(NamedTuple):
    """Which service publishes."""

    name: str
    channels: Grants | None = None
    """The only channels that its token lets it publish to; None: its token limits nothing."""
    issued_at: int = 0
    """When its token was made, in Unix seconds; 0 without one."""
    token_id: str | None = None
    expires_at: float = 0
    """When its token ends, in Unix seconds; 0 without one."""


class Verifier:
    """Judges tokens by the settings alone: nothing that a token says chooses how it is judged.

    An HS* token is held against the secret and never against a public key; any other against public keys
    only, so that nobody can sign with a key that everybody can read (RFC 8725 section 3.1).
    """

    def __init__(
        self,
        settings: Settings,
        claims: type[SubscriberClaims] = SubscriberClaims,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._subscriber_claims = claims
        self._by_secret = [name for name in settings.jwt_algorithms if name.startswith("HS")]
        self._by_public_key = [name for name in settings.jwt_algorithms if not name.startswith("HS")]
        previous = settings.jwt_previous_secret
        self._secrets = [settings.jwt_secret.get_secret_value().encode()]
        if previous is not None:
            self._secrets.append(previous.get_secret_value().encode())
        pem = settings.jwt_public_key
        self._public_key = None if pem is None else PublicKey(load_pem_public_key(pem.encode()))
        self.key_set = None if settings.jwks_url is None else KeySet(settings.jwks_url)
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._now = now
        self._user_claim = settings.jwt_user_claim
        self._channels_claim = settings.jwt_channels_claim
        self._known: dict[str, tuple[Publisher | None, float, float]] = {}
        """By tokens: whose it is, when it ends (Unix seconds), and until when it is not judged again."""
        self._signatures = Signatures()
        for name in self._by_secret:
            self._signatures.unregister_algorithm(name)
            self._signatures.register_algorithm(name, Hmac(_HASHES[name]))

    async def subscriber(self, token: str | None) -> Identity:
        """Who subscribes; raises TokenMissing, TokenInvalid, TokenExpired or KeysUnavailable."""
        return self._identity(await self._payload(token))

    def subscriber_nowait(self, token: str | None) -> Identity:
        """As `subscriber`, when no key must be fetched for it; else `trio.WouldBlock`."""
        return self._identity(self._payload_nowait(token))

    def _identity(self, payload: bytes) -> Identity:
        claims, said = self._claims(self._subscriber_claims, payload, self._user_claim)
        return Identity(claims, self._grants(said) or NOTHING, said)

    async def service(self, token: str | None) -> Publisher:
        """Which service publishes; raises as `subscriber` does.

        A token that was good is taken as good for a minute, or until it ends: a service shows the same one
        with every event, and a signature costs more than the event.
        """
        return self._known_service(token) or self._service(token, await self._payload(token))

    def service_nowait(self, token: str | None) -> Publisher:
        """As `service`, when no key must be fetched for it; else `trio.WouldBlock`."""
        return self._known_service(token) or self._service(token, self._payload_nowait(token))

    def _known_service(self, token: str | None) -> Publisher | None:
        publisher, exp, until = self._known.get(token or "", _UNKNOWN)
        return publisher if exp > self._now() and until > trio.current_time() else None

    def _service(self, token: str | None, payload: bytes) -> Publisher:
        claims, said = self._claims(ServiceClaims, payload, "")
        publisher = Publisher(claims.service, self._grants(said), claims.iat, token_id_of(said), claims.exp)
        if len(self._known) >= KNOWN_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token or ""] = publisher, claims.exp, trio.current_time() + KNOWN_SECONDS
        return publisher

    def _grants(self, said: Mapping[str, Any]) -> Grants | None:
        """The channels that a token names; None when it names none, not even an empty list."""
        name = self._channels_claim
        if name is None or name not in said:
            return None
        try:
            return Grants(said[name])
        except ValueError as error:
            wrong = f"claim {name}: {error}"
        raise ClaimInvalid(wrong)  # outside the handler, as elsewhere here

    async def _payload(self, token: str | None) -> bytes:
        try:
            return self._payload_nowait(token)
        except trio.WouldBlock:
            assert token is not None
            assert self.key_set is not None
            key = await self.key_set.key(jwt.get_unverified_header(token)["kid"])
        return self._payload_nowait(token, [key])

    def _payload_nowait(self, token: str | None, fetched: "Sequence[PublicKey | None]" = ()) -> bytes:
        """What the token says, once its signature is known to be good (RFC 7515 section 5.2).

        `fetched` holds the key of the token's key id once that was asked for; before, it may have to be:
        `trio.WouldBlock`.
        """
        if not token:
            raise TokenMissing
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenInvalid(f"token is longer than {MAX_TOKEN_BYTES} bytes")
        try:
            keys, algorithms = self._keys(token, fetched)
            payload = self._signatures.payload(token, keys, algorithms)
        except (jwt.PyJWTError, TypeError, ValueError, RecursionError) as error:
            why = _why_unread(error)
        else:
            return payload
        raise TokenInvalid(why)  # outside the handler: what it handled may repeat the token

    def _keys(self, token: str, fetched: "Sequence[PublicKey | None]") -> tuple[Sequence[Any], Sequence[str]]:
        """The keys to hold the signature against, and the algorithms that they may be used with.

        They are the secrets, the public key of the token's key id at the JWKS URL, or that in the settings.
        """
        if not self._by_public_key:
            return self._secrets, self._by_secret
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._by_public_key:
            return self._secrets, self._by_secret
        key = self._public_key
        if self.key_set is not None and key_id is not None:
            if not fetched:
                raise trio.WouldBlock
            [key] = fetched
        if key is None or key.algorithm not in (None, algorithm):
            raise TokenInvalid("no public key is for the key id and the algorithm of the token")
        return [key.key], [algorithm]

    def _claims(self, model: type[Claims], payload: bytes, user_claim: str) -> tuple[Claims, dict[str, Any]]:
        """The claims of a token whose signature is good (RFC 7519 section 4.1), and all that it says.

        `user_claim` is what it calls the user.
        """
        try:
            said = from_json(payload)
            claims = model.model_validate(_renamed(said, user_claim))
        except ValueError as error:
            wrong: str | None = _wrong_claims(error, user_claim)
        else:
            now = self._now()
            wrong = self._wrong_claim(said, now)
            if wrong is None and claims.exp > now:
                return claims, said
            if wrong is None:
                raise TokenExpired(f"claim exp is {math.ceil(now - claims.exp)} s in the past")
        raise ClaimInvalid(wrong or "")  # outside the handler: pydantic's error repeats the claims

    def _wrong_claim(self, said: dict[str, Any], now: float) -> str | None:
        """Which of the claims that every token may have is not what it must be; None when none is. Issuer and
        audience count as far as the settings name any."""
        for name in ("iat", "nbf"):
            if name in said and not _has_begun(said[name], now):
                return f"claim {name} is more than {LEEWAY_SECONDS} s ahead, or no number"
        if self._issuer is not None and said.get("iss") != self._issuer:
            return "claim iss is missing, or another issuer's"
        audience = said.get("aud")  # one name or a list of them
        audiences = audience if isinstance(audience, list) else [audience]
        if self._audience is not None and self._audience not in audiences:
            return "claim aud is missing, or names another audience"
        return None


def _why_unread(error: Exception) -> str:
    """Why a token's signature cannot be found to be good, without anything of the token."""
    match error:
        case jwt.InvalidSignatureError():
            return "signature is not by the key that this node holds"
        case jwt.InvalidAlgorithmError():
            return "algorithm is not one of COURIER_JWT_ALGORITHMS"
        case _:
            return "token is no JWT that can be read"


def token_id_of(said: Mapping[str, Any]) -> str | None:
    """What a token is called (RFC 7519 section 4.1.7)."""
    token_id = said.get("jti")
    return token_id if isinstance(token_id, str) else None


def _renamed(said: Any, user_claim: str) -> Any:
    """What a token says, with the user under the name that the models have for it."""
    if user_claim in ("", "user_id") or not isinstance(said, dict):
        return said
    renamed = {name: value for name, value in said.items() if name != "user_id"}
    if user_claim in said:
        renamed["user_id"] = said[user_claim]
    return renamed


def _wrong_claims(error: ValueError, user_claim: str) -> str:
    """Which claims are missing or wrong, by the names that the token has for them; none of their values."""
    if not isinstance(error, ValidationError):
        return "payload is no JSON"
    found = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        if not detail["loc"]:
            return "payload is no JSON object"
        name = ".".join(map(str, detail["loc"]))
        if name == "user_id":
            name = user_claim
        found.append(
            f"claim {name} is missing" if detail["type"] == "missing" else f"claim {name}: {detail['msg']}"
        )
    return "; ".join(found)


def _has_begun(moment: Any, now: float) -> bool:
    return type(moment) in (int, float) and moment <= now + LEEWAY_SECONDS


class PublicKey(NamedTuple):
    """A key that verifies signatures, and the one algorithm that it is for, when it says so."""

    key: Any
    algorithm: str | None = None


class KeySet:
    """The public keys behind a JWKS URL (RFC 7517 section 5), by key id.

    They are fetched when a key is asked for that is not held, at most every 30 s and once for all who ask
    meanwhile; and anew after ten minutes, so that a withdrawn key stops counting. While they cannot be had,
    the held ones go on.
    """

    def __init__(self, url: str, limit_seconds: float = JWKS_SECONDS) -> None:
        self._url = url
        self._limit_seconds = limit_seconds
        self._tls = httpx.create_ssl_context()  # too slow to be made while others wait
        self._keys: dict[str, PublicKey] = {}
        self._fetching = trio.Lock()
        self._fetched_at = self._tried_at = -math.inf
        self._failed = False

    async def key(self, key_id: str) -> PublicKey | None:
        """The key of that id, or None when there is none; KeysUnavailable when that cannot be known now."""
        if self._is_due(key_id) and not (key_id in self._keys and self._fetching.locked()):
            async with self._fetching:
                if self._is_due(key_id):
                    await self._fetch()
        if self._failed and key_id not in self._keys:
            raise KeysUnavailable
        return self._keys.get(key_id)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def could_be_had(self) -> bool:
        """Whether they could be had when they were asked for last."""
        return not self._failed and self._fetched_at > -math.inf

    @property
    def age_seconds(self) -> float | None:
        """How long ago those that are held were fetched; None when none ever were."""
        return None if self._fetched_at == -math.inf else trio.current_time() - self._fetched_at

    async def look(self) -> None:
        """Fetch them, if they are not held, or old, and nobody asks for them now or did so a moment ago."""
        if not self._fetching.locked():
            async with self._fetching:
                if self._is_due(None):
                    await self._fetch()

    def _is_due(self, key_id: str | None) -> bool:
        """Whether to fetch for the sake of that key, or of all."""
        now = trio.current_time()
        unknown = self._failed if key_id is None else key_id not in self._keys
        wanted = unknown or now - self._fetched_at >= RENEW_SECONDS
        return wanted and now - self._tried_at >= REFETCH_SECONDS

    async def _fetch(self) -> None:
        self._failed = True
        why = f"no answer within {self._limit_seconds:g} s"
        # Shielded, because others wait for what this asker has begun, and it may leave.
        with trio.move_on_after(self._limit_seconds, shield=True):
            try:
                async with httpx.AsyncClient(verify=self._tls, timeout=None) as client:  # noqa: S113
                    self._keys = _signing_keys(await fetch(client, self._url, JWKS_BYTES))
            except (FetchError, ValueError) as error:
                why = str(error)
            else:
                self._failed = False
                self._fetched_at = trio.current_time()
        self._tried_at = trio.current_time()
        if self._failed:
            logger.warning("Verification keys were not to be had", error=why)


def _signing_keys(document: bytes) -> dict[str, PublicKey]:
    """The keys of a JWK set that can verify and have an id; ValueError when it is no JWK set.

    A key that we cannot use is passed over (RFC 7517 section 5), and so is a symmetric one: a secret that
    stands in a public place.
    """
    jwk_set = from_json(document)
    if not isinstance(jwk_set, dict) or not isinstance(jwk_set.get("keys"), list):
        raise ValueError("Not a JWK set")  # noqa: TRY004 - a document of the wrong shape is a wrong value
    keys = {}
    for jwk in jwk_set["keys"]:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
            continue
        if jwk.get("kty") == "oct" or jwk.get("use", "sig") != "sig":
            continue
        with suppress(jwt.PyJWTError, ValueError, TypeError):
            keys[jwk["kid"]] = PublicKey(jwt.PyJWK(jwk).key, jwk.get("alg"))
    return keys


class FetchError(Exception):
    """A document was not to be had: no connection, an answer other than 200, or too many bytes."""


class NotFound(FetchError):
    """There is no such document: the answer was 404."""


async def fetch(
    client: httpx.AsyncClient,
    url: str,
    max_bytes: int,
    token: str | None = None,
    question: bytes | None = None,
) -> bytes:
    """The body of the answer 200 to `GET url`, or to a `POST` of a question in JSON, uncompressed and not
    redirected.

    Raises NotFound or another FetchError. The caller limits the time, all of it, from outside.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if question is not None:
        headers["Content-Type"] = "application/json"
    method, body = "GET" if question is None else "POST", bytearray()
    try:
        # Too many bytes end in a cancel, since a `break` would leave httpx's generators half-way.
        with trio.CancelScope() as reading:
            async with client.stream(
                method, url, content=question, headers=headers, follow_redirects=False
            ) as response:
                if response.status_code == 404:
                    raise NotFound
                if response.status_code != 200:
                    raise FetchError(f"The answer was {response.status_code}")
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > max_bytes:
                        reading.cancel()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"There was no answer: {type(error).__name__}") from error
    if len(body) > max_bytes:
        raise FetchError(f"The answer was longer than {max_bytes} bytes")
    return bytes(body)


def mint_user_token(
    settings: Settings,
    user_id: str,
    ttl_seconds: int,
    others: Mapping[str, Any] = MappingProxyType({}),
    now: Callable[[], float] = time.time,
) -> str:
    """A subscriber's token, good for `ttl_seconds`, signed with the secret. `others` are further claims.

    Raises SettingsError when no HS* algorithm is configured, and ValueError for claims that would be refused.
    """
    issued_at = int(now())
    claims = SubscriberClaims(user_id=user_id, iat=issued_at, exp=issued_at + ttl_seconds)
    said = claims.model_dump()
    said[settings.jwt_user_claim] = said.pop("user_id")
    return _sign(settings, {**others, **said})


def mint_service_token(
    settings: Settings,
    name: str,
    ttl_seconds: int,
    now: Callable[[], float] = time.time,
    others: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """A service's token, made and refused as `mint_user_token` does."""
    issued_at = int(now())
    claims = ServiceClaims(service=name, iat=issued_at, exp=issued_at + ttl_seconds)
    return _sign(settings, {**others, **claims.model_dump()})


class OwnToken:
    """The token by which Courier says who it is when it asks another service, made anew before it ends."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._token = ""
        self._ends = -math.inf

    def __call__(self) -> str:
        if self._now() >= self._ends - RENEW_TOKEN_SECONDS:
            self._token = mint_service_token(self._settings, OWN_SERVICE, TOKEN_SECONDS, self._now)
            self._ends = self._now() + TOKEN_SECONDS
        return self._token


def _sign(settings: Settings, claims: Mapping[str, Any]) -> str:
    algorithm = next((name for name in settings.jwt_algorithms if name.startswith("HS")), None)
    if algorithm is None:
        raise SettingsError(
            "COURIER_JWT_ALGORITHMS must name an HS algorithm for Courier to sign tokens with"
        )
    addressed = {"iss": settings.jwt_issuer, "aud": settings.jwt_audience}
    payload = {**claims, **{claim: value for claim, value in addressed.items() if value is not None}}
    return jwt.encode(payload, settings.jwt_secret.get_secret_value(), algorithm)
