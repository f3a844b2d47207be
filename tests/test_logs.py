"""One line an event, on standard error, whoever logs it; and no token in any of them."""

import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypercorn.config import Config
from quart import Quart

from courier.floods import allowance
from courier.logs import LEFT_OUT, MASK, configure_logging, get_logger, tell_what_was_left_out

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoidTEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    loggers = [
        logging.getLogger(),
        *map(logging.getLogger, ("courier", "hypercorn.error", "hypercorn.access", "quart.app")),
    ]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    logging.captureWarnings(capture=False)
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_of_json_has_time_level_service_message_and_its_facts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    get_logger("courier.node").info("Drained", closed=3, reason="line\nbreak")
    [line] = lines(capsys)
    age = datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp"))
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "service": "courier",
        "logger": "courier.node",
        "message": "Drained",
        "closed": 3,
        "reason": "line\nbreak",
    }


def test_a_fact_never_takes_the_place_of_what_every_line_has(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    get_logger("courier").warning("Refused", service="prophet", message="no")
    [line] = lines(capsys)
    assert (line["service"], line["message"]) == ("courier", "Refused")
    assert (line["service_"], line["message_"]) == ("prophet", "no")


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("hypercorn.error").setLevel(logging.INFO)  # as Hypercorn does by itself
    configure_logging("warning", "json")
    get_logger("courier").info("Not this")
    logging.getLogger("hypercorn.error").info("Nor this")
    get_logger("courier").warning("This")
    assert [line["message"] for line in lines(capsys)] == ["This"]


@pytest.mark.parametrize("name", ["hypercorn.error", "hypercorn.access", "quart.app", "any.other"])
def test_what_a_library_logs_goes_the_same_way_and_once(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger(name)
    logger.handlers = [logging.StreamHandler()]
    logger.propagate = False
    if name == "any.other":
        logger.handlers, logger.propagate = [], True
    configure_logging("info", "json")
    logger.info("Running on %s", "http://localhost")
    [line] = lines(capsys)
    assert (line["logger"], line["service"]) == (name, "courier")
    assert line["message"] == "Running on http://localhost"


async def test_hypercorn_given_the_logger_and_quart_left_alone_write_each_line_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    await config.log.info("Running")
    Quart("quart.app").logger.error("Exception on request")
    assert [line["message"] for line in lines(capsys)] == ["Running", "Exception on request"]


def test_a_traceback_is_a_field_and_shows_no_local_variable(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        hidden = "hunter2"
        raise ExceptionGroup(f"{len(hidden)} letters", [ValueError("inner")])

    for log_format in ("json", "console"):
        configure_logging("info", log_format)
        try:
            fail()
        except ExceptionGroup as error:
            get_logger("courier").error("Channel failed", exc_info=error)
            logging.getLogger("quart.app").exception("Request failed")
    captured = capsys.readouterr().err
    ours, theirs = map(json.loads, captured.splitlines()[:2])
    for line in (ours, theirs):
        assert "ValueError: inner" in line["exception"]
        assert "exc_info" not in line
    assert captured.count("ValueError: inner") == 4
    assert "hunter2'" not in captured


def test_a_person_reads_one_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    get_logger("courier.node").info("Drained", closed=3)
    [line] = capsys.readouterr().err.splitlines()
    assert "Drained" in line
    assert "closed=3" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_text_of_others_moves_a_cursor_or_begins_a_line(
    log_format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", log_format)
    nasty = "a\x1b[2J\x07\x9b1m\x00\n\u2028\u202e\x7fz"
    get_logger("courier").info("Joined", user_id=nasty, trace_id=nasty)
    logging.getLogger("hypercorn.error").warning("Odd: %s", nasty)
    try:
        raise ValueError(nasty)
    except ValueError as error:
        get_logger("courier").error("Failed", exc_info=error)
    written = capsys.readouterr().err
    assert written.count("z") >= 4
    assert {each for each in written if not each.isprintable()} == {"\n"}
    assert r"\x1b[2J" in written or r"\u001b[2J" in written


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_token_leaves_in_a_line(log_format: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", log_format)
    logger = get_logger("courier")
    logger.info("Asked", url="/ws/global?since=1&token=s3cret&x=1", header=f"Bearer {JWT}")
    logging.getLogger("hypercorn.access").info("GET /ws?token=%s 1.1", JWT)
    logger.error("Failed", exc_info=ValueError(f"courier.bearer.s3cret {JWT}"))
    captured = capsys.readouterr().err
    assert "s3cret" not in captured
    assert JWT[:20] not in captured
    assert captured.count(MASK) == 5
    assert "since=1&token=**********&x=1" in captured


def test_a_python_warning_is_a_line_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("Key is short", stacklevel=1)
    [line] = lines(capsys)
    assert line["level"] == "warning"
    assert "Key is short" in line["message"]


def test_requests_that_courier_makes_itself_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")
    logging.getLogger("httpx").info("HTTP Request: GET https://user:password@architect")
    assert lines(capsys) == []


def test_configuring_again_replaces_what_was(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("error", "console")
    configure_logging("info", "json")
    get_logger("courier").info("Once")
    assert [line["message"] for line in lines(capsys)] == ["Once"]


def test_debug_is_couriers_own_level_because_libraries_tell_there_what_passes_through_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("debug", "json")
    get_logger("courier.web.notes").debug("Event published")
    logging.getLogger("trio-websocket").debug("received event: %s", "a payload")
    logging.getLogger("trio-websocket").info("closed")
    assert [line["message"] for line in lines(capsys)] == ["Event published", "closed"]
    configure_logging("info", "json")
    get_logger("courier.web.notes").debug("Event published")
    assert lines(capsys) == []


# Floods


@pytest.mark.parametrize("name", ["courier.web.join", "hypercorn.error"])
def test_a_flood_is_some_lines_and_then_one_that_says_how_many_more(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", "json")
    for number in range(10_000):
        if name.startswith("courier"):
            get_logger(name).info("Join refused", reason="Invalid token", user_id=str(number))
        else:
            logging.getLogger(name).info("Join refused %s", number)
    get_logger("courier").info("Something else")
    tell_what_was_left_out()
    *first, other, told = lines(capsys)
    most = allowance(logging.INFO)
    assert len(first) == most
    assert other["message"] == "Something else"
    del told["timestamp"]
    assert told == {
        "level": "info",
        "service": "courier",
        "logger": name,
        "message": LEFT_OUT,
        "of": "Join refused" if name.startswith("courier") else "Join refused %s",
        "lines": 10_000 - most,
    } | ({"reason": "Invalid token"} if name.startswith("courier") else {})
    tell_what_was_left_out()
    assert lines(capsys) == []


def test_a_line_that_is_left_out_is_not_even_made(capsys: pytest.CaptureFixture[str]) -> None:
    class Counted:
        made = 0

        def __repr__(self) -> str:
            self.made += 1
            return "counted"

    configure_logging("info", "json")
    counted = Counted()
    for _ in range(1000):
        get_logger("courier").info("Refused", what=counted)
    assert counted.made == len(lines(capsys)) == allowance(logging.INFO)


def test_an_access_log_is_whole_because_somebody_asked_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    for _ in range(1000):
        logging.getLogger("hypercorn.access").info("GET /health")
    assert len(lines(capsys)) == 1000


def test_a_line_that_cannot_be_made_is_no_traceback_but_counted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("other").info("%d", "no number")
    assert lines(capsys) == []
    tell_what_was_left_out()
    [line] = lines(capsys)
    assert (line["level"], line["message"], line["lines"]) == ("warning", "Lines lost", 1)
    tell_what_was_left_out()
    assert lines(capsys) == []
