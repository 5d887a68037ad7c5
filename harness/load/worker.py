"""One generator of many: ``python -m tailgate.harness.load.worker [HOST:PORT]``.

It gets its slice of the plan over standard input, or over a connection that it opens to the harness; then it sends each phase
from a moment of its own clock on, and gives its records back once nothing is in flight (:mod:`tailgate.harness.load.many.link`).
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
import orjson

from tailgate.harness.errors import HarnessError
from tailgate.harness.load.many.link import (
    CLOCK,
    TOKEN_VARIABLE,
    Link,
    introduction,
    over_pipes,
    over_socket,
)
from tailgate.harness.load.process import ready_sender
from tailgate.harness.load.records.answers import ANSWERS
from tailgate.harness.load.records.events import EVENT_FILE, EVENTS
from tailgate.harness.load.records.record_file import RecordFile
from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES
from tailgate.harness.load.report import encode_report
from tailgate.harness.load.sending.sender import OrphanedError

CONNECT_S = 30.0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Send what the harness asks for until it is gone; return the exit status."""
    if len(arguments) > 1:
        sys.stderr.write(
            f"usage: python -m tailgate.harness.load.worker [HOST:PORT], got {list(arguments)}\n"
        )
        return 2
    with contextlib.closing(_link(arguments, environment)) as link:
        try:
            with tempfile.TemporaryDirectory(prefix="tailgate-generator-") as folder:
                link.tell(**introduction(environment))
                _work(link, Path(folder))
        except (EOFError, BrokenPipeError, ConnectionResetError, OrphanedError):
            return 0
        except HarnessError as error:
            link.tell(event="error", message=str(error))
            return 1


def _link(arguments: Sequence[str], environment: Mapping[str, str]) -> Link:
    if not arguments:
        return over_pipes(os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno()))
    host, _, port = arguments[0].rpartition(":")
    connected = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S)
    connected.settimeout(None)
    token = environment.get(TOKEN_VARIABLE, "").encode()
    both = Connection(os.dup(connected.fileno()))
    with both:
        answer_challenge(both, token)
        deliver_challenge(both, token)
    return over_socket(connected)


def _work(link: Link, directory: Path) -> NoReturn:
    task = link.told()
    for name in task["files"]:
        with (directory / name).open("xb") as file:
            file.writelines(link.records())
    with ready_sender(directory, task["environment"], link.descriptor) as sender:
        link.tell(event="ready")
        answers_sent = 0
        while True:
            frame = link.receive()
            if frame == CLOCK:
                link.tell_clock()
                continue
            command = orjson.loads(frame)
            report = sender.run_phase(command["run"], command["stretch"], command["at_ns"])
            link.tell(event="done", **encode_report(report))
            answers = directory / ANSWERS
            new = answers.read_bytes()[answers_sent:] if answers.exists() else b""
            answers_sent += len(new)
            link.send_records(new)
            for name, form in ((SAMPLES, SAMPLE_FILE), (EVENTS, EVENT_FILE)):
                _send_phase(link, directory / name, form, command["run"])


def _send_phase(link: Link, path: Path, form: RecordFile, phase: int) -> None:
    """Send the records of one phase in the order of its requests; none where there is no file."""
    records = form.read(path) if path.exists() else np.zeros(0, form.record)
    records = records[records["phase"] == phase]
    ordered = records[np.argsort(records["request"], kind="stable")]
    link.send_records(ordered.tobytes(), form.record.itemsize)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
