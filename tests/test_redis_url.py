"""What may be said of where Redis is, and that no refusal repeats a password."""

import pytest

from courier.redis_url import RedisKind, RedisUrl, parse_redis_url

SINGLE, CLUSTER, SENTINEL = RedisKind.SINGLE, RedisKind.CLUSTER, RedisKind.SENTINEL


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://redis", RedisUrl(SINGLE, (("redis", 6379),))),
        ("redis://redis:6380/", RedisUrl(SINGLE, (("redis", 6380),))),
        ("redis://[::1]:6380/3", RedisUrl(SINGLE, (("::1", 6380),), database=3)),
        ("redis://:p%40ss%2F@h:1", RedisUrl(SINGLE, (("h", 1),), password="p@ss/")),
        ("redis://me:a:b@h:1", RedisUrl(SINGLE, (("h", 1),), username="me", password="a:b")),
        ("rediss://h", RedisUrl(SINGLE, (("h", 6379),), tls=True)),
        (
            "rediss://h?ssl_ca_certs=/etc/ca%20s.pem",
            RedisUrl(SINGLE, (("h", 6379),), tls=True, ca_certs="/etc/ca s.pem"),
        ),
        ("redis+cluster://a:1,b:2,c", RedisUrl(CLUSTER, (("a", 1), ("b", 2), ("c", 6379)))),
        (
            "rediss+cluster://me:secret@a:1/0",
            RedisUrl(CLUSTER, (("a", 1),), username="me", password="secret", tls=True),
        ),
        ("redis+sentinel://a:1,b/main", RedisUrl(SENTINEL, (("a", 1), ("b", 26379)), service="main")),
        (
            "rediss+sentinel://a/main/2",
            RedisUrl(SENTINEL, (("a", 26379),), service="main", database=2, tls=True),
        ),
    ],
)
def test_a_url_is_read_whole(text: str, url: RedisUrl) -> None:
    assert parse_redis_url(text) == url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a redis://"),
        ("redis", "a redis://"),
        ("http://me:hunter2@h", "a redis://"),
        ("redis+other://me:hunter2@h", "a redis://"),
        ("REDIS://me:hunter2@h", "a redis://"),
        ("redis://me:hunter2/@h", "host:port"),
        ("redis://me:hunter2#x@h", "a redis://"),
        ("redis://me:hunter2@h#x", "a redis://"),
        ("redis://me:hunter2@", "host:port"),
        ("redis://me:hunter2@h:0", "host:port"),
        ("redis://me:hunter2@h:65536", "host:port"),
        ("redis://me:hunter2@h:x", "host:port"),
        ("redis://me:hunter2@h 1", "host:port"),
        ("redis://me:hunter2@a,b", "one host"),
        ("redis://hunter2@h", "user:password@"),
        ("redis://me:hunter2@h/main", "a number"),
        ("redis://me:hunter2@h?ssl_ca_certs=x", "ssl_ca_certs=path, and that for rediss://"),
        ("rediss://me:hunter2@h?ssl_ca_certs=", "ssl_ca_certs=path"),
        ("rediss://me:hunter2@h?ssl_cert_reqs=none", "no option but ssl_ca_certs"),
        ("redis+cluster://me:hunter2@h/1", "without a database"),
        ("redis+sentinel://me:hunter2@h", "the service's name"),
        ("redis+sentinel://me:hunter2@h/main/x", "a number"),
    ],
)
def test_what_is_no_url_is_refused_with_what_was_expected_and_without_the_password(
    text: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=r"Redis|redis") as caught:
        parse_redis_url(text)
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_url_is_printed_without_its_password() -> None:
    assert "hunter2" not in repr(parse_redis_url("redis://me:hunter2@h"))
