"""A collector of OpenTelemetry that takes spans by OTLP over HTTP, or behaves badly."""

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """A running collector.

    Attributes:
        url: for OTEL_EXPORTER_OTLP_ENDPOINT.
        spans: that it has taken, as protobuf has them.
        resources: theirs.
        asked: set when spans have come, whatever became of them.
        left: set when a client has hung up in the middle of an answer.
    """

    url: str = ""
    spans: list = field(default_factory=list)
    resources: list = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def take(self, body):
        """Take the spans of a request."""
        message = ExportTraceServiceRequest.FromString(body)
        for each in message.resource_spans:
            self.resources.append({pair.key: pair.value.string_value for pair in each.resource.attributes})
            for scope in each.scope_spans:
                self.spans += scope.spans

    def named(self, name):
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]


def accept(collector, handler, body):
    collector.take(body)
    handler.send_response(200)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def refuse(status, **headers):
    def answer(collector, handler, body):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def flood(collector, handler, body):
    """Answer without an end."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(2**16))
    except OSError:
        collector.left.set()


@contextlib.contextmanager
def collecting(answer=accept):
    """Run a collector; ``answer`` is given itself, the request's handler and body."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.asked.set()
            with contextlib.suppress(OSError):
                answer(collector, self, body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
