"""A criterion in the cells of a table, and how near it is to its limit."""

import math

from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import MISSING, interval, quantity

COLUMNS = ("criterion", "value", "interval", "limit", "of limit", "verdict")


def row(criterion: CriterionResult) -> tuple[str, ...]:
    """Return a criterion's cells, one for each of :data:`COLUMNS`."""
    return (
        criterion.name,
        quantity(criterion.value, criterion.unit),
        interval(criterion.low, criterion.high, criterion.unit),
        quantity(criterion.limit, criterion.unit),
        of_limit(criterion),
        criterion.verdict.value,
    )


def of_limit(criterion: CriterionResult) -> str:
    """Return how much of the limit the value uses up; nothing of a limit of 0, or without a value."""
    share = nearness(criterion)
    known = criterion.limit and criterion.value is not None and math.isfinite(share)
    return f"{share * 100:,.0f} %" if known else MISSING


def nearness(one: CriterionResult) -> float:
    """Return the value as a share of the limit, 1 at the limit and beyond it worse; infinite where nothing was measured."""
    if one.value is None or not math.isfinite(one.value):
        return math.inf if one.verdict is not Verdict.PASS else 0.0
    if not one.limit:
        return 0.0 if not one.value else math.inf
    return share_of_limit(one.value, one.limit, one.better)


def share_of_limit(value: float, limit: float, better: Better) -> float:
    """Return how much of the limit a value uses up: of a throughput, the more the smaller it is."""
    if better is Better.LOWER:
        return value / limit
    return limit / value if value > 0 else math.inf
