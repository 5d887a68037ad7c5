"""What streamed answers are measured by: the time to the first event, the time between events, and their rate.

An event is a token where a service sends one by one (:mod:`tailgate.harness.load.wire.stream`). A request that failed has no
first event, and one gap that never ended. Each event counts from when the generator read it. How long the kernel had held
it by then is measured too, and stated.
"""

import dataclasses

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.measures.latency import of_stretches
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe.window import (
    Window,
    duration_s,
    failed,
    gaps_s,
    in_order,
    latencies_s,
    reading_lags_s,
    streamed,
)
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit, show


def first_event(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate a quantile of the time from the intended time to the first event of a streamed answer."""
    asked = _asked(window, criterion)
    stretches = [latencies_s(part, "first_event_ns") for part in in_order(asked)]
    return _as_read(of_stretches(stretches, asked, share, window.confidence), window)


def gap(window: Window, criterion: Criterion, share: float) -> Estimate:
    """Estimate a quantile of the time between an event and the next of its answer, pooled over all answers.

    Events that were read in one piece are 0 s apart. Gaps of one answer are alike, which the interval allows for as it does
    for requests that come in runs.
    """
    asked = _asked(window, criterion)
    stretches = [gaps_s(record) for record in window.phases]
    if not sum(map(len, stretches)):
        raise MeasurementError(
            f"{criterion.measure}: no answer had two events, so there is no time between them"
        )
    return _as_read(of_stretches(stretches, asked, share, window.confidence, "gaps"), window)


def tokens_per_s(window: Window, criterion: Criterion) -> Estimate:
    """Estimate the events of good answers per second, from the first intended send to the last end of each phase.

    The interval takes good answers as a Poisson process, each with its own number of events; n counts the events. Below
    capacity this is what the load asks for, and says nothing of the server.
    """
    asked = _asked(window, criterion)
    seconds = sum(duration_s(record.samples) for record in window.phases)
    if seconds <= 0:
        raise MeasurementError(f"{criterion.measure}: a load of {seconds} s gives no rate")
    events = asked["events"][~failed(asked)].astype(np.float64)
    low, high = (
        None if end is None else end / seconds for end in statistics.sum_interval(events, window.confidence)
    )
    count = int(events.sum())
    # Of requests that all failed something is known, too: no token came.
    return Estimate(count / seconds, low, high, count or len(asked), window.confidence)


def _asked(window: Window, criterion: Criterion) -> Samples:
    asked = streamed(window.samples)
    if not len(asked):
        raise MeasurementError(
            f"{criterion.measure}: no answer was a stream: expected Content-Type text/event-stream, application/x-ndjson, or "
            "text/plain in chunks"
        )
    return asked


def _as_read(estimate: Estimate, window: Window) -> Estimate:
    lags_s = reading_lags_s(window.phases)
    if not any(len(record.events) for record in window.phases):
        return estimate
    said = "the kernel did not tell how long the events had waited when they were read"
    if len(lags_s):
        said = f"99 % of the events were read within {show(statistics.quantile(lags_s, 0.99), Unit.SECONDS)} of their arrival"
    return dataclasses.replace(estimate, note="; ".join(filter(None, (estimate.note, said))))
