"""How much evidence a run gathers: the profiles ``smoke``, ``default`` and ``thorough``.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True)
class Profile:
    """How much evidence a run gathers."""

    name: Annotated[str, "smoke, default or thorough"]
    quantiles: Annotated[tuple[float, ...], "judged latency quantiles, as shares below 1"]
    requests: Annotated[int, Meta(ge=0), "the least number of measured requests behind each judged quantile"]
    warm_up_requests: Annotated[int, Meta(ge=0), "sent first and not judged"]
    repeats: Annotated[int, Meta(ge=0), "repeated events (bursts) of a scenario that has them"]


# n(1 - p) >= 10 before a quantile is spoken of: 200 requests for p95, 1,000 for p99. To bound one from above takes 90 and
# 459 independent requests; in a queue that is half busy slow requests come in runs, and it takes about three times as many
# (docs/reference/verdicts.md, "How many requests it takes").
PROFILES: Mapping[str, Profile] = {
    "smoke": Profile("smoke", (0.95,), requests=400, warm_up_requests=20, repeats=7),
    "default": Profile("default", (0.95, 0.99), requests=2_000, warm_up_requests=50, repeats=10),
    "thorough": Profile("thorough", (0.95, 0.99), requests=5_000, warm_up_requests=200, repeats=30),
}
