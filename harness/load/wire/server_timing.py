"""What a server tells of its own stages in the Server-Timing header."""

import math
import re
from typing import NamedTuple

# "queue;dur=1.234, batch;desc=\"8\"" (Server Timing, W3C, section 3): one match a parameter, and a metric's
# name only with its first one. Quoted strings are taken whole, so that a comma in them starts no metric.
_PARAMETER = re.compile(
    rb'(?:(?:^|,)[ \t]*([\w-]+))?[ \t]*;[ \t]*(\w+)[ \t]*=[ \t]*(?:"([^"]*)"|([^\s,;"]*))'
)

# The whole value as tailgate's service writes it. One match takes a third of the time of a search for each parameter.
USUAL = re.compile(
    b", ".join(
        rb'batch;desc="(?P<batch>\d{1,4})"'
        if name == b"batch"
        else rb"%b;dur=(?P<%b>\d{1,9}(?:\.\d{1,9})?)" % (name, name)
        for name in (b"queue", b"decode", b"compute", b"encode", b"batch", b"total")
    )
)

# Longer than any run: what says so is not a duration, and would not fit the record.
_LONGEST_MS = 1e9
_LARGEST_BATCH = 2**16 - 1


class Stages(NamedTuple):
    """Durations in seconds, NaN where not told; ``batch_size`` 0 where not told."""

    queue_s: float = math.nan
    decode_s: float = math.nan
    compute_s: float = math.nan
    encode_s: float = math.nan
    server_s: float = math.nan
    batch_size: int = 0


UNTOLD = Stages()


def parse_server_timing(value: bytes, known: Stages = UNTOLD) -> Stages:
    """Return the stages that a header's value tells, added to those known from an earlier header.

    Never raises: what is not understood is left out, since an answer counts whatever its server says of it.
    """
    usual = USUAL.fullmatch(value)
    if usual is not None:
        return stages_of(usual)
    told: dict[bytes, float] = {}
    batch_size = known.batch_size
    metric = b""
    for name, parameter, quoted, token in _PARAMETER.findall(value):
        metric = name or metric
        if parameter == b"dur":
            told[metric] = _seconds(token or quoted)
        elif metric == b"batch" and parameter == b"desc":
            batch_size = _count(quoted or token)
    get = told.get
    return Stages(
        get(b"queue", known.queue_s),
        get(b"decode", known.decode_s),
        get(b"compute", known.compute_s),
        get(b"encode", known.encode_s),
        get(b"total", known.server_s),
        batch_size,
    )


def stages_of(match: re.Match[bytes]) -> Stages:
    """Return the stages that a match of USUAL tells."""
    queue, decode, compute, encode, total, batch = match.group(
        "queue", "decode", "compute", "encode", "total", "batch"
    )
    return Stages(
        float(queue) / 1000,
        float(decode) / 1000,
        float(compute) / 1000,
        float(encode) / 1000,
        float(total) / 1000,
        int(batch),
    )


def _seconds(milliseconds: bytes) -> float:
    try:
        number = float(milliseconds)
    except ValueError:
        return math.nan
    return number / 1000 if 0 <= number <= _LONGEST_MS else math.nan


def _count(digits: bytes) -> int:
    # At most five digits: int() of a hostile length would take long.
    number = int(digits) if digits.isdigit() and len(digits) <= 5 else 0
    return number if number <= _LARGEST_BATCH else 0
