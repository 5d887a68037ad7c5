"""A verdict as results keep it, and which of several verdicts counts."""

import enum


class Verdict(enum.Enum):
    """What a criterion, a scenario or a run came to."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


class Better(enum.Enum):
    """Which direction is an improvement."""

    LOWER = "lower"
    HIGHER = "higher"


# The most telling first: a run that could not be measured says nothing else, and one failure fails.
SEVERITY = (Verdict.INVALID, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of the whole; nothing measured is INVALID, never a pass."""
    return next((verdict for verdict in SEVERITY if verdict in verdicts), Verdict.INVALID)
