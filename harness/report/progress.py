"""What a run is doing now, as one line: for a terminal that is watched, and for the log of a job."""

from collections.abc import Iterator

from tailgate.harness.observe.beside.under_way import PhaseLoad, Seen
from tailgate.harness.units import Unit, quantity

_BAR = 12


def live(load: PhaseLoad, seen: Seen, place: tuple[int, int], width: int) -> str:
    """Return the line for a terminal of this width; what does not fit is left out, the least telling first."""
    share = done(load, seen)
    filled = round(share * _BAR)
    bar = "█" * filled + "░" * (_BAR - filled)
    number, of = place
    line = f"[{number}/{of}] {load.scenario}: {load.phase.name} {bar} {share:.0%}"
    for part in _parts(load, seen):
        if len(line) + len(part) + 3 > width:
            break
        line = f"{line} · {part}"
    return line[:width]


def plain(load: PhaseLoad, seen: Seen, place: tuple[int, int]) -> str:
    """Return the line for a log."""
    number, of = place
    return f"[{number}/{of}] {load.scenario}: phase {load.phase.name}, {done(load, seen):.0%}, {', '.join(_parts(load, seen))}"


def done(load: PhaseLoad, seen: Seen) -> float:
    """Return how much of a phase is over, as a share: of its time, or of its requests where answers decide its time."""
    if load.length_s is None:
        return min(1.0, seen.ended / load.phase.offsets_ns.size)
    return min(1.0, seen.elapsed_s / load.length_s) if load.length_s > 0 else 1.0


def _parts(load: PhaseLoad, seen: Seen) -> Iterator[str]:
    share = done(load, seen)
    if 0 < share < 1:
        yield f"{seen.elapsed_s / share - seen.elapsed_s:.0f} s left"
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
