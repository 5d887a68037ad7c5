"""Measures: from the records of some phases to one estimate with its interval.

Stands between the saved samples and scrapes and the judge; nothing here compares with a limit. The measures of plugins
come in through the hook ``tailgate_measures``. A request that failed counts as infinitely late and is never dropped, so
that an estimate can be infinite, and a budget cannot be met by refusing the slow requests.
"""

from functools import partial

from tailgate.harness.measures import latency, rates, recovery, resources, streams
from tailgate.harness.measures.knee import knee
from tailgate.harness.measures.measure import Measure, Measured
from tailgate.harness.measures.resources import Per
from tailgate.harness.measures.unaccounted import unaccounted
from tailgate.harness.observe.probes import Asked
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.right_answers import WRONG_ANSWERS
from tailgate.harness.scenario.scenario import quantile_name
from tailgate.harness.units import Unit

__all__ = ["Measure", "built_in_measures"]


def built_in_measures() -> tuple[Measure, ...]:
    """Return them in the order of the table in docs/gate.md."""
    client, either, server = (Witness.CLIENT,), tuple(Witness), (Witness.SERVER,)
    quantiles = [
        ("{}", Unit.SECONDS, latency.latency, (0.5, 0.9, 0.95, 0.99, 0.999), either),
        ("accepted_{}", Unit.SECONDS, latency.accepted, (0.5, 0.95, 0.99), client),
        ("drift_{}", Unit.SHARE, latency.drift, (0.5, 0.95), client),
        ("{}_rise", Unit.SHARE, latency.latency_rise, (0.5, 0.95), client),
    ]
    less, more = (partial(Measured, better=better) for better in (Better.LOWER, Better.HIGHER))
    off_lag = partial(less, unit=Unit.SECONDS, rests_on_lag=False)
    on_demand = partial(less, unit=Unit.SECONDS, by_budget=True)
    of_stream = partial(on_demand, rests_on_reading=True)
    growth = resources.growth
    return (
        *(
            less(
                name.format(quantile_name(q)), unit, function=partial(function, share=q), witnesses=witnesses
            )
            for name, unit, function, shares, witnesses in quantiles
            for q in shares
        ),
        *(
            on_demand(f"ttfb_{quantile_name(q)}", function=partial(latency.first_byte, share=q))
            for q in (0.5, 0.95, 0.99)
        ),
        *(
            of_stream(f"ttft_{quantile_name(q)}", function=partial(streams.first_event, share=q))
            for q in (0.5, 0.95, 0.99)
        ),
        *(
            of_stream(f"gap_{quantile_name(q)}", function=partial(streams.gap, share=q), rests_on_lag=False)
            for q in (0.5, 0.99)
        ),
        more("tokens_per_s", Unit.PER_SECOND, function=streams.tokens_per_s, by_budget=True),
        less("error_rate", Unit.SHARE, function=rates.error_rate),
        less("lost_rate", Unit.SHARE, function=rates.lost_rate),
        less("misanswered", Unit.SHARE, function=rates.misanswered),
        less(WRONG_ANSWERS, Unit.SHARE, function=rates.wrong_answers),
        more("throughput", Unit.PER_SECOND, function=rates.throughput),
        more("goodput", Unit.PER_SECOND, function=rates.goodput),
        more("goodput_share", Unit.SHARE, function=rates.goodput_share, knows_closed_loop=True),
        off_lag("refusal_p50", function=partial(latency.refusal_latency, share=0.5)),
        less("unhinted_refusals", Unit.SHARE, function=rates.unhinted_refusals),
        more("knee", Unit.PER_SECOND, function=knee),
        less("recover", Unit.SECONDS, function=recovery.recover),
        less("settle", Unit.SECONDS, function=recovery.settle),
        *(
            off_lag(
                f"{asked.value}_{quantile_name(q)}",
                function=partial(latency.probe_latency, asked=asked, share=q),
                asked=asked,
            )
            for asked in Asked
            for q in (0.5, 0.9)
        ),
        less("rss_growth_per_hour", Unit.BYTES, function=partial(growth, held="rss_bytes", per=Per.HOUR)),
        less("rss_growth_per_1000", Unit.BYTES, function=partial(growth, held="rss_bytes", per=Per.REQUESTS)),
        less(
            "rss_growth_share_per_hour", Unit.SHARE, function=partial(growth, held="rss_bytes", per=Per.SHARE)
        ),
        less("fd_growth_per_hour", Unit.COUNT, function=partial(growth, held="fds", per=Per.HOUR)),
        less("thread_growth_per_hour", Unit.COUNT, function=partial(growth, held="threads", per=Per.HOUR)),
        less("rss_rise", Unit.SHARE, function=resources.memory_rise, knows_closed_loop=True),
        less("unaccounted", Unit.COUNT, function=unaccounted, witnesses=server),
    )
