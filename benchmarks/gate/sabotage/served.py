"""A service whose requests wait 4 ms each, and as much longer as the module ``work`` beside it says.

python served.py PORT
"""

import importlib
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVICE_S = 0.004


class Handler(BaseHTTPRequestHandler):
    """One thread for each connection, so that no request waits for another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wait_s = SERVICE_S * (1 + float(importlib.import_module("work").SHARE))

    def do_POST(self) -> None:
        """Wait, then answer nothing."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.wait_s)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
