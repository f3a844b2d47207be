"""Refusals: what Redis answers when it will not do what it is asked, as opposed to no answer at all."""

import re

from coredis.exceptions import (
    AuthenticationFailureError,
    AuthenticationRequiredError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterError,
    ResponseError,
    WrongTypeError,
)

_WORDS: dict[type[Exception], str] = {
    AuthenticationFailureError: "WRONGPASS",
    AuthenticationRequiredError: "NOAUTH",
    AuthorizationError: "NOPERM",
    BusyLoadingError: "LOADING",
    ClusterDownError: "CLUSTERDOWN",
    ReadOnlyError: "READONLY",
    WrongTypeError: "WRONGTYPE",
}
"""The errors from which coredis has taken the word that Redis begins them with."""

_NOT_PERMITTED = re.compile("The user executing the script can't|ACL failure in script")
"""How Redis 7.0, and 7.2 and newer, begin the error of a script whose user lacks a permission."""


def refusal(error: Exception) -> str | None:
    """The class of a refusal, in Redis' own word, such as NOPERM, OOM or MISCONF; None when the error is no
    answer of Redis'."""
    for kind, word in _WORDS.items():
        if isinstance(error, kind):
            return word
    text = str(error)
    if text.startswith("max number of clients"):
        return "MAXCLIENTS"
    if not isinstance(error, ResponseError) or isinstance(error, NoScriptError | RedisClusterError):
        return None  # a slot that has moved, or a script that is not loaded, is elsewhere and not refused
    if _NOT_PERMITTED.match(text):
        return "NOPERM"
    code = re.match(r"[A-Z]{2,}(?= )", text)
    return code[0] if code else "ERR"


def is_about_the_login(error: Exception) -> bool:
    """Whether nothing that this user may ask for would be done."""
    return isinstance(error, AuthenticationFailureError | AuthenticationRequiredError) or (
        refusal(error) == "MAXCLIENTS"
    )
