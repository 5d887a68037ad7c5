"""The log: nobody waits for it, what cannot be written is lost and counted, and JSON is JSON in every line."""

import contextlib
import io
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
import warnings

import pytest
import structlog

from tailgate.service import logs
from tailgate.service.codec.forms import single_file
from tailgate.service.errors import BadInput
from tailgate.service.logs import LogHandler, Printed, configure_logging, lines_dropped

PATIENCE_S = 30


class Broken(io.StringIO):
    """A stream whose disk is full, or whose reader has gone."""

    def __init__(self, error):
        super().__init__()
        self.error, self.tries = error, 0

    def write(self, text):
        self.tries += 1
        raise self.error

    flush = property(lambda self: lambda: self.write(""))


class Unread(io.StringIO):
    """A pipe that is full until somebody reads it: whoever writes waits."""

    def __init__(self):
        super().__init__()
        self.entered, self.read = threading.Event(), threading.Event()

    def write(self, text):
        self.entered.set()
        assert self.read.wait(PATIENCE_S)
        return super().write(text)


@contextlib.contextmanager
def logging_to(stream, log_format="json"):
    """Log to a stream: yield the handler, write all of it at the end, and leave the process's logging as it was."""
    root, forms = logging.getLogger(), logging.getLogger("python_multipart")
    configured, handlers, levels = structlog.get_config(), root.handlers[:], (root.level, forms.level)
    hooks = sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.formatwarning
    root.handlers[:] = []
    sys.stderr = stream
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            configure_logging(log_format)
            (handler,) = root.handlers
            yield handler
            handler.close()
        finally:
            logging.captureWarnings(False)
            sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.formatwarning = (
                hooks
            )
            root.handlers[:] = handlers
            root.setLevel(levels[0])
            forms.setLevel(levels[1])
            structlog.configure(**configured)


def lines_of(stream):
    def refuse(constant):
        raise AssertionError(constant)

    return [json.loads(line, parse_constant=refuse) for line in stream.getvalue().splitlines()]


def raised(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


class FailsAtItsEnd:
    def __del__(self):
        raise ValueError("in the end")


class NoText:
    def __repr__(self):
        raise ZeroDivisionError


def say(*words, **options):
    print(*words, file=sys.stderr, **options)  # noqa: T201


def end_a_thread(error):
    thread = threading.Thread(target=lambda: throw(error), name="some")
    thread.start()
    thread.join()


def throw(error):
    raise error


def log_what_fails(log):
    try:
        throw(KeyError("k"))
    except KeyError:
        log.exception("told")


def print_what_fails():
    try:
        throw(KeyError("k"))
    except KeyError:
        traceback.print_exc()


def lose_an_object():
    FailsAtItsEnd()


# What is said, and each line that comes of it: its event or the beginning of that, and what its traceback ends with.
SAID = {
    "an event": (lambda: structlog.get_logger("a").error("told", number=3), [("told", None)]),
    "an event with a traceback": (
        lambda: log_what_fails(structlog.get_logger("a")),
        [("told", "KeyError: 'k'")],
    ),
    "an event with numbers that JSON has not": (
        lambda: structlog.get_logger("a").info("told", nan=float("nan"), most=float("inf")),
        [("told", None)],
    ),
    "an event with keys that JSON has not": (
        lambda: structlog.get_logger("a").info("told", times={(1, 2): 3}),
        [("told", None)],
    ),
    "a record": (lambda: logging.getLogger("a").warning("told %s", "twice"), [("told twice", None)]),
    "a record of several lines": (
        lambda: logging.getLogger("a").error("one\ntwo\u2028\r"),
        [("one\ntwo", None)],
    ),
    "a record with a traceback": (
        lambda: log_what_fails(logging.getLogger("a")),
        [("told", "KeyError: 'k'")],
    ),
    "a record with wrong arguments": (
        lambda: logging.getLogger("a").error("%d items", "many"),
        [("a line of the log cannot be formatted: %d items", "a real number is required, not str")],
    ),
    "a record of an object without a text": (
        lambda: logging.getLogger("a").error("%r", NoText()),
        [("a line of the log cannot be formatted: %r", "ZeroDivisionError")],
    ),
    "a record of no text at all": (
        lambda: logging.getLogger("a").error(NoText()),
        [("a line of the log cannot be formatted: NoText", "ZeroDivisionError")],
    ),
    "a record with half a character": (lambda: logging.getLogger("a").error("\ud800"), [("\ud800", None)]),
    "a warning": (lambda: warnings.warn("told", stacklevel=1), [(__file__, None)]),
    "an exception in the main thread": (
        lambda: sys.excepthook(*raised(KeyError("k"))),
        [("the process ends by an exception", "KeyError: 'k'")],
    ),
    "an exception in another thread": (
        lambda: end_a_thread(KeyError("k")),
        [("some ends by an exception", "KeyError: 'k'")],
    ),
    "the end of a thread": (lambda: end_a_thread(SystemExit(3)), []),
    "an exception that nobody could catch": (
        lose_an_object,
        [("an exception is ignored in <function FailsAtItsEnd.__del__", "ValueError: in the end")],
    ),
    "a printed line": (lambda: say("told"), [("told", None)]),
    "two printed lines": (lambda: say("one\ntwo\r\n\n"), [("one", None), ("two", None)]),
    "a printed line in pieces": (
        lambda: [say(word, end=" ") for word in ("one", "two")] + [sys.stderr.writelines(["\n"])],
        [("one two ", None)],
    ),
    "a printed line without an end": (lambda: say("told", end=""), [("told", None)]),
    "a progress bar": (
        lambda: [say(f"\r{share} %", end="", flush=True) for share in range(101)],
        [("100 %", None)],
    ),
    "a printed traceback": (
        print_what_fails,
        [("Traceback", None), ("KeyError: 'k'", None)],
    ),
    "much without an end": (lambda: sys.stderr.write("x" * 10_000), [("x" * 10_000, None)]),
}


@pytest.mark.parametrize(("tell", "expected"), SAID.values(), ids=SAID)
def test_with_json_every_line_is_json_whoever_says_it(tell, expected):
    stream = io.StringIO()
    with logging_to(stream):
        tell()
    lines = lines_of(stream)
    if tell is print_what_fails:
        lines = [lines[0], lines[-1]]
    assert len(lines) == len(expected)
    for line, (event, last) in zip(lines, expected, strict=True):
        assert line["event"].startswith(event)
        assert last is None or line["exception"].splitlines()[-1].endswith(last)
        assert {"level", "timestamp"} <= set(line)


@pytest.mark.parametrize(("tell", "expected"), SAID.values(), ids=SAID)
def test_people_read_the_same_as_text(tell, expected):
    stream = io.StringIO()
    with logging_to(stream, "console"):
        tell()
    text = stream.getvalue()
    for event, last in expected:
        assert event in text or "\ud800" in event
        assert last is None or last in text
    assert text == "" or text.endswith("\n")


def test_a_process_that_ends_by_an_exception_says_so_in_json_and_loses_no_line():
    program = (
        "import structlog\nfrom tailgate.service.logs import configure_logging\nconfigure_logging('json')\n"
        "for number in range(1000): structlog.get_logger('a').info('told', number=number)\n"
        "raise KeyError('k')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )
    assert ended.returncode == 1
    *told, last = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["number"] for line in told] == list(range(1000))
    assert last["event"] == "the process ends by an exception"
    assert last["exception"].endswith("KeyError: 'k'")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_without_standard_error_every_line_is_lost_and_counted(log_format):
    with logging_to(None, log_format) as handler:
        structlog.get_logger("a").error("told")
        logging.getLogger("a").error("told")
        say("told")
        handler.close()
        assert lines_dropped() == 3


def test_a_forked_process_writes_its_own_lines():
    program = (
        "import logging, os, sys, warnings\nfrom tailgate.service.logs import configure_logging\nconfigure_logging('json')\n"
        "warnings.simplefilter('ignore')\nchild = os.fork()\n"
        "logging.getLogger('a').error('told')\nprint('told', file=sys.stderr)\n"
        "if child == 0: os._exit(0)\n"
        "os.waitpid(child, 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=2 * PATIENCE_S, check=True
    )
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == ["told"] * 4


def test_a_form_that_is_damaged_is_no_line():
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger("python_multipart.multipart").warning("Did not find boundary character")
    assert stream.getvalue() == ""


def test_what_is_asked_of_standard_error_is_answered_by_the_stream_itself(capfd):
    stream = sys.__stderr__
    with logging_to(stream):
        assert isinstance(sys.stderr, Printed)
        assert sys.stderr.fileno() == stream.fileno()
        assert sys.stderr.isatty() == stream.isatty()


# Nobody waits, and what is lost is counted.


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "error", [OSError(28, "no space left"), BrokenPipeError(), BlockingIOError(), ValueError("closed file")]
)
def test_a_line_that_cannot_be_written_is_counted_and_raises_nothing(error, log_format):
    stream = Broken(error)
    with logging_to(stream, log_format) as handler:
        structlog.get_logger("some").error("told")
        logging.getLogger("another").error("told")
        say("told")
        handler.close()
        assert lines_dropped() == 3
    assert stream.tries >= 3


def test_nobody_waits_for_a_stream_that_nobody_reads_and_the_loss_is_told_once_when_somebody_does(
    monkeypatch,
):
    monkeypatch.setattr(logs, "MAX_WAITING", 1000)
    stream = Unread()
    with logging_to(stream) as handler:
        structlog.get_logger("a").info("the first")
        assert stream.entered.wait(PATIENCE_S)
        for number in range(100):
            structlog.get_logger("a").info("told", number=number)
            logging.getLogger("a").error("told too")
            say("printed")
        dropped = lines_dropped()
        assert 250 < dropped < 300
        stream.read.set()
        while handler._waiting:
            time.sleep(0)
        structlog.get_logger("a").info("the last")
    events = [line["event"] for line in lines_of(stream)]
    kept = 301 - dropped
    assert events[0] == "the first"
    assert set(events[1:kept]) <= {"told", "told too", "printed"}
    assert sorted(
        event.startswith(f"{dropped} lines of this log were dropped") for event in events[kept:]
    ) == [False, True]
    assert "the last" in events[kept:]


def test_a_line_that_is_longer_than_all_that_may_wait_is_written_where_nothing_waits(monkeypatch):
    monkeypatch.setattr(logs, "MAX_WAITING", 10)
    stream = io.StringIO()
    with logging_to(stream, "console"):
        say("x" * 100)
    assert stream.getvalue() == "x" * 100 + "\n"


def test_the_end_waits_for_a_stream_that_nobody_reads_no_longer_than_it_is_told_to():
    stream = Unread()
    handler = LogHandler(stream)
    handler.start()
    handler.put("a line\n")
    assert stream.entered.wait(PATIENCE_S)
    assert not handler.end(timeout_s=0)
    handler.put("too late\n")
    assert handler.dropped == 1
    stream.read.set()
    assert handler.end(PATIENCE_S)
    assert stream.getvalue().startswith("a line\n1 lines of this log were dropped")


def test_a_finaliser_that_logs_may_run_while_its_thread_is_logging():
    stream = io.StringIO()
    with logging_to(stream) as handler, handler._lock:
        structlog.get_logger("a").info("told")
    assert [line["event"] for line in lines_of(stream)] == ["told"]


def test_where_nothing_is_configured_no_number_of_lost_lines_is_known():
    assert lines_dropped() is None


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_form_that_is_none_leaves_no_line(log_format):
    stream = io.StringIO()
    with logging_to(stream, log_format):
        for body in (
            b"garbage",
            b"--x--",
            b"--x\r\n:\r\n",
            b"--y\r\n\r\n",
            b"--x\r\nContent-Disposition form-data\r\n\r\n",
        ):
            with contextlib.suppress(BadInput):
                single_file("x", body)
    assert stream.getvalue() == ""
