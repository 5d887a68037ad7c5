"""A block as one row of numbers, which is kept as a line of JSON and judged by each lens."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.comparison import QUANTILES, Lens

STAGES = ("queue", "decode", "compute", "encode", "transport")

# Samples that an arm must have beyond a quantile in each block for a *ratio*. A single service's p99 needs 10
# (harness.statistics), else it is biased; of two arms with equally many samples the biases cancel.
SAMPLES_BEYOND = 5


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm over the measured slots of one block. None is unseen."""

    requests: int
    failed: int
    cpu_s: float | None = None  # CPU seconds of the server's processes
    p50_s: float | None = None  # latency; a failed request counts as +inf. None without enough samples.
    p95_s: float | None = None
    p99_s: float | None = None  # the geometric mean of that of the slots, as p95
    # To the first byte of an answer; ``ttft_p95_s`` to the first event of one that is a stream, and
    # ``gap_p99_s`` between an event and the next.
    ttfb_p95_s: float | None = None
    ttft_p95_s: float | None = None
    gap_p99_s: float | None = None
    mean_s: float | None = None  # recorded, and used by no lens, as steal_share
    peak_rss_bytes: float | None = None
    start_up_s: float | None = None
    capacity_per_s: float | None = None
    steal_share: float | None = None
    # Mean seconds by stage, of all answered requests (``mean``) and of those about a quantile (``p50``,
    # ``p95``, ``p99``).
    stages_s: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    spilled: int | None = None  # requests that ended in the other arm's window; None without windows


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A fresh base and a fresh head under the same load."""

    index: int  # from 0, in order of time within its run
    base: ArmRow
    head: ArmRow
    void: str | None = None  # why the block does not count; None for a good one
    load_s: float = 0.0  # seconds of measured load, of both arms
    wall_s: float = 0.0  # seconds of everything: starts, warm-up, load, stops
    steal_share: float | None = None  # of the measured time, stolen by the hypervisor
    cpu_pressure_share: float | None = None  # of the measured time in which work waited for a processor (PSI)
    # One letter per window or whole slot in order of time, ``b`` or ``h``; a space between pairs.
    order: str = ""
    run: str = ""  # which recording it belongs to
    processors: int | None = None  # how many both servers shared; None if they had all


def least_requests(share: float) -> int:
    """Return how many requests an arm needs in a block for the ratio of this quantile."""
    return math.ceil(SAMPLES_BEYOND / (1 - share) - 1e-9)


_SHOWN_BY = {name: f"{name}_s" for name in (*QUANTILES, "start_up")} | {
    "memory": "peak_rss_bytes",
    "capacity": "capacity_per_s",
}


def arm_value(lens: Lens, arm: ArmRow) -> float | None:
    """Return what one arm shows through this lens, in the lens's unit; None if unseen."""
    if lens.name in _SHOWN_BY:
        value: float | None = getattr(arm, _SHOWN_BY[lens.name])
        return value
    spent = {"cpu": arm.cpu_s, "error_rate": arm.failed}[lens.name]
    return None if spent is None or not arm.requests else spent / arm.requests


def spilled_share(rows: Iterable[BlockRow]) -> float | None:
    """Return the share of all requests that ended in the other arm's window; None without windows."""
    arms = [arm for row in rows for arm in (row.base, row.head) if arm.spilled is not None and arm.requests]
    requests = sum(arm.requests for arm in arms)
    return sum(arm.spilled or 0 for arm in arms) / requests if requests else None


def ln_ratio(lens: Lens, row: BlockRow) -> float | None:
    """Return ln(head/base) through this lens; None where either arm is unseen or neither is finite.

    +inf where only head's value is infinite (so many of its requests failed), -inf where only base's is.
    """
    base, head = arm_value(lens, row.base), arm_value(lens, row.head)
    if base is None or head is None or base <= 0 or head <= 0 or base == head == math.inf:
        return None
    return math.log(head) - math.log(base)


def to_json(row: BlockRow) -> dict[str, Any]:
    """Return a row as a JSON object; an infinite time is the text ``inf``, and what an arm has not is left out."""
    document = dataclasses.asdict(row)
    for side in ("base", "head"):
        seen = {name: value for name, value in document[side].items() if value is not None}
        document[side] = {name: "inf" if value == math.inf else value for name, value in seen.items()}
    return document


def append_rows(path: Path, rows: Iterable[BlockRow]) -> None:
    """Append rows to a file of JSON lines, one per block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(orjson.dumps(to_json(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def read_rows(path: Path) -> tuple[BlockRow, ...]:
    """Return the rows of a file of JSON lines.

    Raises:
        MeasurementError: there is no such file, or a line is no row; the message has the line's number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise MeasurementError(f"cannot read the blocks {path}: {error.strerror}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            # Not strict: an infinite time is a text.
            rows.append(msgspec.json.decode(line, type=BlockRow, strict=False))
        except msgspec.MsgspecError as error:
            raise MeasurementError(f"{path}, line {number}: {error}") from error
    return tuple(rows)
