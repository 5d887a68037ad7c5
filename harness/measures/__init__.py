"""Measures: from the records of some phases to one estimate with its interval.

Stands between the saved samples and scrapes and the judge; nothing here compares with a limit. The measures of plugins
come in through the hook ``tailgate_measures``. A request that failed counts as infinitely late and is never dropped, so
that an estimate can be infinite, and a budget cannot be met by refusing the slow requests.
"""

from functools import partial

from tailgate.harness.measures import latency, rates, recovery, resources
from tailgate.harness.measures.knee import knee
from tailgate.harness.measures.measure import Measure, Measured
from tailgate.harness.measures.resources import Per
from tailgate.harness.measures.unaccounted import unaccounted
from tailgate.harness.observe.probes import Asked
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.scenario import quantile_name
from tailgate.harness.units import Unit

__all__ = ["Measure", "built_in_measures"]


def built_in_measures() -> tuple[Measure, ...]:
    """Return them; docs/gate.md has a table of the same order."""
    time = partial(Measured, unit=Unit.SECONDS, better=Better.LOWER)
    share = partial(Measured, unit=Unit.SHARE, better=Better.LOWER)
    rate = partial(Measured, unit=Unit.PER_SECOND, better=Better.HIGHER)
    count = partial(Measured, unit=Unit.COUNT, better=Better.LOWER)
    space = partial(Measured, unit=Unit.BYTES, better=Better.LOWER)
    return (
        *(
            time(quantile_name(q), function=partial(latency.latency, share=q), witnesses=tuple(Witness))
            for q in (0.5, 0.9, 0.95, 0.99, 0.999)
        ),
        *(
            time(f"accepted_{quantile_name(q)}", function=partial(latency.accepted, share=q))
            for q in (0.5, 0.95, 0.99)
        ),
        *(share(f"drift_{quantile_name(q)}", function=partial(latency.drift, share=q)) for q in (0.5, 0.95)),
        *(
            share(f"{quantile_name(q)}_rise", function=partial(latency.latency_rise, share=q))
            for q in (0.5, 0.95)
        ),
        share("error_rate", function=rates.error_rate),
        share("lost_rate", function=rates.lost_rate),
        share("misanswered", function=rates.misanswered),
        rate("throughput", function=rates.throughput),
        rate("goodput", function=rates.goodput),
        share("goodput_share", function=rates.goodput_share, better=Better.HIGHER, knows_closed_loop=True),
        time("refusal_p50", function=partial(latency.refusal_latency, share=0.5), rests_on_lag=False),
        share("unhinted_refusals", function=rates.unhinted_refusals),
        rate("knee", function=knee),
        time("recover", function=recovery.recover),
        time("settle", function=recovery.settle),
        *(
            time(
                f"{asked.value}_{quantile_name(q)}",
                function=partial(latency.probe_latency, asked=asked, share=q),
                rests_on_lag=False,
            )
            for asked in Asked
            for q in (0.5, 0.9)
        ),
        *(
            (share if per is Per.SHARE else space)(
                f"rss_growth_{per.value}",
                function=partial(resources.growth, held="rss_bytes", per=per),
            )
            for per in Per
        ),
        count("fd_growth_per_hour", function=partial(resources.growth, held="fds", per=Per.HOUR)),
        count("thread_growth_per_hour", function=partial(resources.growth, held="threads", per=Per.HOUR)),
        share("rss_rise", function=resources.memory_rise, knows_closed_loop=True),
        count("unaccounted", function=unaccounted, witnesses=(Witness.SERVER,)),
    )
