r"""A WSGI application under wsgiref's server: one connection at a time, no metrics, no health check.

    pytest --pyargs tailgate.scenarios -m perf --perf-scenario=steady \
        --perf-target='command:python wsgi_app.py {port}' \
        --perf-readiness-path= --perf-metrics-path= \
        --perf-request='POST /count' --perf-payloads=body:hello \
        --perf-expect='json:$.length=5'

Run it in this folder.
"""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the length of what was sent."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = json.dumps({"length": len(body)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - wsgiref's name
        """Write nothing."""


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
