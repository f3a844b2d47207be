"""What the environment may say, and the sentence that it gets when it may not."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from courier.settings import (
    DEVELOPMENT_SECRET,
    MASK,
    Settings,
    SettingsError,
    check_bind,
    describe,
    load_settings,
)

SECRET = "a-secret-that-is-long-enough-for-production"
PRIVATE = generate_private_key(SECP256R1())
PUBLIC_PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PRIVATE_PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_an_empty_environment_gives_the_defaults_of_the_contract() -> None:
    settings = load_settings({})
    assert settings.env == "development"
    assert settings.bind == "127.0.0.1:8766"
    assert settings.jwt_algorithms == ("HS256",)
    assert settings.jwt_secret.get_secret_value() == DEVELOPMENT_SECRET
    assert (settings.publish_auth, settings.log_format) == ("off", "console")
    assert (settings.rate_limit, settings.rate_window_seconds, settings.rate_limits) == (100, 60, {})
    assert settings.max_event_bytes == 65_536
    assert (settings.history_events, settings.history_seconds, settings.history_bytes) == (
        10_000,
        3600,
        2**28,
    )
    assert (settings.max_connections, settings.max_connections_per_user) == (20_000, 100)
    assert (settings.max_channels, settings.max_services) == (100_000, 10_000)
    assert (settings.inbox_events, settings.inbox_wait_seconds) == (1000, 1)
    assert (settings.drain_delay_seconds, settings.drain_seconds) == (0, 20)
    assert (settings.stall_seconds, settings.heartbeat_seconds) == (30, 30)
    assert settings.allowed_origins == ()
    assert settings.event_modules == ("courier.lumiere",)


def test_production_requires_publish_auth_and_logs_json_unless_told_otherwise() -> None:
    production = {"COURIER_ENV": "production", "COURIER_JWT_SECRET": SECRET}
    settings = load_settings(production)
    assert (settings.publish_auth, settings.log_format) == ("required", "json")
    told = load_settings(production | {"COURIER_PUBLISH_AUTH": "report", "COURIER_LOG_FORMAT": "console"})
    assert (told.publish_auth, told.log_format) == ("report", "console")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).rate_limit = 5  # type: ignore[misc]


def test_lists_are_comma_separated_and_limits_are_a_json_object() -> None:
    settings = load_settings(
        {
            "COURIER_JWT_ALGORITHMS": "HS256, HS512",
            "COURIER_ALLOWED_ORIGINS": "https://app.example.com,http://localhost:3000,",
            "COURIER_EVENT_MODULES": "acme.events , other",
            "COURIER_RATE_LIMITS": '{"prophet": 500, "forge": 0}',
            "COURIER_LOG_LEVEL": "WARNING",
        }
    )
    assert settings.jwt_algorithms == ("HS256", "HS512")
    assert settings.allowed_origins == ("https://app.example.com", "http://localhost:3000")
    assert settings.event_modules == ("acme.events", "other")
    assert settings.rate_limits == {"prophet": 500, "forge": 0}
    assert settings.log_level == "warning"


def test_the_secret_is_read_without_the_prefix_too_and_the_prefix_wins() -> None:
    def secret(**environ: str) -> str:
        return load_settings(environ).jwt_secret.get_secret_value()

    assert secret(JWT_SECRET="plain") == "plain"
    assert secret(JWT_SECRET="plain", COURIER_JWT_SECRET="prefixed") == "prefixed"
    assert secret(COURIER_JWT_SECRET="prefixed", JWT_SECRET="plain") == "prefixed"


def test_only_the_secret_is_read_without_the_prefix() -> None:
    assert load_settings({"RATE_LIMIT": "5", "rate_limit": "5", "BIND": "0.0.0.0:80"}) == load_settings({})


def test_a_variable_set_to_nothing_counts_as_not_set() -> None:
    assert load_settings({"COURIER_RATE_LIMIT": "", "COURIER_REDIS_URL": "", "COURIER_ENV": ""}) == Settings()


def test_the_environment_wins_over_the_env_file_and_overrides_win_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "COURIER_RATE_LIMIT=1\nCOURIER_HISTORY_EVENTS=2\nCOURIER_DRAIN_SECONDS=3\n"
        "COURIER_RATE_LIMITS='{\"forge\": 7}'\nSOMETHING=else\nJWT_SECRET=from-the-file\n"
    )
    (tmp_path / ".env").write_text(lines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURIER_HISTORY_EVENTS", "20")
    monkeypatch.setenv("COURIER_DRAIN_SECONDS", "30")
    settings = load_settings(drain_seconds=300)
    assert (settings.rate_limit, settings.history_events, settings.drain_seconds) == (1, 20, 300)
    assert settings.rate_limits == {"forge": 7}
    assert settings.jwt_secret.get_secret_value() == "from-the-file"
    assert load_settings({}).rate_limit == 100


def test_an_env_file_that_is_no_text_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"COURIER_RATE_LIMIT=\xff\xfe\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"^\.env must be a readable text file"):
        load_settings()


def test_an_override_that_is_no_setting_is_a_mistake_in_the_program() -> None:
    with pytest.raises(TypeError, match="rate_limits_"):
        load_settings({}, rate_limits_=5)


@pytest.mark.parametrize(
    ("name", "value", "must_be"),
    [
        ("COURIER_ENV", "prod", "'development' or 'production', not 'prod'"),
        ("COURIER_BIND", "localhost", "host:port, unix:path or fd://number, not 'localhost'"),
        (
            "COURIER_BIND",
            "http://localhost:8766",
            "host:port, unix:path or fd://number, not 'http://localhost:8766'",
        ),
        ("COURIER_BIND", "fd://three", "host:port, unix:path or fd://number, not 'fd://three'"),
        ("COURIER_BIND", "unix:", "host:port, unix:path or fd://number, not 'unix:'"),
        ("COURIER_BIND", "localhost:99999", "host:port, unix:path or fd://number, not 'localhost:99999'"),
        ("COURIER_RATE_LIMIT", "abc", "a whole number, not 'abc'"),
        ("COURIER_RATE_LIMIT", "1.5", "a whole number, not '1.5'"),
        ("COURIER_RATE_LIMIT", "-1", "at least 0, not '-1'"),
        ("COURIER_RATE_WINDOW_SECONDS", "0", "at least 1, not '0'"),
        ("COURIER_HISTORY_EVENTS", "0", "at least 1, not '0'"),
        ("COURIER_HISTORY_SECONDS", "0", "more than 0, not '0'"),
        ("COURIER_STALL_SECONDS", "soon", "a number, not 'soon'"),
        ("COURIER_DRAIN_SECONDS", "inf", "a finite number, not 'inf'"),
        ("COURIER_DRAIN_SECONDS", "nan", "a finite number, not 'nan'"),
        ("COURIER_MAX_CONNECTIONS", "0", "at least 1, not '0'"),
        ("COURIER_MAX_EVENT_BYTES", "17000000", "at most 16777216, not '17000000'"),
        ("COURIER_PUBLISH_AUTH", "on", "'off', 'report' or 'required', not 'on'"),
        ("COURIER_JWT_ALGORITHMS", ",", "one name or more, not ()"),
        (
            "COURIER_EVENT_MODULES",
            "acme-events",
            "names of Python modules such as acme.events, not 'acme-events'",
        ),
        ("COURIER_REDIS_URL", "redis://u:hunter2@h/x", "a Redis URL whose database is a number"),
        ("COURIER_JWKS_URL", "https://u:hunter2@h:x", "an http:// or https:// URL"),
        ("COURIER_ARCHITECT_URL", "hunter2", "an http:// or https:// URL"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(name: str, value: str, must_be: str) -> None:
    assert refusal(**{name: value}) == f"{name} must be {must_be}"


@pytest.mark.parametrize(
    "value", ["[]", "{", '{"a": -1}', '{"a": "5"}', '{"a": true}', '{"No": 1}', "[" * 5000]
)
def test_rate_limits_must_be_an_object_of_service_names_and_whole_numbers(value: str) -> None:
    sentence = refusal(COURIER_RATE_LIMITS=value)
    assert sentence.startswith("COURIER_RATE_LIMITS must be a JSON object of service names and limits")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "value", ["null", "app.example.com", "https://u@a", "https://[", "https:///x", "//a"]
)
def test_an_origin_is_a_scheme_a_host_and_perhaps_a_port(value: str) -> None:
    assert refusal(COURIER_ALLOWED_ORIGINS=value).startswith(
        "COURIER_ALLOWED_ORIGINS must be origins such as"
    )


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://App.Example.com", "https://app.example.com"),
        ("HTTPS://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com/path?x#y", "https://app.example.com"),
        ("https://app.example.com:08443", "https://app.example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://faß.de:8443", "https://xn--fa-hia.de:8443"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost/", "capacitor://localhost"),
    ],
)
def test_an_origin_is_spelt_as_a_browser_sends_it(value: str, right: str) -> None:
    assert refusal(COURIER_ALLOWED_ORIGINS=value) == (
        f"COURIER_ALLOWED_ORIGINS must be origins as a browser sends them, {right}, not {value!r}"
    )
    assert load_settings({"COURIER_ALLOWED_ORIGINS": right}).allowed_origins == (right,)


@pytest.mark.parametrize("value", ["*", "https://*.example.com"])
def test_no_origin_stands_for_many(value: str) -> None:
    assert refusal(COURIER_ALLOWED_ORIGINS=value) == (
        f"COURIER_ALLOWED_ORIGINS must be origins one by one, since * stands for nothing here, not {value!r}"
    )


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "hs256", "PS256", "HS256,none", "XY1"])
def test_an_algorithm_that_the_contract_does_not_name_is_refused(name: str) -> None:
    assert refusal(COURIER_JWT_ALGORITHMS=name).startswith("COURIER_JWT_ALGORITHMS must be 'HS256', ")


def test_two_wrong_variables_get_a_sentence_each_and_one_wrong_list_gets_one() -> None:
    lines = refusal(COURIER_ENV="x", COURIER_JWT_ALGORITHMS="none,none", COURIER_RATE_LIMIT="y").splitlines()
    assert [line.split()[0] for line in lines] == [
        "COURIER_ENV",
        "COURIER_JWT_ALGORITHMS",
        "COURIER_RATE_LIMIT",
    ]


def test_a_value_that_is_no_text_and_a_value_without_end_stay_one_short_sentence() -> None:
    assert refusal(COURIER_JWT_SECRET="\udcff" * 40) == "COURIER_JWT_SECRET must be UTF-8 text"
    assert len(refusal(COURIER_RATE_LIMIT="9" * 5000)) < 200


def test_production_refuses_the_development_secret_and_a_short_one() -> None:
    production = {"COURIER_ENV": "production"}
    assert "JWT_SECRET) must be set in production" in refusal(**production)
    assert "must be set" in refusal(**production, JWT_SECRET=DEVELOPMENT_SECRET)
    short = refusal(**production, JWT_SECRET="hunter2" + "x" * 24)
    assert "JWT_SECRET) must have at least 32 bytes in production" in short
    assert "hunter2" not in short
    assert load_settings(production | {"JWT_SECRET": "ü" * 16}).env == "production"


def test_production_needs_no_secret_where_no_algorithm_uses_it() -> None:
    settings = load_settings(
        {"COURIER_ENV": "production", "COURIER_JWT_ALGORITHMS": "ES256", "COURIER_JWT_PUBLIC_KEY": PUBLIC_PEM}
    )
    assert not settings.secret_in_use
    assert "must be set" in refusal(
        COURIER_ENV="production", COURIER_JWT_ALGORITHMS="ES256,HS256", COURIER_JWT_PUBLIC_KEY=PUBLIC_PEM
    )


def test_an_algorithm_with_public_keys_needs_some() -> None:
    sentence = "COURIER_JWT_PUBLIC_KEY or COURIER_JWKS_URL must be set for ES256"
    assert refusal(COURIER_JWT_ALGORITHMS="HS256,ES256") == sentence
    assert load_settings({"COURIER_JWT_ALGORITHMS": "ES256", "COURIER_JWKS_URL": "http://h/keys"}).jwks_url


def test_the_public_key_is_pem_text_or_the_path_of_a_file_with_it(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PUBLIC_PEM)
    for value in (PUBLIC_PEM, str(file)):
        settings = load_settings({"COURIER_JWT_ALGORITHMS": "ES256", "COURIER_JWT_PUBLIC_KEY": value})
        assert settings.jwt_public_key == PUBLIC_PEM


@pytest.mark.parametrize("value", ["/no/such/file", "-----BEGIN PUBLIC KEY-----\nxx", PRIVATE_PEM, "\0", "/"])
def test_what_is_no_public_key_is_refused_and_never_repeated(value: str) -> None:
    sentence = refusal(COURIER_JWT_ALGORITHMS="ES256", COURIER_JWT_PUBLIC_KEY=value)
    assert sentence == (
        "COURIER_JWT_PUBLIC_KEY must be a public key as PEM text,"
        " or the path of a readable file that holds it"
    )


def test_a_public_key_must_fit_every_algorithm_that_would_use_it() -> None:
    sentence = "COURIER_JWT_PUBLIC_KEY must be a public key for RS256 and ES384"
    assert sentence == refusal(
        COURIER_JWT_ALGORITHMS="HS256,RS256,ES256,ES384", COURIER_JWT_PUBLIC_KEY=PUBLIC_PEM
    )


def test_production_fetches_keys_over_https_only() -> None:
    environ = {"COURIER_JWT_ALGORITHMS": "RS256", "COURIER_ENV": "production"}
    sentence = "COURIER_JWKS_URL must be an https:// URL in production"
    assert refusal(**environ, COURIER_JWKS_URL="http://h/keys") == sentence
    assert load_settings(environ | {"COURIER_JWKS_URL": "https://h/keys"}).jwks_url == "https://h/keys"


def test_asking_architect_needs_a_secret_to_sign_with() -> None:
    assert refusal(
        COURIER_ARCHITECT_URL="http://architect",
        COURIER_JWT_ALGORITHMS="ES256",
        COURIER_JWT_PUBLIC_KEY=PUBLIC_PEM,
    ).startswith("COURIER_JWT_ALGORITHMS must name an HS algorithm when COURIER_ARCHITECT_URL is set")
    assert load_settings({"COURIER_ARCHITECT_URL": "http://a:1/api/"}).architect_url == "http://a:1/api"


LOCAL = [
    "127.0.0.1:8766",
    "127.8.9.1:1",
    "[::1]:8766",
    "::1",
    "localhost:1",
    "LOCALHOST:1",
    "unix:/run/courier",
]
REACHABLE = [
    "0.0.0.0:8766",
    "[::]:8766",
    ":8766",
    "10.0.0.1:1",
    "example.com:80",
    "fd://3",
    "::",
    "localhost.evil:1",
]


@pytest.mark.parametrize("bind", LOCAL)
def test_the_development_secret_and_open_publishing_may_be_used_on_loopback(bind: str) -> None:
    check_bind(load_settings({}), [bind])


@pytest.mark.parametrize("bind", REACHABLE)
def test_what_others_can_reach_starts_in_development_only_if_it_is_said_in_so_many_words(bind: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_bind(load_settings({}), ["127.0.0.1:1", bind])
    secret, publishing = str(caught.value).splitlines()
    assert secret.startswith("COURIER_JWT_SECRET (or JWT_SECRET) must be set")
    assert publishing.startswith("COURIER_PUBLISH_AUTH must be required or report")
    assert bind in secret
    check_bind(load_settings({"COURIER_ENV": "development"}), [bind])
    check_bind(load_settings({"JWT_SECRET": "mine", "COURIER_PUBLISH_AUTH": "report"}), [bind])


def test_open_publishing_is_refused_in_production_wherever_it_listens() -> None:
    environ = {"COURIER_ENV": "production", "JWT_SECRET": SECRET}
    with pytest.raises(SettingsError, match=r"^COURIER_PUBLISH_AUTH must be required or report"):
        load_settings(environ | {"COURIER_PUBLISH_AUTH": "off"})
    check_bind(load_settings(environ), ["0.0.0.0:1"])


def test_a_secret_that_no_algorithm_uses_keeps_nobody_from_listening() -> None:
    environ = {
        "COURIER_JWT_ALGORITHMS": "ES256",
        "COURIER_JWT_PUBLIC_KEY": PUBLIC_PEM,
        "COURIER_PUBLISH_AUTH": "required",
    }
    check_bind(load_settings(environ), ["0.0.0.0:1"])


def test_secrets_are_masked_wherever_settings_are_printed() -> None:
    settings = load_settings(
        {
            "COURIER_JWT_SECRET": SECRET,
            "COURIER_JWKS_URL": "https://user:hunter2@keys.example.com/jwks",
            "COURIER_ARCHITECT_URL": "http://user:hunter2@architect",
            "COURIER_REDIS_URL": "redis+cluster://user:hunter2@one:1,two:2",
        }
    )
    printed = dict(describe(settings))
    assert printed["COURIER_JWT_SECRET"] == MASK
    assert printed["COURIER_JWKS_URL"] == f"https://{MASK}@keys.example.com/jwks"
    assert printed["COURIER_ARCHITECT_URL"] == f"http://{MASK}@architect"
    assert printed["COURIER_REDIS_URL"] == f"redis+cluster://{MASK}@one:1,two:2"
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_describe_names_every_variable_with_its_value_in_force() -> None:
    settings = load_settings(
        {
            "COURIER_RATE_LIMITS": '{"prophet":500}',
            "COURIER_JWT_ALGORITHMS": "HS256,ES256",
            "COURIER_JWT_PUBLIC_KEY": PUBLIC_PEM,
        }
    )
    printed = dict(describe(settings))
    assert list(printed)[:3] == ["COURIER_ENV", "COURIER_BIND", "COURIER_JWT_SECRET"]
    assert len(printed) == len(Settings.model_fields)
    assert printed["COURIER_RATE_LIMITS"] == '{"prophet": 500}'
    assert printed["COURIER_JWT_ALGORITHMS"] == "HS256,ES256"
    assert printed["COURIER_JWT_PUBLIC_KEY"] == "a public key"
    assert printed["COURIER_DRAIN_SECONDS"] == "20"
    assert printed["COURIER_REDIS_URL"] == "not set"


def test_what_opens_a_page_must_fit_in_a_header() -> None:
    assert refusal(COURIER_ADMIN_TOKEN="two words") == (
        "COURIER_ADMIN_TOKEN must be made of A-Z, a-z, 0-9 and . _ ~ + / - so that it fits in a header"
    )
    assert "two words" not in refusal(COURIER_METRICS_TOKEN="two words")


@pytest.mark.parametrize("name", ["COURIER_ADMIN_TOKEN", "COURIER_METRICS_TOKEN"])
def test_what_opens_a_page_is_long_in_production(name: str) -> None:
    production = {"COURIER_ENV": "production", "COURIER_JWT_SECRET": SECRET}
    assert refusal(**production | {name: "fifteen-letters"}) == (
        f"{name} must have at least 16 characters in production"
    )
    load_settings(production | {name: "sixteen-letters."})
    load_settings({name: "short"})


def test_a_sentry_dsn_must_be_one() -> None:
    for wrong in ("https://errors.acme.com/1", "https://hush@errors.acme.com", "hush"):
        sentence = refusal(COURIER_SENTRY_DSN=wrong)
        assert sentence.startswith("COURIER_SENTRY_DSN must be ")
        assert "acme" not in sentence
        assert "hush" not in sentence
    load_settings({"COURIER_SENTRY_DSN": "https://key@sentry.example.com/1"})
