"""The command line, as far as it starts no process: tokens, settings, refusals."""

import json
import os
import time
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from courier.cli import main
from courier.settings import DEVELOPMENT_SECRET, Settings, variable

SECRET = "a secret of thirty-two bytes or so, for tests"


@pytest.fixture(autouse=True)
def _an_empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("COURIER_") or name == "JWT_SECRET":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # where there is no .env


def courier(*arguments: str, **variables: str) -> Result:
    env = {f"COURIER_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(main, list(arguments), prog_name="courier", env=env)


def refusal(result: Result, exit_code: int = 1) -> str:
    """The one sentence, without a traceback, that a command which failed has said."""
    assert result.exit_code == exit_code
    assert isinstance(result.exception, SystemExit)
    [sentence] = result.output.splitlines()
    return sentence


def test_help_names_every_command() -> None:
    result = courier("--help")
    assert result.exit_code == 0
    for command in ("serve", "token", "check", "publish", "subscribe", "history", "contract", "demo"):
        assert f"\n  {command} " in result.output
    assert courier("-h").output == result.output
    assert courier("--version").output.startswith("courier, version ")


# Tokens


def test_a_users_token_is_signed_with_the_secret_and_has_all_claims() -> None:
    before = int(time.time())
    result = courier("token", "user", "u1", "--wallet", "w1", "--ttl", "90", JWT_SECRET=SECRET)
    assert result.exit_code == 0
    claims = jwt.decode(result.output.strip(), SECRET, ["HS256"])
    issued = claims.pop("iat")
    assert before <= issued <= time.time()
    assert claims == {"user_id": "u1", "wallet_address": "w1", "exp": issued + 90}


def test_a_services_token_names_the_service() -> None:
    result = courier("token", "service", "cartographe")
    claims = jwt.decode(result.output.strip(), DEVELOPMENT_SECRET, ["HS256"])
    assert claims["service"] == "cartographe"
    assert claims["exp"] - claims["iat"] == 3600


def test_a_token_is_addressed_as_the_settings_say() -> None:
    result = courier("token", "user", "u1", JWT_ISSUER="lumiere", JWT_AUDIENCE="courier", JWT_SECRET=SECRET)
    claims = jwt.decode(result.output.strip(), SECRET, ["HS256"], audience="courier", issuer="lumiere")
    assert claims["user_id"] == "u1"


@pytest.mark.parametrize(
    "arguments",
    [("user", ""), ("user", "u" * 129), ("service", ""), ("service", "Prophet"), ("service", "a b")],
)
def test_a_name_that_would_be_refused_gets_no_token(arguments: tuple[str, str]) -> None:
    assert refusal(courier("token", *arguments)).startswith("No token: ")


def test_without_a_secret_to_sign_with_there_is_no_token() -> None:
    key = Path("public.pem")
    key.write_text(PUBLIC_KEY)
    sentence = refusal(courier("token", "user", "u1", JWT_ALGORITHMS="EdDSA", JWT_PUBLIC_KEY=str(key)))
    assert "COURIER_JWT_ALGORITHMS" in sentence


PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize("ttl", ["0", "-1", "soon"])
def test_a_token_must_be_good_for_a_while(ttl: str) -> None:
    assert courier("token", "user", "u1", "--ttl", ttl).exit_code == 2


# Check


def test_check_prints_every_variable_with_its_value_and_masks_secrets() -> None:
    result = courier(
        "check", JWT_SECRET=SECRET, RATE_LIMIT="7", ARCHITECT_URL="http://me:password@architect:8000"
    )
    assert result.exit_code == 0
    shown = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert list(shown) == [variable(field) for field in Settings.model_fields]
    assert shown["COURIER_RATE_LIMIT"] == "7"
    assert shown["COURIER_JWT_SECRET"] == "**********"
    assert shown["COURIER_ARCHITECT_URL"] == "http://**********@architect:8000"
    assert SECRET not in result.output
    assert "password" not in result.output
    assert "Courier would start." in result.stderr


def test_check_says_which_variables_are_none_of_couriers() -> None:
    Path(".env").write_text("COURIER_LOG_FROMAT=json\n")
    result = courier("check", RATE_LIMT="7", URL="http://node")
    assert result.exit_code == 0
    assert "COURIER_RATE_LIMT is an unknown setting; do you mean COURIER_RATE_LIMIT?" in result.stderr
    assert "COURIER_LOG_FROMAT is an unknown setting; do you mean COURIER_LOG_FORMAT?" in result.stderr
    assert "COURIER_URL" not in result.stderr


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"RATE_LIMIT": "many"}, "COURIER_RATE_LIMIT"),
        ({"HISTORY_EVENTS": "0"}, "COURIER_HISTORY_EVENTS"),
        ({"BIND": "nowhere"}, "COURIER_BIND"),
        ({"ENV": "staging"}, "COURIER_ENV"),
        ({"ENV": "production"}, "COURIER_JWT_SECRET"),
        ({"ENV": "production", "JWT_SECRET": "short"}, "COURIER_JWT_SECRET"),
        ({"ENV": "production", "JWT_SECRET": SECRET, "PUBLISH_AUTH": "off"}, "COURIER_PUBLISH_AUTH"),
        ({"ENV": "production", "JWT_SECRET": SECRET, "ADMIN_TOKEN": "short"}, "COURIER_ADMIN_TOKEN"),
        (
            {"ENV": "production", "JWT_SECRET": SECRET, "JWKS_URL": "http://keys.example.com"},
            "COURIER_JWKS_URL",
        ),
        ({"SENTRY_DSN": "sentry.example.com"}, "COURIER_SENTRY_DSN"),
        ({"REDIS_URL": "redis.example.com"}, "COURIER_REDIS_URL"),
        ({"ALLOWED_ORIGINS": "https://x.org/path"}, "COURIER_ALLOWED_ORIGINS"),
        ({"EVENT_MODULES": "acme.events"}, "acme.events"),
        ({"BIND": "0.0.0.0:8766", "JWT_SECRET": SECRET}, "COURIER_PUBLISH_AUTH"),
    ],
)
def test_what_would_not_start_is_said_by_check_and_by_serve_in_one_sentence(
    variables: dict[str, str], name: str
) -> None:
    checked = courier("check", **variables)
    assert checked.exit_code == 1
    *_, sentence = checked.output.splitlines()
    assert sentence.startswith("Courier would not start: ")
    assert name in sentence
    served = refusal(courier("serve", **variables))
    assert served.startswith("Courier does not start: ")
    assert name in served


def test_a_secret_is_not_repeated_by_the_sentence_that_refuses_it() -> None:
    assert "hunter2" not in courier("check", ENV="production", JWT_SECRET="hunter2").output


def test_bind_on_the_command_line_is_judged_as_the_setting_is() -> None:
    assert "COURIER_BIND must be host:port" in refusal(courier("serve", "--bind", "nowhere"))
    assert "0.0.0.0:0" in refusal(courier("serve", "--bind", "0.0.0.0:0", JWT_SECRET=SECRET))


def test_a_certificate_without_its_key_is_refused() -> None:
    Path("chain.pem").touch()
    result = courier("serve", "--certfile", "chain.pem")
    assert result.exit_code == 2
    assert "--certfile and --keyfile go together" in result.output


def test_a_certificate_that_is_none_is_refused_in_one_sentence() -> None:
    Path("chain.pem").write_text("no certificate")
    arguments = ("--bind", "127.0.0.1:0", "--certfile", "chain.pem", "--keyfile", "chain.pem")
    assert "chain.pem" in refusal(courier("serve", *arguments))


# Subscribe


def test_to_subscribe_takes_a_token() -> None:
    result = courier("subscribe", "global")
    assert result.exit_code == 2
    assert "--token" in result.output


def test_where_there_is_no_node_subscribe_says_so() -> None:
    sentence = refusal(courier("subscribe", "global", URL="http://127.0.0.1:1", TOKEN="t"), exit_code=3)
    assert sentence.startswith("No node at http://127.0.0.1:1: ")


# The contract


@pytest.mark.parametrize("kind", ["json-schema", "openapi", "asyncapi"])
def test_each_document_is_printed_as_json_and_the_users_own_events_are_in_it(kind: str) -> None:
    result = courier("contract", kind, EVENT_MODULES="courier.lumiere,tests.contract.acme")
    assert result.exit_code == 0
    assert json.loads(result.stdout)
    assert "acme.order_shipped" in result.stdout
    assert "acme.order_shipped" not in courier("contract", kind).stdout


def test_the_types_are_printed_as_typescript() -> None:
    text = courier("contract", "typescript", EVENT_MODULES="courier.lumiere,tests.contract.acme").stdout
    assert "export interface AcmeOrderShipped extends EventBase {" in text
    assert text.endswith(";\n")


def test_a_contract_that_cannot_be_made_is_refused_with_one_sentence() -> None:
    for kind in ("json-schema", "openapi", "asyncapi", "typescript"):
        told = refusal(courier("contract", kind, EVENT_MODULES="acme.nothing"))
        assert told.startswith("No contract: 'acme.nothing' cannot be imported")


def test_two_contracts_are_compared_and_the_exit_code_says_whether_something_breaks(tmp_path: Path) -> None:
    old, new, none = (tmp_path / name for name in ("old.json", "new.json", "none.json"))
    old.write_text(courier("contract", "json-schema").stdout)
    new.write_text(
        courier("contract", "json-schema", EVENT_MODULES="courier.lumiere,tests.contract.acme").stdout
    )
    none.write_text("{}")
    assert courier("contract", "diff", str(old), str(old)).stdout == "No difference.\n"

    more = courier("contract", "diff", str(old), str(new))
    assert more.exit_code == 0
    assert "Safe:\n  3d.printed: the type is new\n" in more.stdout

    fewer = courier("contract", "diff", str(new), str(old))
    assert fewer.exit_code == 1
    gone = "  acme.order_shipped: the type is gone\n"
    [publishers, subscribers] = fewer.stdout.split("\n\n")
    assert publishers.startswith("Breaks publishers:\n")
    assert gone in publishers + "\n"
    assert subscribers.startswith("Breaks subscribers:\n")
    assert gone in subscribers

    for wrong in (str(none), str(tmp_path / "nowhere.json"), __file__):
        result = courier("contract", "diff", str(old), wrong)
        assert result.exit_code == 2
        assert result.stdout == ""


def test_a_contract_may_come_from_standard_input(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(courier("contract", "json-schema").stdout)
    given = CliRunner().invoke(main, ["contract", "diff", str(old), "-"], input=old.read_text())
    assert (given.exit_code, given.stdout) == (0, "No difference.\n")
    assert CliRunner().invoke(main, ["contract", "diff", "-", "-"], input="{}").exit_code == 2


URLS_OF_NO_NODE = {
    "http://[::1": "Invalid IPv6 URL",
    "http://127.0.0.1:99999": "Port out of range",
    "http://127.0.0.1:port": "Port could not be cast",
    "http://" + "a" * 64: "no name that could be looked up",
    "http://xn--zzzzzzzzz": "no name that could be looked up",
    "http://a\nb": "no control characters",
    "ftp://example.org": "expected the URL of a node",
    "http://user:secret@example.org": "a node's URL holds no credentials",
}


@pytest.mark.parametrize("command", ["publish", "subscribe", "history"])
def test_a_url_of_no_node_is_refused_with_a_sentence(command: str) -> None:
    for url, sentence in URLS_OF_NO_NODE.items():
        result = CliRunner().invoke(main, [command, "global", "--token", "t", "--url", url])
        assert result.exit_code == 2, (url, result.output)
        assert sentence in result.output
        assert "secret" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["subscribe", "user.\udcff", "--token", "t"],
        ["history", "user.\udcff", "--token", "t"],
        ["publish", "user.\udcff"],
        ["history", "global", "--since", "\udcff", "--token", "t"],
        ["subscribe", "global", "--token", "se cret"],
        ["history", "global", "--token", "se\ncret"],
        ["publish", "global", "--token", "sécret"],
        ["token", "user", "\udcff"],
        ["token", "user", "u", "--wallet", "\udcff"],
        ["token", "service", "\udcff"],
    ],
)
def test_an_argument_that_cannot_be_sent_is_refused_with_a_sentence(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.exception
    assert "expected UTF-8" in result.output or "visible ASCII" in result.output
    assert "cret" not in result.output


@pytest.mark.parametrize("user", ["alice@example.org", "a/b", "a b", "é", "u" * 129, ""])
def test_no_token_is_made_for_a_user_whose_channel_cannot_exist(user: str) -> None:
    result = CliRunner().invoke(main, ["token", "user", user])
    assert result.exit_code == 1
    assert result.output == (
        "No token: there can be no channel user.<id> for this user, because an id is "
        "1 to 128 of A-Z a-z 0-9 _ - @ | : + ~\n"
    )
