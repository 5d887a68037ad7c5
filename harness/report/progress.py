"""What a run is doing now, as one line: for a terminal that is watched, and for the log of a job."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from tailgate.harness.compare.blocks.standing import Begun, Standing
from tailgate.harness.observe.beside.under_way import PhaseLoad, Seen
from tailgate.harness.report import comparison
from tailgate.harness.units import Unit, quantity

_BAR = 12


@dataclass(frozen=True, slots=True)
class Line:
    """What is said of one moment."""

    title: str
    share: float | None  # how much of it is over; None where that is not known
    parts: tuple[str, ...]  # the most telling first


def live(line: Line, place: tuple[int, int], width: int) -> str:
    """Return the text for a terminal of this width; what does not fit is left out, the least telling first."""
    text = f"{_of(place)}{line.title}"
    parts = [f" · {part}" for part in line.parts]
    if line.share is not None:
        filled = round(line.share * _BAR)
        parts.insert(0, f" {'█' * filled}{'░' * (_BAR - filled)} {line.share:.0%}")
    for part in parts:
        if cell_len(text + part) > width:
            break
        text += part
    return text if cell_len(text) <= width else set_cell_size(text, width)


def plain(line: Line, place: tuple[int, int]) -> str:
    """Return the text for a log."""
    share = () if line.share is None else (f"{line.share:.0%}",)
    return f"{_of(place)}{', '.join((line.title, *share, *line.parts))}"


def _of(place: tuple[int, int]) -> str:
    """Return which scenario of how many, where there are several."""
    number, of = place
    return f"[{number}/{of}] " if of > 1 else ""


def of_step(step: str, since_s: float, now_s: float) -> Line:
    """Return what is said of a step of which only the beginning is known."""
    return Line(step, None, (_time(now_s - since_s),))


def of_phase(load: PhaseLoad, seen: Seen) -> Line:
    """Return what is said of a phase that is sent."""
    title = f"{load.scenario}: {load.phase.name}"
    return Line(title, done(load, seen), tuple(_of_phase(load, seen)))


def done(load: PhaseLoad, seen: Seen) -> float:
    """Return how much of a phase is over, as a share: of its time, or of its requests where answers decide its time."""
    if load.length_s is None:
        return min(1.0, seen.ended / load.phase.offsets_ns.size)
    return min(1.0, seen.elapsed_s / load.length_s) if load.length_s > 0 else 1.0


def _of_phase(load: PhaseLoad, seen: Seen) -> Iterator[str]:
    share = done(load, seen)
    if 0 < share < 1:
        yield f"{_time(seen.elapsed_s / share - seen.elapsed_s)} left"
    for kind, count in seen.failures.items():
        yield f"{count:,} × {kind}"
    if seen.refused:
        yield f"{seen.refused:,} refused"
    if seen.achieved_per_s is not None:
        achieved = quantity(seen.achieved_per_s, Unit.PER_SECOND)
        offered = seen.offered_per_s
        yield achieved if offered is None else f"{achieved} of {quantity(offered, Unit.PER_SECOND)}"
    if seen.quantiles_s:
        times = "/".join(quantity(seconds, Unit.SECONDS) for seconds in seen.quantiles_s.values())
        yield f"{'/'.join(seen.quantiles_s)} {times}"


def of_comparison(standing: Standing, now_s: float) -> Line:
    """Return what is said of a comparison at this moment of ``time.monotonic``."""
    block = standing.block
    if block is None:
        return of_step(f"{standing.scenario}: {standing.doing}", standing.since_s, now_s)
    of = "" if block.last is None else f" of {block.last}"
    title = f"{standing.scenario}: block {block.measured + 1}{of}"
    changes = [f"{one.lens.name} {comparison.change_with_interval(one)}" for one in block.changes]
    # How many blocks there are says how much is over.
    return Line(title, None, (*_left(block, now_s), *changes[:1], standing.doing, *changes[1:]))


def _left(block: Begun, now_s: float) -> Iterator[str]:
    allowed_s, left_s = max(0.0, block.limit_s - now_s), block.left_s(now_s)
    if left_s is None:
        yield f"at most {_time(allowed_s)} left"
    elif left_s <= allowed_s:
        yield f"next look in {_time(left_s)}"
    else:
        yield f"time limit in {_time(allowed_s)}, before the next look"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
