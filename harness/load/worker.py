"""One generator of many: ``python -m tailgate.harness.load.worker [HOST:PORT]``.

It gets its slice of the plan over standard input, or over a connection that it opens to the harness; then it sends each phase
from a moment of its own clock on, and gives its records back once nothing is in flight (:mod:`tailgate.harness.load.link`).
While it sends, nobody speaks to it. It writes into a folder that it removes, and ends with the harness.
"""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import NoReturn

import numpy as np

from tailgate.harness.load.link import TOKEN_VARIABLE, Link, introduction, over_socket, over_standard
from tailgate.harness.load.process import obey, until_gone
from tailgate.harness.load.records.answers import ANSWERS
from tailgate.harness.load.records.events import EVENT_FILE, EVENTS
from tailgate.harness.load.records.record_file import RecordFile
from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES

CONNECT_S = 30.0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Send what the harness asks for until it is gone; return the exit status."""
    if len(arguments) > 1:
        sys.stderr.write(
            f"usage: python -m tailgate.harness.load.worker [HOST:PORT], got {list(arguments)}\n"
        )
        return 2
    with (
        contextlib.closing(_link(arguments, environment)) as link,
        tempfile.TemporaryDirectory(prefix="tailgate-generator-") as folder,
    ):
        return until_gone(link, lambda: _work(link, environment, Path(folder)))


def _link(arguments: Sequence[str], environment: Mapping[str, str]) -> Link:
    if not arguments:
        return over_standard()
    host, _, port = arguments[0].rpartition(":")
    connected = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S)
    connected.settimeout(None)
    token = environment.get(TOKEN_VARIABLE, "").encode()
    both = Connection(os.dup(connected.fileno()))
    with both:
        answer_challenge(both, token)
        deliver_challenge(both, token)
    return over_socket(connected)


def _work(link: Link, environment: Mapping[str, str], directory: Path) -> NoReturn:
    link.tell(**introduction(environment))
    task = link.told()
    for name in task["files"]:
        with (directory / name).open("xb") as file:
            file.writelines(link.records())
    answers_sent = 0

    def send_records(phase: int) -> None:
        nonlocal answers_sent
        answers = directory / ANSWERS
        new = answers.read_bytes()[answers_sent:] if answers.exists() else b""
        answers_sent += len(new)
        link.send_records(new)
        for name, form in ((SAMPLES, SAMPLE_FILE), (EVENTS, EVENT_FILE)):
            _send_phase(link, directory / name, form, phase)

    obey(link, directory, task["environment"], send_records)


def _send_phase(link: Link, path: Path, form: RecordFile, phase: int) -> None:
    """Send the records of one phase in the order of its requests; none where there is no file."""
    records = form.read(path) if path.exists() else np.zeros(0, form.record)
    records = records[records["phase"] == phase]
    ordered = records[np.argsort(records["request"], kind="stable")]
    link.send_records(ordered.tobytes(), form.record.itemsize)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
