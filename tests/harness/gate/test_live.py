"""What a run says while it goes on: on a terminal, in a pipe, quietly, and in each step."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from tailgate.harness.gate import live
from tailgate.harness.gate.live import Voice
from tailgate.harness.observe.beside.under_way import PhaseLoad
from tailgate.harness.options.reading import parse_options
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.plan import PlannedPhase
from tailgate.harness.testing import criterion_result, run_result


class Reporter:
    """Stands in for pytest's terminal reporter."""

    def __init__(self, *, isatty):
        self.isatty = isatty
        self.lines = []

    def ensure_newline(self):
        pass

    def write_line(self, line):
        self.lines.append(line)


@pytest.fixture
def voice(tmp_path, monkeypatch):
    """Return a function that makes a voice, with what it has printed as lines."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")

    def make(*, isatty=False, verbosity=0, steps=False, of=3):
        reporter = Reporter(isatty=isatty)
        plugins = {"terminalreporter": reporter, "capturemanager": None}
        config = SimpleNamespace(
            pluginmanager=SimpleNamespace(get_plugin=plugins.__getitem__), get_verbosity=lambda: verbosity
        )
        settings = parse_options(lambda _: None, tmp_path)
        return Voice(config, settings, steps=steps, of=of), reporter.lines

    return make


def load(folder):
    return PhaseLoad(
        "steady", 0, PlannedPhase("main", np.arange(10) * 10**9, np.zeros(10, np.uint16)), 1.0, folder
    )


def watched(voice, folder, capfd):
    """Return what stands on standard output after a phase was watched until something was said."""
    said = threading.Event()
    write = live._write

    def noted(descriptor, text):
        write(descriptor, text)
        said.set()

    live._write = noted
    try:
        with voice.watching(load(folder)):
            said.wait(1.0)
    finally:
        live._write = write
    return capfd.readouterr().out


def test_a_terminal_has_one_line_that_is_erased_when_the_phase_is_over(voice, tmp_path, capfd):
    out = watched(voice(isatty=True)[0], tmp_path, capfd)
    assert out.startswith("\r\x1b[K[1/3] steady: main ░░░░░░░░░░░░ 0%")
    assert out.endswith("\r\x1b[K")
    assert "\n" not in out


def test_a_pipe_has_a_line_from_time_to_time(voice, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(live, "PLAIN_S", 0.02)
    out = watched(voice()[0], tmp_path, capfd)
    assert out.startswith("[1/3] steady: phase main, 0%")
    assert out.endswith("\n")
    assert "\x1b" not in out


def test_a_terminal_that_cannot_erase_is_a_pipe(voice, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(live, "PLAIN_S", 0.02)
    assert "\x1b" not in watched(voice(isatty=True)[0], tmp_path, capfd)


@pytest.mark.parametrize("isatty", [False, True])
def test_quietly_nothing_is_said_before_the_end(voice, tmp_path, capfd, isatty):
    made, lines = voice(isatty=isatty, verbosity=-1)
    with made.watching(load(tmp_path)):
        pass
    made.tell_verdict(run_result())
    assert (capfd.readouterr().out, lines) == ("", [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, False), ({"steps": True}, True), ({"verbosity": 1}, True), ({"isatty": True}, True)],
)
def test_steps_are_said_where_somebody_watches_or_asks_for_them(voice, changes, said):
    made, lines = voice(**changes)
    made.tell("target: waiting until it is ready")
    assert lines == ["target: waiting until it is ready"] * said


def test_a_verdict_is_said_with_its_reason_and_the_next_scenario_has_the_next_number(voice, tmp_path, capfd):
    made, lines = voice(isatty=True)
    made.tell_verdict(run_result([criterion_result(value=0.3, verdict=Verdict.FAIL)]))
    assert lines == ["steady: FAIL: p95 (client) is 300 ms, and the limit is 100 ms."]
    assert "[2/3] steady: main" in watched(made, tmp_path, capfd)


def test_texts_of_the_service_forge_no_line(voice):
    made, lines = voice(verbosity=1)
    made.tell("one\x1b[2Jtwo ::error::three")
    assert "\x1b" not in lines[0]
    assert "::error::" not in lines[0]


def test_a_reader_that_has_gone_stops_no_measurement(voice, tmp_path, monkeypatch):
    def broken(*_):
        raise BrokenPipeError

    monkeypatch.setattr(live.os, "write", broken)
    with voice(isatty=True)[0].watching(load(tmp_path)):
        pass
