"""Measures: from the records of some phases to one estimate with its interval.

Stands between the saved samples and scrapes and the judge; nothing here compares with a limit. The measures of plugins
come in through the hook ``tailgate_measures``. A request that failed counts as infinitely late and is never dropped, so
that an estimate can be infinite, and a budget cannot be met by refusing the slow requests.
"""

from collections.abc import Iterator
from functools import partial

from tailgate.harness.measures import handover, latency, rates, recovery, resources, streams
from tailgate.harness.measures.knee import knee
from tailgate.harness.measures.measure import Measure, Measured
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
_off_lag = partial(_less, unit=Unit.SECONDS, rests_on_lag=False)
_on_demand = partial(_less, unit=Unit.SECONDS, by_budget=True)
_of_stream = partial(_on_demand, rests_on_reading=True)


def built_in_measures() -> tuple[Measure, ...]:
    """Return them in the order of the table in docs/reference/measures.md."""
    return (
        *_latencies(),
        *_within_answers(),
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
        _less("recover", Unit.SECONDS, function=recovery.recover),
        _less("settle", Unit.SECONDS, function=recovery.settle),
        *_probes(),
        *_growths(),
        _less("rss_rise", Unit.SHARE, function=resources.memory_rise, knows_closed_loop=True),
        _less("late_rate", Unit.SHARE, function=rates.late_rate),
        _less("lost", Unit.COUNT, function=handover.lost),
        _less("lost_elsewhere", Unit.COUNT, function=handover.lost_elsewhere),
        _less("duplicated", Unit.COUNT, function=handover.duplicated),
        _less("unaccounted", Unit.COUNT, function=unaccounted, witnesses=(Witness.SERVER,)),
    )


def _latencies() -> Iterator[Measured]:
    client, either = (Witness.CLIENT,), tuple(Witness)
    for name, unit, function, shares, witnesses in (
        ("{}", Unit.SECONDS, latency.latency, (0.5, 0.9, 0.95, 0.99, 0.999), either),
        ("accepted_{}", Unit.SECONDS, latency.accepted, (0.5, 0.95, 0.99), client),
        ("drift_{}", Unit.SHARE, latency.drift, (0.5, 0.95), client),
        ("{}_rise", Unit.SHARE, latency.latency_rise, (0.5, 0.95), client),
    ):
        for q in shares:
            of_share = partial(function, share=q)
            yield _less(name.format(quantile_name(q)), unit, function=of_share, witnesses=witnesses)


def _within_answers() -> Iterator[Measured]:
    for q in (0.5, 0.95, 0.99):
        yield _on_demand(f"ttfb_{quantile_name(q)}", function=partial(latency.first_byte, share=q))
    for q in (0.5, 0.95, 0.99):
        yield _of_stream(f"ttft_{quantile_name(q)}", function=partial(streams.first_event, share=q))
    for q in (0.5, 0.99):
        yield _of_stream(
            f"gap_{quantile_name(q)}", function=partial(streams.gap, share=q), rests_on_lag=False
        )


def _probes() -> Iterator[Measured]:
    for asked in Asked:
        for q in (0.5, 0.9):
            function = partial(latency.probe_latency, asked=asked, share=q)
            yield _off_lag(f"{asked.value}_{quantile_name(q)}", function=function, asked=asked)


def _growths() -> Iterator[Measured]:
    for name, unit, held, per in (
        ("rss_growth_per_hour", Unit.BYTES, "rss_bytes", Per.HOUR),
        ("rss_growth_per_1000", Unit.BYTES, "rss_bytes", Per.REQUESTS),
        ("rss_growth_share_per_hour", Unit.SHARE, "rss_bytes", Per.SHARE),
        ("fd_growth_per_hour", Unit.COUNT, "fds", Per.HOUR),
        ("thread_growth_per_hour", Unit.COUNT, "threads", Per.HOUR),
    ):
        yield _less(name, unit, function=partial(resources.growth, held=held, per=per))
