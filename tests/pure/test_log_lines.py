from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import ConfigurationError, HotTierError
from tiered_memory.logs import configure
from tiered_memory.logs.floods import MOST_PER_WINDOW

CANARY = "canary-3f9"
ours = logging.getLogger("tiered_memory")
WILD_TEXT = st.text(st.characters(exclude_categories=[]))


class Stream(io.StringIO):
    """Where lines go in these tests; `lines` parses them as JSON."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line, parse_constant=pytest.fail) for line in self.getvalue().splitlines()]


Configured = Callable[..., Stream]


@pytest.fixture
def configured() -> Iterator[Configured]:
    undone = []

    def start(*, terminal: bool = False, **given: Any) -> Stream:
        stream = Stream(terminal)
        undone.append(configure(stream=stream, **given))
        return stream

    yield start
    for undo in reversed(undone):
        undo()


def test_a_line_says_when_who_what(configured: Configured) -> None:
    stream = configured()
    ours.warning("the tier is %s", "down", extra={"tier": "hot", "content": CANARY, "seconds": 0.25})
    (line,) = stream.lines
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert line == {
        "level": "warning", "logger": "tiered_memory", "event": "the tier is down", "tier": "hot", "seconds": 0.25,
    }  # fmt: skip


def test_an_error_is_told_with_a_scrubbed_stack(configured: Configured) -> None:
    stream = configured()

    def broken(content: str) -> None:
        raise KeyError(content)

    try:
        broken(CANARY)
    except KeyError:
        ours.exception("it failed")
    error = stream.lines[0]["error"]
    assert error["type"] == "KeyError"
    assert error["stack"][-1].endswith(" broken")
    assert CANARY not in stream.getvalue()


def test_a_library_s_line_says_where_it_comes_from(configured: Configured) -> None:
    stream = configured(level="debug")
    logging.getLogger("httpx2").info("HTTP Request: GET %s", f"http://x/{CANARY}")
    logging.getLogger("redis").warning(CANARY)
    (line,) = stream.lines
    assert line["logger"] == "redis"
    assert line["event"] == "the message of a library is withheld"
    assert line["where"].startswith("tests/pure/test_log_lines.py:")


def test_the_server_s_own_access_log_is_silent(configured: Configured) -> None:
    stream = configured(level="debug")
    logging.getLogger("uvicorn.access").error(
        '%s - "GET %s HTTP/%s" %d', "1.2.3.4:5", f"/u/{CANARY}", "1.1", 200
    )
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 77)
    assert [line["event"] for line in stream.lines] == ["Started server process [77]"]


@pytest.mark.parametrize(("level", "told"), [("debug", 3), ("info", 2), ("WARNING", 1)])
def test_the_level_holds_for_our_lines(configured: Configured, level: str, told: int) -> None:
    stream = configured(level=level)
    ours.debug("d")
    ours.info("i")
    ours.warning("w")
    assert len(stream.lines) == told


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one of debug, info"):
        configure(level="loud")


def test_without_structlog_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "structlog.dev", None)
    before = logging.getLogger().handlers[:]
    with pytest.raises(ConfigurationError, match=r"tiered-memory\[server\]"):
        configure()
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize(
    "hostile", ["two\nlines", "a\r\nb", "\ud800alone", "\x1b[2Jclear", '{"event": "forged"}', "\u2028"]
)
@pytest.mark.parametrize("terminal", [False, True])
def test_whatever_is_said_is_one_line(configured: Configured, hostile: str, terminal: bool) -> None:
    stream = configured(terminal=terminal)
    ours.warning("said: %s", hostile)
    ours.warning(hostile)
    written = stream.getvalue()
    written.encode("utf-8")
    assert len(written.splitlines()) == 2
    assert "\x1b" not in written
    if not terminal:
        assert stream.lines[0]["event"].startswith("said: ")


@given(WILD_TEXT, st.dictionaries(st.sampled_from(["op", "seconds", "route", "x"]), WILD_TEXT | st.floats()))
def test_every_line_is_valid_json(words: str, extra: dict[str, Any]) -> None:
    stream = Stream()
    undo = configure(stream=stream, level="debug")
    try:
        ours.info("%s", words, extra=extra)
        ours.info(words, extra=extra)
    finally:
        undo()
    assert [set(line) & {"x"} for line in stream.lines] == [set(), set()]


def test_a_terminal_is_told_in_words_and_nothing_it_obeys(configured: Configured) -> None:
    stream = configured(terminal=True)
    error = HotTierError()
    error.__cause__ = ValueError(CANARY)
    ours.error("it failed", extra={"op": "add"}, exc_info=error)
    told = stream.getvalue()
    assert "it failed" in told
    assert "op=add" in told
    assert "HotTierError: The hot tier failed" in told
    assert "ValueError" in told
    assert CANARY not in told


def test_a_line_that_cannot_be_written_is_told_without_its_content(
    configured: Configured, capfd: Any
) -> None:
    stream = configured()

    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            record.created = float("nan")
            return True

    gate = Broken()
    ours.addFilter(gate)
    try:
        ours.warning("about %s", CANARY)
    finally:
        ours.removeFilter(gate)
    assert stream.lines[0]["event"] == "a log line could not be written"
    assert CANARY not in stream.getvalue() + "".join(capfd.readouterr())


def test_a_closed_stream_stops_nobody(configured: Configured, capfd: Any) -> None:
    stream = configured()
    stream.close()
    ours.warning("about %s", CANARY)
    assert CANARY not in "".join(capfd.readouterr())


def test_a_repeated_warning_is_bounded(configured: Configured) -> None:
    stream = configured()
    for number in range(1000):
        ours.warning("the same again: %d", number)
    ours.warning("another")
    assert len(stream.lines) == MOST_PER_WINDOW + 1


def test_filters_may_note_a_trace(configured: Configured) -> None:
    class Noting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            record.trace_id, record.span_id = "a" * 32, "b" * 16
            return True

    stream = configured(filters=[Noting()])
    ours.warning("x")
    assert stream.lines[0]["trace_id"] == "a" * 32


def test_what_nobody_caught_is_logged_without_its_message(configured: Configured, capfd: Any) -> None:
    stream = configured()

    def failing() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=failing)
    thread.start()
    thread.join()
    try:
        failing()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert [line["error"]["type"] for line in stream.lines] == ["ValueError", "ValueError"]
    assert [line["level"] for line in stream.lines] == ["critical", "critical"]
    assert CANARY not in stream.getvalue() + "".join(capfd.readouterr())


def test_an_error_in_a_destructor_is_logged_without_its_message(configured: Configured, capfd: Any) -> None:
    stream = configured()

    class Dying:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    Dying()
    assert stream.lines[0]["error"]["type"] == "ValueError"
    assert CANARY not in stream.getvalue() + "".join(capfd.readouterr())


def test_a_warning_is_logged_without_its_message(configured: Configured) -> None:
    stream = configured()
    with warnings.catch_warnings():
        # `catch_warnings` has put back how warnings are shown: a process that configured its logs has no such block.
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.simplefilter("always")
        warnings.warn(CANARY, stacklevel=1)
    assert stream.lines[0]["logger"] == "py.warnings"
    assert CANARY not in stream.getvalue()


def test_undoing_puts_everything_back() -> None:
    names = ("", "tiered_memory", "uvicorn", "uvicorn.access", "uvicorn.error", "py.warnings")

    def state() -> list[Any]:
        loggers = [logging.getLogger(name) for name in names]
        hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        return [*((one.handlers[:], one.level, one.propagate, one.disabled) for one in loggers), hooks]

    before = state()
    undo = configure(stream=Stream(), level="debug")
    assert state() != before
    undo()
    assert state() == before


def test_structlog_s_own_events_are_a_library_s(configured: Configured) -> None:
    stream = configured()
    extra = {"_logger": object(), "_name": "warning"}
    logging.getLogger("elsewhere").warning({"event": CANARY, "content": CANARY}, extra=extra)
    ours.warning({"event": CANARY}, extra=extra)
    assert [line["event"] for line in stream.lines] == ["the message of a library is withheld", "(dict)"]


def test_configuring_again_does_not_tell_twice(configured: Configured) -> None:
    first, second = configured(), configured()
    ours.warning("once")
    assert (first.lines, len(second.lines)) == ([], 1)
