"""A server that does one thing wrong, as a program: ``python hostile_server.py --fd FD --wrong WHAT``.

It becomes ready and counts what it answers, as a server should, until its fault shows. Standard library only.
"""

import argparse
import contextlib
import itertools
import os
import socket
import struct
import threading
import time

BODY = b'{"class": 1}'
EXPOSITION = """\
# TYPE {name}_requests_total counter
{name}_requests_total{{outcome="ok"}} {ended}
# TYPE {name}_request_seconds histogram
{name}_request_seconds_bucket{{le="0.1"}} {timed}
{name}_request_seconds_bucket{{le="+Inf"}} {timed}
{name}_request_seconds_count {timed}
{name}_request_seconds_sum {timed}
"""
SCRAPES_BEFORE = 2  # good ones: of the facts, and before the warm-up


class Hostile:
    def __init__(self, wrong):
        self.wrong = wrong
        self.answered = 0
        self.scrapes = itertools.count()
        self.lock = threading.Lock()

    def metrics(self, connection):
        late = next(self.scrapes) >= SCRAPES_BEFORE
        # Read beforehand, the counter stood seven higher than it does after its reset.
        ended = 7 + self.answered if self.wrong == "metrics-reset" and not late else self.answered
        name = "another" if self.wrong == "metrics-renamed" and late else "tailgate"
        match self.wrong if late else "":
            case "metrics-garbage":
                self.answer(connection, b"\xff\xfe{{{ not an exposition")
            case "metrics-error":
                connection.sendall(b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n")
            case "metrics-endless":
                connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            case _:
                self.answer(
                    connection, EXPOSITION.format(name=name, ended=ended, timed=self.answered).encode()
                )

    def answer(self, connection, body):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    def predict(self, connection):  # noqa: C901 - one case a fault
        """Answer a request; True to go on with the connection."""
        # The first request is the one that the harness sends before any load.
        match self.wrong if self.answered else "":
            case "hangs":
                time.sleep(3_600)
            case "garbage":
                connection.sendall(os.urandom(200))
                return False
            case "closes":
                return False
            case "resets":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case "too-short":
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + BODY)
                return False
            case "too-long":
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + BODY)
                return True
            case "endless-headers":
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                for number in itertools.count():
                    connection.sendall(b"x-%d: y\r\n" % number)
                    time.sleep(0.01)
            case "dies":
                if self.answered == 20:
                    os._exit(3)
        with self.lock:
            self.answered += 1
        self.answer(connection, BODY)
        return True

    def converse(self, connection):
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                length = 0
                for header in iter(reader.readline, b"\r\n"):
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                reader.read(length)
                path = line.split()[1]
                if path == b"/predict":
                    if not self.predict(connection):
                        return
                elif path == b"/metrics":
                    self.metrics(connection)
                else:
                    self.answer(connection, b"ready")

    def _quietly(self, connection):
        with contextlib.suppress(OSError):  # the client has gone
            self.converse(connection)

    def serve(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._quietly, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--wrong")
    options = parser.parse_args()
    Hostile(options.wrong).serve(socket.socket(fileno=options.fd))
