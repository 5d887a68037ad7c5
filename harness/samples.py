"""Raw records, one a request, as the load generator writes them: fixed little-endian numpy records.

Times are nanoseconds of CLOCK_MONOTONIC; 0 means that the event never happened. Latency counts from
``intended_ns``, the moment at which the schedule wanted the request to leave, so that a stalled server cannot
slow down the clock that judges it (coordinated omission).
"""

import enum

import numpy as np

SAMPLE = np.dtype(
    [
        ("intended_ns", "<i8"),  # when the schedule wanted it sent
        ("sent_ns", "<i8"),  # when its first byte was handed to the kernel
        ("first_byte_ns", "<i8"),  # first byte of the answer
        ("done_ns", "<i8"),  # last byte of the answer, or the moment of failure
        ("bytes_received", "<u4"),  # of the whole answer
        ("connection", "<u4"),  # which connection carried it
        ("phase", "<u2"),  # index into the scenario's phases
        ("payload", "<u2"),  # index into the plan's payloads
        ("status", "<u2"),  # HTTP status, 0 when there was none
        ("batch_size", "<u2"),  # from Server-Timing, 0 when not told
        ("outcome", "u1"),  # an Outcome
        ("stale_retries", "u1"),  # times that a dead keep-alive connection was met before anything was sent
        ("queue_s", "<f4"),  # stages from Server-Timing, NaN when not told
        ("decode_s", "<f4"),
        ("compute_s", "<f4"),
        ("encode_s", "<f4"),
        ("server_s", "<f4"),
    ]
)


class Outcome(enum.IntEnum):
    """How a request ended."""

    OK = 0  # 2xx or 3xx
    CLIENT_ERROR = 1  # 4xx but 429
    SERVER_ERROR = 2  # 5xx but 503
    SHED = 3  # 429 or 503: refused under load
    REFUSED = 4  # the connection was refused
    RESET = 5  # the connection ended before the answer did
    TIMEOUT = 6  # no complete answer in time
    MALFORMED = 7  # the answer was not HTTP
