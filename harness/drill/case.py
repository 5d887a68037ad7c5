"""The cases of a drill: what is planted, what is right to say of it, and which case comes next. Pure."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tailgate.harness.errors import UsageError
from tailgate.harness.named import find
from tailgate.harness.results.verdict import Verdict

# A stall lasts so long, or so many times the mean latency seen so far, whichever is more.
STALL_S, STALL_TIMES = 0.05, 4.0


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison of base with base, with or without a change planted into head."""

    name: str
    what: str  # for people
    share: float = 0.0  # of its own latency, and of the target's processor time, that each answer takes more
    stall_every: int | None = None  # one answer in so many stalls; None for none
    lenses: tuple[str, ...] = ()  # those that the change can move; none where nothing is planted

    @property
    def planted(self) -> bool:
        """Whether head is slower than base."""
        return bool(self.lenses)

    def delay_s(self, latency_s: float, mean_s: float, draw: float) -> float:
        """Return how long an answer is held; ``draw`` is uniform in [0, 1), ``mean_s`` the mean latency so far."""
        stalls = self.stall_every is not None and draw < 1 / self.stall_every
        return self.share * latency_s + (max(STALL_S, STALL_TIMES * mean_s) if stalls else 0.0)


UNCHANGED = Case("unchanged", "base against base")
CASES = {
    case.name: case
    for case in (
        UNCHANGED,
        Case("all-5", "5 % more of all work", share=0.05, lenses=("cpu", "p50", "p95", "p99")),
        Case("stall", "1 answer in 50 stalls", stall_every=50, lenses=("p99",)),
    )
}
# Every four drills hold these, in an order that the commits draw, so that ten drills hold each planted case at least twice.
ROUND = ("unchanged", "unchanged", "all-5", "stall")


def find_case(name: str) -> Case:
    """Return the case of this name; raise UsageError where there is none."""
    return find("case", name, CASES, "--case: ")


def is_drawn(commit: str, share: float) -> bool:
    """Tell whether a commit is among the share of all commits that get a drill; the same answer whoever asks, and when."""
    if not 0 < share <= 1:
        raise UsageError(
            f"--share: expected a share of all commits, more than 0 and at most 1, got {share:g}"
        )
    return _number(commit, "drawn") < share


def next_case(commit: str, before: Sequence[str]) -> Case:
    """Return the case of a commit's drill, after drills of these cases: drawn from what the round still lacks.

    Neither the commit's hash nor what earlier drills were *of* says anything of what this one will come to.
    """
    begun = before[len(before) - len(before) % len(ROUND) :]
    # Drills of a chosen case may have filled the round with others than it lacks, and it lacks some still.
    left = sorted((Counter(ROUND) - Counter(begun)).elements())
    return CASES[left[int(_number(commit, "case") * len(left))]]


def _number(commit: str, of: str) -> float:
    """Return a number in [0, 1) that a commit's hash decides."""
    digest = hashlib.sha256(f"tailgate drill {of} {commit}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def is_right(case: Case, verdict: Verdict, failing: Sequence[str]) -> bool | None:
    """Tell whether the gate said what is right; None for INVALID, which says nothing.

    A planted change is caught by FAIL through a lens that it can move: INCONCLUSIVE is a miss. Base against base is wrong only
    where it FAILs.
    """
    if verdict is Verdict.INVALID:
        return None
    if not case.planted:
        return verdict is not Verdict.FAIL
    return verdict is Verdict.FAIL and not set(case.lenses).isdisjoint(failing)
