"""The barest closed loop of Python: it sends the same bytes again and looks at no answer, so no generator here is faster.

    python bare_loop.py PORT CONNECTIONS SECONDS

It prints one line of JSON, as ``python_loop.py`` does. It keeps no times: p50 and p99 are both the mean latency, which is
connections divided by requests per second.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Mapping

BODY = b"x" * 100
# As many bytes as a request of the generator has, ids included.
HEAD = (
    "POST /predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/octet-stream\r\n"
    "content-length: {length}\r\nx-request-id: {zeros:032d}\r\ntraceparent: 00-{zeros:032d}-{zeros:016d}-01\r\n\r\n"
)
RECEIVE_BYTES = 65_536


def run(epoll: select.epoll, connections: Mapping[int, socket.socket], request: bytes, seconds: float) -> int:
    """Answer each answer with the next request, for so long; return how many were answered."""
    buffer, answered, until_s = bytearray(RECEIVE_BYTES), 0, time.monotonic() + seconds
    while time.monotonic() < until_s:
        for descriptor, _ in epoll.poll(1, len(connections)):
            connection = connections[descriptor]
            connection.recv_into(buffer)
            connection.send(request)
            answered += 1
    return answered


def main() -> None:
    """Run the loop, a tenth of the time before to warm up, and print its figures."""
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    request = HEAD.format(port=port, length=len(BODY), zeros=0).encode() + BODY
    epoll, connections = select.epoll(), dict[int, socket.socket]()
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection
        epoll.register(connection, select.EPOLLIN)
        connection.send(request)
    run(epoll, connections, request, seconds / 10)
    began_s, cpu_s = time.monotonic(), time.process_time()
    answered = run(epoll, connections, request, seconds)
    wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    mean_s = count * wall_s / answered
    figures = {"requests": answered, "seconds": wall_s, "cpu_s": cpu_s, "failed": 0}
    print(json.dumps(figures | {"p50_s": mean_s, "p99_s": mean_s}))


if __name__ == "__main__":
    main()
