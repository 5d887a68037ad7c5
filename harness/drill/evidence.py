"""What drills say against the gate's promises: e-processes, which may be looked at after every drill. Pure.

A promise says that an event (a false alarm, a miss) has a probability of at most p0, whatever came before. Against it a bet of 1
is made, at odds that are fair at p0. With q > p0 the capital is multiplied by q / p0 at each event, and by (1 - q) / (1 - p0)
at each drill without it. While the promise holds, that factor's mean given the past is 1 + (p - p0)(q / p0 - (1 - q) / (1 - p0)),
at most 1 for every p up to p0, so that the capital is a nonnegative supermartingale. By Ville's inequality the probability that
it *ever* reaches 1 / alpha is at most alpha: no number of drills has to be fixed, and looking costs nothing.

q is what the gate would do if it were broken, which nobody knows: the capital is split over several q, and a mean of
supermartingales is one. The weights were chosen by hand between two hypotheses. *Broken*: the event comes almost always (both
sides run one code) or every other time (noise in one side); two or three such drills must do. *Healthy*: at p0 the expected
growth is negative. All alphas together are 0.01: a gate that keeps all its promises is ever accused in at most 1 project of 100.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tailgate.harness.drill.case import CASES, is_right
from tailgate.harness.results.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Seen:
    """What a drill came to."""

    case: str
    verdict: Verdict
    failing: tuple[str, ...] = ()  # gating lenses that FAILed

    @property
    def right(self) -> bool | None:
        """Whether the gate was right; None where it was INVALID."""
        return is_right(CASES[self.case], self.verdict, self.failing)


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise of the gate, and the bets against it.

    Attributes:
        event: tells whether a drill speaks against it; None where it says nothing.
        bets: by q, the part of the capital that is bet with it.
    """

    text: str
    most: float  # p0
    alpha: float
    bets: Mapping[float, float]
    event: Callable[[Seen], bool | None]

    @property
    def enough(self) -> float:
        """The capital at which the promise is taken for broken."""
        return 1 / self.alpha

    def capitals(self, events: Iterable[bool]) -> Iterator[float]:
        """Yield what a capital of 1 is at first and after each event."""
        parts = dict(self.bets)
        yield sum(parts.values())
        for event in events:
            for q in parts:
                parts[q] *= q / self.most if event else (1 - q) / (1 - self.most)
            yield sum(parts.values())


def _wrong(case: str) -> Callable[[Seen], bool | None]:
    def event(seen: Seen) -> bool | None:
        return None if seen.case != case or seen.right is None else not seen.right

    return event


_NEARLY_ALWAYS = {0.98: 0.75, 0.5: 0.25}
PROMISES = (
    Promise(
        "base against base FAILs in at most 1 % of runs",
        0.01,
        0.0025,
        {0.5: 0.8, 0.1: 0.2},
        _wrong("unchanged"),
    ),
    Promise(
        "5 % more of all work FAILs in at least 95 % of runs", 0.05, 0.0035, _NEARLY_ALWAYS, _wrong("all-5")
    ),
    Promise(
        "a stall of 1 in 50 FAILs in at least 95 % of runs", 0.05, 0.0035, _NEARLY_ALWAYS, _wrong("stall")
    ),
    Promise(
        "at most 20 % of drills are INVALID",
        0.20,
        0.0005,
        {0.9: 0.8, 0.5: 0.2},
        lambda seen: seen.verdict is Verdict.INVALID,
    ),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a promise stands after drills."""

    promise: Promise
    drills: int  # that speak of it
    against: int  # of these, those that speak against it
    capital: float  # now
    most: float  # at any time: what decides

    @property
    def alarm(self) -> bool:
        """Whether the promise is broken, at its level."""
        return self.most >= self.promise.enough


def standings(seen: Sequence[Seen]) -> tuple[Standing, ...]:
    """Return how each promise stands after these drills, in order of time."""
    return tuple(_standing(promise, seen) for promise in PROMISES)


def _standing(promise: Promise, seen: Sequence[Seen]) -> Standing:
    events = [event for one in seen if (event := promise.event(one)) is not None]
    capitals = list(promise.capitals(events))
    return Standing(promise, len(events), sum(events), capitals[-1], max(capitals))
