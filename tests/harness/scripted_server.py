"""A small HTTP server for tests of the load generator: each path has a script, and every request is noted."""

import contextlib
import socket
import ssl
import struct
import threading
from types import SimpleNamespace

from tailgate.harness.target.asking.client import asking_client
from tailgate.harness.target.asking.metric_names import MetricNames

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def status(code, *headers):
    lines = [f"HTTP/1.1 {code} Said", "content-length: 0", *headers, "", ""]
    return "\r\n".join(lines).encode()


class ScriptedServer:
    """Serves on a free port of the loopback, one thread a connection, within a ``with`` block.

    A script is a list of steps: bytes are sent; "close" and "reset" end the connection; "hang" waits for the end;
    "deaf" leaves the request's body unread. After its last step, the next request is read.
    """

    def __init__(self, scripts, context: ssl.SSLContext | None = None):
        self.scripts = scripts
        self.context = context
        self.requests: list[tuple[int, str, bytes]] = []  # connection, path, body
        self.connections = 0
        self.accepted = threading.Semaphore(0)  # one for each connection
        self.closed = threading.Semaphore(0)  # one for each connection that this side has closed
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # ends a blocked accept()
        self._threads[0].join()
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._converse, args=(self.connections, connection))
            self._threads.append(thread)
            thread.start()
            self.accepted.release()

    def _converse(self, number, plain):
        try:
            with plain, contextlib.suppress(OSError):
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = plain
                if self.context is not None:
                    connection = self.context.wrap_socket(plain, server_side=True)
                    self._open.add(connection)
                with connection, connection.makefile("rb") as reader:
                    while self._answer(number, connection, reader):
                        pass
        finally:
            self._open -= {plain}
            self.closed.release()

    def _answer(self, number, connection, reader):
        lines = list(iter(reader.readline, b"\r\n")) if reader.peek(1) else []
        if not lines or self._stopping.is_set():
            return False
        path = lines[0].split(b" ", 2)[1].decode()
        steps = self.scripts[path]
        lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        body = b"" if "deaf" in steps else reader.read(sum(lengths))
        self.requests.append((number, path, body))
        for step in steps:
            if step == "close":
                return False
            if step == "reset":
                # Close with RST in place of FIN.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if step == "hang":
                self._stopping.wait()
                return False
            if step != "deaf":
                connection.sendall(step)
        return True


def target(server, **changes):
    """Return a running target of which only what a slot asks is there; this process is the server's."""
    base_url = f"http://127.0.0.1:{server.port}"
    names = MetricNames(request_seconds=None)  # many tests have no count of requests
    settings = SimpleNamespace(readiness_path="/health/ready", metric_names=names)
    made = {"pids": (threading.get_native_id(),), "alive": lambda: True, "log_tail": lambda: ""}
    return SimpleNamespace(
        **{
            "base_url": base_url,
            "metrics_url": f"{base_url}/metrics",
            "client": lambda timeout_s, _url=None: asking_client(timeout_s),
            "headers": (),
            "settings": settings,
            **made,
            **changes,
        }
    )
