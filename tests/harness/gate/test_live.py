"""What a run says while it goes on: on a terminal, in a pipe, quietly, and in each step."""

import contextlib
import os
import pty
import termios
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.gate import live
from tailgate.harness.gate.live import Voice
from tailgate.harness.observe.beside.under_way import PhaseLoad
from tailgate.harness.options.reading import parse_options
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.plan import PlannedPhase
from tailgate.harness.testing import criterion_result, run_result

PATIENCE_S = 30.0
ERASE = "\r\x1b[K"


class Reporter:
    """Stands in for pytest's terminal reporter."""

    def __init__(self, *, isatty):
        self.isatty = isatty
        self.lines = []

    def ensure_newline(self):
        pass

    def flush(self):
        pass

    def write_line(self, line):
        self.lines.append(line)


@pytest.fixture
def voice(tmp_path, monkeypatch):
    """Return a function that makes a voice, with what it has printed as lines."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(live, "REDRAWN_S", 0.01)
    monkeypatch.setattr(live, "PLAIN_S", 0.02)

    def make(*, isatty=False, verbosity=0, steps=False, of=3):
        reporter = Reporter(isatty=isatty)
        plugins = {"terminalreporter": reporter, "capturemanager": None}
        config = SimpleNamespace(
            pluginmanager=SimpleNamespace(get_plugin=plugins.__getitem__), get_verbosity=lambda: verbosity
        )
        settings = parse_options(lambda _: None, tmp_path)
        return Voice(config, settings, steps=steps, of=of), reporter.lines

    return make


@pytest.fixture
def written(monkeypatch):
    """Everything that goes to standard output, with a function that waits for the next of it."""
    texts, some = [], threading.Semaphore(0)

    def write(_, text):
        texts.append(text)
        some.release()

    monkeypatch.setattr(live, "_write", write)

    def wait():
        assert some.acquire(timeout=PATIENCE_S)

    return SimpleNamespace(texts=texts, wait=wait)


def load(folder):
    return PhaseLoad(
        "steady", 0, PlannedPhase("main", np.arange(10) * 10**9, np.zeros(10, np.uint16)), 1.0, folder
    )


def test_a_terminal_has_one_line_that_is_erased_when_the_phase_is_over(voice, tmp_path, written):
    made, _ = voice(isatty=True)
    with made.speaking(), made.watching(load(tmp_path)):
        written.wait()
        written.wait()
    first, *_, last = written.texts
    assert first.startswith(f"{ERASE}[1/3] steady: main ░░░░░░░░░░░░ 0%")
    assert last == ERASE
    assert "\n" not in "".join(written.texts)


def test_a_pipe_has_a_line_from_time_to_time(voice, tmp_path, written):
    made, _ = voice()
    with made.speaking(), made.watching(load(tmp_path)):
        written.wait()
    assert written.texts[0].startswith("[1/3] steady: main, 0%")
    assert all(text.endswith("\n") and "\x1b" not in text for text in written.texts)


def test_short_phases_do_not_put_off_the_next_line_of_a_pipe(voice, tmp_path, written, monkeypatch):
    """Each begun anew, ten phases of nine seconds would be silent for a minute and a half."""
    says = []
    monkeypatch.setattr(live, "periodically", lambda say, _: contextlib.nullcontext(says.append(say)))
    monkeypatch.setattr(live, "PLAIN_S", 0.0)
    made, _ = voice()
    with made.speaking():
        for _ in "ab":
            with made.watching(load(tmp_path)):
                says[0]()
        # Nothing is done, and nothing is said.
        says[0]()
    assert (len(says), len(written.texts)) == (1, 2)


def test_a_pipe_is_told_of_a_step_that_takes_long(voice, written):
    made, lines = voice()
    with made.speaking():
        made.tell("target: waiting until it is ready")
        written.wait()
    assert written.texts[0].startswith("[1/3] target: waiting until it is ready, 0 s")
    assert lines == []


def test_on_a_terminal_a_step_is_not_redrawn_where_pytest_may_write(voice, written, tmp_path):
    made, lines = voice(isatty=True)
    with made.speaking():
        made.tell("target: waiting until it is ready")
        with made.watching(load(tmp_path)):
            written.wait()
    assert lines == ["target: waiting until it is ready"]
    assert "waiting" not in "".join(written.texts)


@pytest.mark.parametrize("isatty", [False, True])
def test_a_comparison_has_the_same_line(voice, written, isatty):
    made, _ = voice(isatty=isatty)
    with made.speaking(), made.comparing(Standing("compare", "starting both sides once")):
        written.wait()
    first = written.texts[0].removeprefix(ERASE)
    assert first.startswith("[1/3] compare: starting both sides once")


def test_a_terminal_that_cannot_erase_is_a_pipe(voice, tmp_path, written, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    made, _ = voice(isatty=True)
    with made.speaking(), made.watching(load(tmp_path)):
        written.wait()
    assert "\x1b" not in "".join(written.texts)


@pytest.mark.parametrize("isatty", [False, True])
@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("verbosity", [-1, -2])
def test_quietly_nothing_is_said_before_the_end(voice, tmp_path, written, isatty, steps, verbosity):
    made, lines = voice(isatty=isatty, verbosity=verbosity, steps=steps)
    with made.speaking(), made.watching(load(tmp_path)):
        made.tell("starting both sides once")
    made.tell_verdict(run_result())
    assert (written.texts, lines) == ([], [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, False), ({"steps": True}, True), ({"verbosity": 1}, True), ({"isatty": True}, True)],
)
def test_steps_are_said_where_somebody_watches_or_asks_for_them(voice, changes, said):
    made, lines = voice(**changes)
    made.tell("target: waiting until it is ready")
    assert lines == ["target: waiting until it is ready"] * said


def test_without_pytests_terminal_nothing_is_said(tmp_path, written):
    config = SimpleNamespace(
        pluginmanager=SimpleNamespace(get_plugin=lambda _: None), get_verbosity=lambda: 1
    )
    made = Voice(config, parse_options(lambda _: None, tmp_path), steps=True, of=1)
    with made.speaking(), made.watching(load(tmp_path)):
        made.tell("a step")
    made.tell_verdict(run_result())
    assert written.texts == []


def test_a_verdict_is_said_with_its_reason_and_the_next_scenario_has_the_next_number(
    voice, tmp_path, written
):
    made, lines = voice(isatty=True)
    made.tell_verdict(run_result([criterion_result(value=0.3, verdict=Verdict.FAIL)]))
    assert lines == ["steady: FAIL: p95 (client) is 300 ms, and the limit is 100 ms."]
    with made.speaking(), made.watching(load(tmp_path)):
        written.wait()
    assert "[2/3] steady: main" in written.texts[0]


def test_a_step_that_is_said_while_a_line_is_redrawn_takes_its_place(voice, written):
    made, lines = voice(isatty=True)
    with made.speaking(), made.comparing(Standing("compare")):
        written.wait()
        with made._writing:
            written.texts.clear()
        made.tell("block 1 is good")
        assert ERASE in written.texts
    assert lines == ["block 1 is good"]


def test_texts_of_the_service_forge_no_line(voice):
    made, lines = voice(verbosity=1)
    made.tell("one\x1b[2Jtwo ::error::three")
    assert "\x1b" not in lines[0]
    assert "::error::" not in lines[0]


def test_the_line_tells_no_secret(voice, written):
    made, _ = voice(isatty=True)
    made._secrets = SimpleNamespace(hide=lambda line: line.replace("abcdef123456", "***"))
    with made.speaking(), made.comparing(Standing("compare", "sending Bearer abcdef123456")):
        written.wait()
    assert "abcdef123456" not in "".join(written.texts)
    assert "***" in written.texts[0]


def test_a_reader_that_has_gone_stops_no_measurement(voice, tmp_path, monkeypatch):
    tried = threading.Event()

    def broken(*_):
        tried.set()
        raise BrokenPipeError

    monkeypatch.setattr(live.os, "write", broken)
    made = voice(isatty=True)[0]
    with made.speaking(), made.watching(load(tmp_path)):
        assert tried.wait(PATIENCE_S)


@pytest.mark.parametrize(("columns", "width"), [("61", 61), (None, 97)])
def test_the_width_is_what_columns_says_or_the_terminal_itself(monkeypatch, columns, width):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    # As a test has it: standard output is a file, and the terminal behind a descriptor.
    monkeypatch.setattr(
        live.shutil, "get_terminal_size", lambda fallback: os.terminal_size((int(columns or 0), 0))
    )
    master, slave = pty.openpty()
    try:
        termios.tcsetwinsize(slave, (24, 97))
        assert live._columns(slave) == width
    finally:
        os.close(master)
        os.close(slave)


def test_what_is_no_terminal_has_eighty_columns(monkeypatch, tmp_path):
    monkeypatch.setattr(live.shutil, "get_terminal_size", os.terminal_size)
    with (tmp_path / "file").open("w") as file:
        assert live._columns(file.fileno()) == 80
