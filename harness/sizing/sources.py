"""Where the times of a replica come from: said by hand, told by a running service, or measured in a kept run."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

from tailgate.harness.errors import BudgetError, MeasurementError, TargetError, UsageError
from tailgate.harness.load.records.samples import SAMPLES
from tailgate.harness.observe import slot_file
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.results.slot import Loop
from tailgate.harness.sizing.fitted import fitted, usable
from tailgate.harness.sizing.replica import Replica
from tailgate.harness.target.asking.client import asking_client
from tailgate.harness.target.asking.trust import Trust
from tailgate.harness.target.target import INFO
from tailgate.harness.units import Unit, Yards, parse_quantity

LARGEST, SHORTEST_S, LONGEST_S = 4096, 1e-9, 3600.0
TIMEOUT_S = 10.0
CAP_LABEL = "max_batch_size"  # of tailgate_info, and of a service's first page
OR_BY_HAND = "or say t(n) by --batch-times=1:5ms,8:12ms"


class Source(NamedTuple):
    """A replica, and what its times are taken from."""

    replica: Replica
    name: str
    largest_known: int  # the largest batch whose time is known; beyond it t(n) goes on in a straight line
    whole: bool  # whether the rest of a request's latency is known, too


def by_hand(text: str, cap: int | None) -> Source:
    """Read ``1:5ms,8:12ms``; the cap is the largest size where none is given."""
    known: dict[int, float] = {}
    for one in text.split(","):
        size, _, seconds = (part.strip() for part in one.partition(":"))
        try:
            quantity = parse_quantity(seconds)
        except BudgetError:
            quantity = None
        timed = quantity is not None and quantity.unit is Unit.SECONDS and quantity.yards is Yards.NONE
        if quantity is None or not timed or not _whole(size) or int(size) in known:
            raise UsageError(
                f"--batch-times: got {one!r}, expected the size of a batch and its time, each size once, such as "
                "--batch-times=1:5ms,8:12ms"
            )
        known[int(size)] = quantity.number
    return _told(known, cap, "--batch-times")


def by_service(url: str, cap: int | None) -> Source:
    """Ask a running service of tailgate at its first page."""
    url = url.rstrip("/") + "/"
    try:
        with asking_client(TIMEOUT_S, trust=Trust()) as client:
            answer = client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TargetError(f"cannot ask {url}: {str(error) or type(error).__name__}") from error
    try:
        about = answer.raise_for_status().json()
        known = {int(size): float(seconds) for size, seconds in about["batch_times"]["measured_s"].items()}
        own_cap = int(about["engine"][CAP_LABEL])
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementError(
            f"{url} answered {answer.status_code} and does not tell its batch times as a ready tailgate serve does; plan from a "
            f"run of it (tailgate plan RUN), {OR_BY_HAND}"
        ) from error
    return _told(known, cap or own_cap, url)


def _told(known: Mapping[int, float], cap: int | None, name: str) -> Source:
    largest = max(known, default=0)
    cap = cap or largest
    sizes = all(1 <= size <= LARGEST for size in (*known, cap))
    if not known or not sizes or not all(SHORTEST_S <= one <= LONGEST_S for one in known.values()):
        raise UsageError(
            f"{name}: expected batches of 1 to {LARGEST} that take from a nanosecond to an hour, got {dict(known)} and a largest "
            f"batch of {cap}"
        )
    if len(known) == 1 and cap > largest:
        raise UsageError(
            f"{name}: got the time of batches of {largest} alone, and a largest batch of {cap}; say t({cap}), too, or "
            f"--max-batch={largest}"
        )
    return Source(Replica.of_times(known, cap), name, largest, whole=False)


def by_run(run: Path, cap: int | None) -> Source:
    """Fit a replica to the open loads of a kept run; those of the head, where two sides were compared."""
    slots = [slot_file.read(path.parent) for path in sorted(run.glob(f"*/{SAMPLES}"))]
    if not slots:
        raise MeasurementError(
            f"the run {run} holds no raw records ({SAMPLES}); name another run, {OR_BY_HAND}"
        )
    phases = usable(
        [
            record.samples
            for slot in slots
            if slot.slot.arm == "head"
            for record in slot.phases
            if record.phase.measured and record.phase.loop is Loop.OPEN
        ]
    )
    largest = max((int(one["batch_size"].max()) for one in phases), default=0)
    cap = cap or max(map(_cap_of, slots), default=0)
    if not cap and largest:
        raise UsageError(
            f"the run {run} does not say how large a batch may be, since its metrics have no {INFO} with {CAP_LABEL}; its "
            f"largest batch had {largest} requests. Say it by --max-batch=N"
        )
    return Source(fitted(phases, cap), str(run), largest, whole=True)


def _cap_of(slot: SlotRecord) -> int:
    """Return the largest batch that a service's metrics name; 0 where they do not."""
    scrapes = [record.server.after for record in slot.phases if record.server is not None]
    series = [one for scrape in scrapes for one in scrape.values if one.name == INFO]
    caps = [dict(one.labels).get(CAP_LABEL, "") for one in series]
    return max((int(cap) for cap in caps if _whole(cap)), default=0)


def _whole(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(LARGEST))
