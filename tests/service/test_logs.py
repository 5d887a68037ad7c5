"""A log that cannot be written: lines are lost, and nothing else."""

import io
import json
import logging
import sys
import warnings

import pytest
import structlog

from service.logs import LossyStream, configure_logging


class Broken(io.StringIO):
    """A stream whose disk is full, or whose reader has gone."""

    def __init__(self, error):
        super().__init__()
        self.error, self.tries = error, 0

    def write(self, text):
        self.tries += 1
        raise self.error

    flush = property(lambda self: lambda: self.write(""))


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """Leave the process's logging as it was."""
    configured, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    logging.getLogger().handlers[:] = []
    with warnings.catch_warnings():
        yield
    logging.getLogger().handlers[:] = handlers
    structlog.configure(**configured)


def test_a_line_is_written_as_it_is(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    configure_logging("json")
    structlog.get_logger("some").error("told", number=3)
    line = json.loads(said.getvalue())
    assert (line["event"], line["number"], line["level"]) == ("told", 3, "error")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "error", [OSError(28, "no space left"), BrokenPipeError(), ValueError("closed file")]
)
def test_a_line_that_cannot_be_written_is_lost_and_raises_nothing(monkeypatch, error, log_format):
    stream = Broken(error)
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(log_format)
    structlog.get_logger("some").error("told")
    logging.getLogger("another").error("told")
    assert stream.tries >= 2


def test_what_is_no_fault_of_the_stream_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        LossyStream(Broken(ZeroDivisionError())).write("text")
