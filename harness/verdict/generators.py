"""Many generators, one measurement: was each on time, and does its clock agree with that of the others?"""

from collections.abc import Iterable, Sequence

from tailgate.harness.load import PhaseReport
from tailgate.harness.load.report import Part
from tailgate.harness.named import listed
from tailgate.harness.observe.window import PhaseRecord, offered_rate_per_s
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.slot import Loop
from tailgate.harness.units import Unit, quantity
from tailgate.harness.verdict.faults import allowed_lag_s, check_generator

# Of the mean gap between two requests of the whole load, what the requests of one generator may be early or late.
SCHEDULE_SHARE = 0.05
# A latency may be wrong by as much, since it is a difference on the clock of its generator.
DRIFT_MOST = 0.001
NAMES_SHOWN = 8


def check_agreement(record: PhaseRecord, report: PhaseReport) -> list[Fault]:
    """Check that each generator's clock is known well enough around a phase, and runs as fast as the harness's."""
    rate = offered_rate_per_s(record.every_sample)
    texts = []
    for part in report.parts:
        who = f"phase {record.phase.name!r}, generator {part.name!r}"
        if part.drift > DRIFT_MOST:
            texts.append(
                f"{who}: its clock may run {part.drift:.3%} faster or slower than the harness's, allowed are "
                f"{DRIFT_MOST:.1%}; synchronise it (NTP), or make the phase longer, so that its drift is known better"
            )
        # In a closed loop nobody has a time to keep.
        if report.loop is Loop.OPEN and rate is not None and part.schedule_error_s > SCHEDULE_SHARE / rate:
            allowed = quantity(SCHEDULE_SHARE / rate, Unit.SECONDS)
            texts.append(
                f"{who}: its requests may be {quantity(part.schedule_error_s, Unit.SECONDS)} early or late, allowed are "
                f"{allowed}, {SCHEDULE_SHARE:.0%} of the mean gap between two requests: half of a round trip to it bounds what "
                "is known of its clock; take generators that are nearer to the harness, or a lower rate"
            )
    return [Fault(Cause.NOISE, text) for text in texts]


def check_parts(report: PhaseReport, limits_s: Sequence[float]) -> list[Fault]:
    """Check that each of many generators took its requests up in time, had time to spare, and a processor when it needed one.

    One of a hundred that is late is in no percentile of all requests.
    """
    faults = []
    for part in report.parts:
        found = check_generator(part.utilisation, part.run_delay_per_request_s, limits_s)
        if limits_s and part.lag.p99_s > allowed_lag_s(limits_s):
            text = (
                f"it was late: p99 of its send lag is {quantity(part.lag.p99_s, Unit.SECONDS)}, allowed are "
                f"{quantity(allowed_lag_s(limits_s), Unit.SECONDS)}; give it a core of its own or lower the rate"
            )
            found.append(Fault(Cause.NOISE, text))
        faults += [Fault(fault.cause, f"generator {part.name!r}: {fault.text}") for fault in found]
    return faults


def note(reports: Iterable[PhaseReport]) -> str:
    """Return a sentence on who sent; empty where it was one generator."""
    parts: list[Part] = [part for report in reports for part in report.parts]
    names = list(dict.fromkeys(part.name for part in parts))
    if not names:
        return ""
    error_s, drift = max(part.schedule_error_s for part in parts), max(part.drift for part in parts)
    clocks = (
        "which have one clock"
        if not (error_s or drift)
        else f"whose clocks are known to {quantity(error_s, Unit.SECONDS)}, and drift by {drift:.2g} of the time at most"
    )
    return f"{len(names)} generators sent the requests, {clocks}: {listed(names, NAMES_SHOWN)}"
