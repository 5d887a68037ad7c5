"""A block as one row of numbers: what is kept, and what is judged, by each lens one number per arm.

A row is a line of JSON, and can be judged again later. Nothing here judges.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.comparison import Lens

STAGES = ("queue", "decode", "compute", "encode", "transport")

# So many samples beyond a quantile an arm and block must have for a *ratio*. A single service's p99 is not spoken of
# below 10 (harness.statistics): it would be biased. Of two arms with equally many samples the biases cancel.
SAMPLES_BEYOND = 5
_ARMS = ("base", "head")


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm in one block, as numbers.

    Attributes:
        requests: sent.
        failed: of them.
        cpu_s: CPU seconds of the server over the measured slots; None if unseen.
        p50_s: median latency; +inf where so many failed; None without enough samples.
        p95_s: likewise.
        p99_s: likewise, the geometric mean of that of the slots.
        mean_s: mean latency; +inf where any request failed; None without requests. Recorded, and used by no lens.
        peak_rss_bytes: None if unseen.
        start_up_s: None if unseen.
        capacity_per_s: None if not probed.
        steal_share: of this arm's measured time; None if unseen. Recorded, and used by no lens.
        stages_s: mean seconds by stage, of all answered requests (``mean``) and of those about a quantile (``p50``,
            ``p95``, ``p99``); empty where no stages were told.
        spilled: requests that ended in the other arm's window; None where there were none.
    """

    requests: int
    failed: int
    cpu_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    mean_s: float | None = None
    peak_rss_bytes: float | None = None
    start_up_s: float | None = None
    capacity_per_s: float | None = None
    steal_share: float | None = None
    stages_s: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    spilled: int | None = None


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One block as numbers: what is kept, and what is judged. Attributes as in :class:`Block`."""

    index: int
    base: ArmRow
    head: ArmRow
    void: str | None = None
    load_s: float = 0.0
    wall_s: float = 0.0
    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    order: str = ""
    run: str = ""
    processors: int | None = None


def least_requests(share: float) -> int:
    """Return how many requests an arm needs in a block for the ratio of this quantile."""
    return math.ceil(SAMPLES_BEYOND / (1 - share) - 1e-9)


def arm_value(lens: Lens, arm: ArmRow) -> float | None:  # noqa: PLR0911 - a table of lenses
    """Return what one arm shows through this lens, in the lens's unit; None if unseen."""
    match lens.name:
        case "cpu":
            return None if arm.cpu_s is None or not arm.requests else arm.cpu_s / arm.requests
        case "p50":
            return arm.p50_s
        case "p95":
            return arm.p95_s
        case "p99":
            return arm.p99_s
        case "error_rate":
            return arm.failed / arm.requests if arm.requests else None
        case "memory":
            return arm.peak_rss_bytes
        case "start_up":
            return arm.start_up_s
        case "capacity":
            return arm.capacity_per_s
    raise AssertionError(f"no value for the lens {lens.name}")


def spilled_share(rows: Iterable[BlockRow]) -> float | None:
    """Return the share of all requests that ended in the other arm's window; None where nothing was cut into windows."""
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
    # log(inf) is inf, and only one of them is.
    return math.log(head) - math.log(base)


def swapped(row: BlockRow) -> BlockRow:
    """Return the block with its arms' names exchanged."""
    order = row.order.translate(str.maketrans("bh", "hb"))
    return dataclasses.replace(row, base=row.head, head=row.base, order=order)


def to_json(row: BlockRow) -> dict[str, Any]:
    """Return a row as a JSON object; an infinite time is the text ``inf``."""
    document = dataclasses.asdict(row)
    for arm in (document["base"], document["head"]):
        arm.update({name: "inf" for name, value in arm.items() if value == math.inf})
    return document


def from_json(document: Any) -> BlockRow:
    """Return the row of a JSON object.

    Raises:
        MeasurementError: it is not one.
    """
    try:
        arms = {
            arm: ArmRow(**{name: _number(value) for name, value in document[arm].items()}) for arm in _ARMS
        }
        return BlockRow(**{**document, **arms})
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise MeasurementError(f"not a block's row: {error!r}") from error


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def append_rows(path: Path, rows: Iterable[BlockRow]) -> None:
    """Append rows to a file of JSON lines, one a block."""
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
            rows.append(from_json(orjson.loads(line)))
        except (orjson.JSONDecodeError, MeasurementError) as error:
            raise MeasurementError(f"{path}, line {number}: {error}") from error
    return tuple(rows)
