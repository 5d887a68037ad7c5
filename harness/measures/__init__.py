"""Measures: from the records of some phases to one estimate with its interval.

Stands between the saved samples and scrapes and the judge; nothing here compares with a limit. The measures of plugins
come in through the hook ``tailgate_measures``. A request that failed counts as infinitely late and is never dropped, so
that an estimate can be infinite, and a budget cannot be met by refusing the slow requests.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tailgate.harness.measures import handover, latency, rates, recovery, resources, streams
from tailgate.harness.measures.knee import knee
from tailgate.harness.measures.measure import Estimate, Measure, Measured
from tailgate.harness.measures.resources import Per
from tailgate.harness.measures.unaccounted import unaccounted
from tailgate.harness.observe.beside.probes import Asked
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.right_answers import WRONG_ANSWERS
from tailgate.harness.scenario.scenario import quantile_name
from tailgate.harness.units import Unit

__all__ = ["Measure", "built_in_measures"]


_less, _more = (partial(Measured, better=better) for better in (Better.LOWER, Better.HIGHER))
_timed = partial(_less, unit=Unit.SECONDS)
_off_lag = partial(_timed, rests_on_lag=False)
_on_demand = partial(_timed, by_budget=True)
_of_stream = partial(_on_demand, rests_on_reading=True)


def built_in_measures() -> tuple[Measure, ...]:
    """Return them in the order of the table in docs/reference/measures.md."""
    return (
        *_quantiles("{}", (0.5, 0.9, 0.95, 0.99, 0.999), latency.latency, _timed, witnesses=tuple(Witness)),
        *_quantiles("accepted_{}", (0.5, 0.95, 0.99), latency.accepted, _timed),
        *_quantiles("drift_{}", (0.5, 0.95), latency.drift, _less, unit=Unit.SHARE),
        *_quantiles("{}_rise", (0.5, 0.95), latency.latency_rise, _less, unit=Unit.SHARE),
        *_quantiles("ttfb_{}", (0.5, 0.95, 0.99), latency.first_byte, _on_demand),
        *_quantiles("ttft_{}", (0.5, 0.95, 0.99), streams.first_event, _of_stream),
        *_quantiles("gap_{}", (0.5, 0.99), streams.gap, _of_stream, rests_on_lag=False),
        _more("tokens_per_s", Unit.PER_SECOND, function=streams.tokens_per_s, by_budget=True),
        _less("error_rate", Unit.SHARE, function=rates.error_rate),
        _less("lost_rate", Unit.SHARE, function=rates.lost_rate),
        _less("misanswered", Unit.SHARE, function=rates.misanswered),
        _less(WRONG_ANSWERS, Unit.SHARE, function=rates.wrong_answers),
        _more("throughput", Unit.PER_SECOND, function=rates.throughput),
        _more("goodput", Unit.PER_SECOND, function=rates.goodput),
        _more("goodput_share", Unit.SHARE, function=rates.goodput_share, knows_closed_loop=True),
        _off_lag("refusal_p50", function=partial(latency.refusal_latency, share=0.5)),
        _less("unhinted_refusals", Unit.SHARE, function=rates.unhinted_refusals),
        _more("knee", Unit.PER_SECOND, function=knee),
        _timed("recover", function=recovery.recover),
        _timed("settle", function=recovery.settle),
        *_probed(Asked.HEALTH),
        *_probed(Asked.METRICS),
        *_growths(),
        _less("rss_rise", Unit.SHARE, function=resources.memory_rise, knows_closed_loop=True),
        _less("late_rate", Unit.SHARE, function=rates.late_rate),
        _less("lost", Unit.COUNT, function=handover.lost),
        _less("lost_elsewhere", Unit.COUNT, function=handover.lost_elsewhere),
        _less("duplicated", Unit.COUNT, function=handover.duplicated),
        _less("unaccounted", Unit.COUNT, function=unaccounted, witnesses=(Witness.SERVER,)),
    )


def _quantiles(
    name: str,
    shares: tuple[float, ...],
    function: Callable[..., Estimate],
    make: Callable[..., Measured],
    **known: Any,
) -> Iterator[Measured]:
    """Yield a measure per share; the quantile's name stands at ``{}`` in theirs."""
    for share in shares:
        yield make(name.format(quantile_name(share)), function=partial(function, share=share), **known)


def _probed(asked: Asked) -> Iterator[Measured]:
    function = partial(latency.probe_latency, asked=asked)
    return _quantiles(f"{asked.value}_{{}}", (0.5, 0.9), function, _off_lag, asked=asked)


def _growths() -> Iterator[Measured]:
    for name, unit, held, per in (
        ("rss_growth_per_hour", Unit.BYTES, "rss_bytes", Per.HOUR),
        ("rss_growth_per_1000", Unit.BYTES, "rss_bytes", Per.REQUESTS),
        ("rss_growth_share_per_hour", Unit.SHARE, "rss_bytes", Per.SHARE),
        ("fd_growth_per_hour", Unit.COUNT, "fds", Per.HOUR),
        ("thread_growth_per_hour", Unit.COUNT, "threads", Per.HOUR),
    ):
        yield _less(name, unit, function=partial(resources.growth, held=held, per=per))
