"""What a reader must know to take a slot's numbers right, though nothing of it is a fault."""

from collections.abc import Iterable, Iterator

from tailgate.harness import witnesses
from tailgate.harness.errors import MeasurementError
from tailgate.harness.faults import counted_requests
from tailgate.harness.load import PhaseReport
from tailgate.harness.window import Window


def notes(window: Window, reports: Iterable[PhaseReport] = ()) -> Iterator[str]:
    """Yield sentences on the measured phases of a slot, or of several slots of one arm.

    Args:
        window: the measured phases.
        reports: what the generator says of itself.
    """
    if at_once := max((report.at_once or 0 for report in reports), default=0):
        several = "one connection" if at_once == 1 else f"{at_once} connections"
        yield (
            f"the server answers on {several} at a time: no more were open, and the wait for one is part of a request's "
            "latency"
        )
    if said := _own_requests(window):
        yield said
    if said := witnesses.late_ends(window):
        yield said


def _own_requests(window: Window) -> str:
    """Say how many of the harness's own requests the server counted with the client's; nothing for none."""
    own = 0
    for record in window.phases:
        try:
            counts = counted_requests(record, window.names)
        except MeasurementError:  # a fault, or no metrics at all
            return ""
        sent = record.sent
        fits = [record.own_counted(one, sent.good, sent.answered + sent.lost) or 0 for one in counts.values()]
        own += max(fits, default=0)
    if not own:
        return ""
    return (
        f"the server counts the harness's own scrapes and probes too, {own} in the measured phases: they are allowed "
        "for, and its percentiles are bounded as if these were its slowest requests, and as if its quickest"
    )
