"""The lenses: what a comparison looks at, and how much of a change it tolerates.

Cost and median see a slowdown of everything long before p95 does; only p95 and p99 see a slowdown of the
tail. Tolerances differ as the noise does (docs/explanation/calibration.md says how it is measured).
"""

import dataclasses
import math
import re
from collections.abc import Iterable

from tailgate.harness import named
from tailgate.harness.errors import UsageError
from tailgate.harness.results.comparison import Lens, Scale
from tailgate.harness.results.verdict import Better
from tailgate.harness.units import Unit

LENSES: tuple[Lens, ...] = (
    Lens("cpu", "CPU time per request", Unit.SECONDS, Better.LOWER, 0.03),
    Lens("p50", "median latency", Unit.SECONDS, Better.LOWER, 0.05),
    Lens("p95", "p95 latency", Unit.SECONDS, Better.LOWER, 0.10),
    Lens("p99", "p99 latency", Unit.SECONDS, Better.LOWER, 0.25),
    Lens("error_rate", "share of failed requests", Unit.SHARE, Better.LOWER, 0.005, scale=Scale.DIFFERENCE),
    Lens("ttfb_p95", "p95 time to first byte", Unit.SECONDS, Better.LOWER, 0.10, gates=False),
    Lens("ttft_p95", "p95 time to first token", Unit.SECONDS, Better.LOWER, 0.10, gates=False),
    Lens("gap_p99", "p99 time between tokens", Unit.SECONDS, Better.LOWER, 0.25, gates=False),
    Lens("memory", "peak memory", Unit.BYTES, Better.LOWER, 0.05, gates=False),
    Lens("start_up", "start-up time", Unit.SECONDS, Better.LOWER, 0.20, gates=False),
    Lens("capacity", "capacity", Unit.PER_SECOND, Better.HIGHER, 0.10, gates=False),
)


# Not every service sends answers that have them.
WITHIN_ANSWERS = frozenset({"ttfb_p95", "ttft_p95", "gap_p99"})


def find_lens(name: str, lenses: Iterable[Lens] = LENSES) -> Lens:
    """Return the lens of this name, or raise a UsageError that names the nearest."""
    return named.find("lens", name, {lens.name: lens for lens in lenses})


def override(lenses: Iterable[Lens], settings: Iterable[str]) -> tuple[Lens, ...]:
    """Return the lenses with a user's settings applied; a later setting wins.

    ``p95=0.08`` or ``p95=8%`` sets a tolerance, ``p95.margin=1%`` a margin, ``memory=gate`` lets a lens gate,
    and ``p99=report`` only reports it.

    Raises:
        UsageError: a setting cannot be read, names no lens, or leaves a margin that is not below the
            tolerance.
    """
    by_name = {lens.name: lens for lens in lenses}
    for setting in settings:
        name, separator, value = (part.strip() for part in setting.partition("="))
        name, dot, field = name.partition(".")
        if not separator or (dot and field != "margin"):
            raise UsageError(f"cannot read the lens setting {setting!r}; {_FORMS}")
        by_name[name] = _changed(find_lens(name, by_name.values()), field, value, setting)
    for lens in by_name.values():
        if not lens.margin < lens.tolerance:
            raise UsageError(
                f"{lens.name}: its margin is {lens.margin:g} and its tolerance {lens.tolerance:g}: the margin, above "
                "which a change fails, must be less than the tolerance, below which it passes"
            )
    return tuple(by_name.values())


_FORMS = "expected p95=0.08, p95=8%, p95.margin=1%, memory=gate or p99=report"
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)")


def _changed(lens: Lens, field: str, value: str, setting: str) -> Lens:
    if not field and value in {"gate", "report"}:
        return dataclasses.replace(lens, gates=value == "gate")
    match = _NUMBER.fullmatch(value)
    number = math.nan if match is None else float(match[1]) / (100 if match[2] else 1)
    if not 0 <= number <= 10 or (not field and number == 0):
        raise UsageError(f"cannot read {value!r} in the lens setting {setting!r}; {_FORMS}")
    if match is not None and not match[2] and number >= 1:
        raise UsageError(
            f"the lens setting {setting!r} tolerates {number:.0%}, since a bare number is a share; write {value}%, or "
            f"{100 * number:g}% if that is meant"
        )
    if lens.better is Better.HIGHER and number >= 1:
        raise UsageError(
            f"the lens setting {setting!r} tolerates that nothing is left of {lens.title}; expected less than 100%"
        )
    return dataclasses.replace(lens, margin=number) if field else dataclasses.replace(lens, tolerance=number)
