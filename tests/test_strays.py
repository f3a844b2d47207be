"""Variables that are set and not read are said, with the name that counts."""

import pytest

from courier.settings import VARIABLES
from courier.strays import strays


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("JWT_ALGORITHM", "JWT_ALGORITHM is not read: set COURIER_JWT_ALGORITHMS"),
        ("ENVIRONMENT", "ENVIRONMENT is not read: set COURIER_ENV"),
        ("REDIS_URL", "REDIS_URL is not read: set COURIER_REDIS_URL"),
        ("LOG_LEVEL", "LOG_LEVEL is not read: set COURIER_LOG_LEVEL"),
        ("PORT", "PORT is not read: set COURIER_BIND"),
        ("HOST", "HOST is not read: set COURIER_BIND"),
        ("COURIER_PORT", "COURIER_PORT is an unknown setting; do you mean COURIER_BIND?"),
        ("COURIER_RATELIMIT", "COURIER_RATELIMIT is an unknown setting; do you mean COURIER_RATE_LIMIT?"),
        ("courier_bind", "courier_bind is an unknown setting; do you mean COURIER_BIND?"),
        ("COURIER_SOMETHING_ELSE_ALTOGETHER", "COURIER_SOMETHING_ELSE_ALTOGETHER is an unknown setting"),
    ],
)
def test_a_variable_that_is_not_read_is_said_with_the_name_that_counts(name: str, sentence: str) -> None:
    assert list(strays({name: "x"})) == [sentence]


def test_what_is_read_and_what_is_nobodys_business_is_passed_over() -> None:
    others = ["COURIER_URL", "COURIER_TOKEN", "JWT_SECRET", "PATH", "HOME", "LANG"]
    assert list(strays(dict.fromkeys([*VARIABLES, *others], "x"))) == []


def test_another_programs_variable_is_passed_over_when_the_setting_is_there() -> None:
    assert list(strays({"REDIS_URL": "x", "COURIER_REDIS_URL": "redis://r"})) == []
