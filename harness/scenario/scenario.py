"""A scenario: named phases of load, and the criteria that they are judged by.

Pure data: *what* is sent and *what* is asked, with numbers that may still be open. Nothing here sends or judges.
"""

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import UsageError
from tailgate.harness.profiles import Profile
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.behaviour import Disturbers
from tailgate.harness.scenario.ref import Number, Ref


def settle(owner: object, sequences: Sequence[str], numbers: Sequence[str] = ()) -> None:
    """Make tuples of a frozen dataclass's sequences, and Python's numbers of numpy's; raise UsageError for no sequence."""
    for name in sequences:
        value = getattr(owner, name)
        if isinstance(value, str) or not isinstance(value, Iterable | None):
            raise UsageError(f"{type(owner).__name__}: {name} is a list, got {value!r}")
        object.__setattr__(owner, name, None if value is None else tuple(value))
    for name in numbers:
        value = getattr(owner, name)
        object.__setattr__(owner, name, value.item() if isinstance(value, np.generic) else value)


@runtime_checkable
class Arrivals(Protocol):
    """When requests are meant to leave: a frozen dataclass, as those of :mod:`tailgate.harness.scenario.arrivals`.

    A closed loop says so by an attribute ``loop``.
    """

    def draw(
        self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None
    ) -> NDArray[np.float64]:
        """Return ascending intended send times in seconds from the phase's start; exactly one extent is given."""
        ...


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of load. Before each phase nothing is in flight, and the server's metrics are scraped.

    Attributes:
        name: unique within the scenario.
        requests: how many requests; or else ``duration_s``, for how long.
        measured: False for a warm-up: recorded, and never judged.
        relative_to: an earlier phase. The numbers of ``arrivals`` then count in its throughput: a rate of 2 is twice
            the good answers a second that were measured there, a time of 10 is ten times the mean between two of them.
        deadline_s: told to the service with each request, in the header ``X-Request-Timeout-Ms``; None for none.
        disturbers: clients among the others that do not simply wait for their answers.
        probes: how often the readiness and metrics paths are asked meanwhile, each, however short the phase turns out to
            be: five times a second, and up to fifty times where that is too seldom. 0 for not at all.
        without_pause: it begins right after the phase before it, whose work may go on; else the yardstick is timed between.
        meanwhile: an act of the target while the phase is sent, such as ``replace`` or ``kill`` of a fleet's replicas; None
            for none. The load must last longer than the act.
    """

    name: str
    arrivals: Arrivals
    requests: int | None = None
    duration_s: Number | None = None
    measured: bool = True
    relative_to: str | None = None
    deadline_s: Number | None = None
    disturbers: tuple[Disturbers, ...] = ()
    probes: int = 0
    without_pause: bool = False
    meanwhile: str | None = None

    @property
    def loop(self) -> Loop:
        """Whether the server's answers have a say in when its requests leave."""
        loop: Loop = getattr(self.arrivals, "loop", Loop.OPEN)
        return loop

    def __post_init__(self) -> None:
        """Take lists and numpy's numbers; refuse a phase of no or of two extents."""
        settle(self, ("disturbers",), ("requests", "duration_s", "deadline_s", "probes"))
        if self.requests is not None and not isinstance(self.requests, int):
            raise UsageError(f"phase {self.name!r}: requests is a whole number, got {self.requests!r}")
        if (self.requests is None) == (self.duration_s is None):
            raise UsageError(f"phase {self.name!r}: give either requests or duration_s, got both or neither")
        extent = self.requests if self.requests is not None else self.duration_s
        if not isinstance(extent, Ref) and not (extent is not None and 0 < extent < math.inf):
            raise UsageError(f"phase {self.name!r}: its extent must be positive")
        if self.relative_to is not None and self.requests is None:
            raise UsageError(
                f"phase {self.name!r}: relative to a throughput that nobody knows yet, its extent must be requests"
            )
        if self.probes < 0:
            raise UsageError(f"phase {self.name!r}: probes is a number from 0 on, got {self.probes}")
        if sum(one.share for one in self.disturbers) >= 1 or (self.disturbers and self.loop is Loop.CLOSED):
            raise UsageError(
                f"phase {self.name!r}: disturbers need an open loop and must leave clients that wait for answers"
            )


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question with a limit: is this measure, over these phases, by this witness, within its limit?

    Attributes:
        measure: a name that a plugin's ``tailgate_measures`` gives, such as ``p95``.
        limit: in the measure's unit (seconds, requests/s, a share).
        phases: names of measured phases, pooled.
        witness: whose record is judged.
        objective_s: for measures that count late requests: the latency above which a request is late.
    """

    measure: str
    limit: Number
    phases: tuple[str, ...]
    witness: Witness = Witness.CLIENT
    objective_s: Number | None = None

    def __post_init__(self) -> None:
        """Take lists and numpy's numbers."""
        settle(self, ("phases",), ("limit", "objective_s"))

    @property
    def name(self) -> str:
        """Short, unique within a scenario unless the same question is asked of other phases."""
        return f"{self.measure} ({self.witness.value})"


class When(enum.Enum):
    """Which runs take a scenario."""

    ALWAYS = "always"
    NAMED = "when it is named"  # by --perf-scenario: it takes long, or asks a special question


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named course of load with its criteria.

    Attributes:
        name: unique among all plugins; also the key of its budgets.
        description: one sentence for listings and reports.
        phases: run in order.
        criteria: judged after the last phase.
        payloads: names for the payload source, None for all that it has.
        when: whether a run takes it that names no scenario.
    """

    name: str
    description: str
    phases: tuple[Phase, ...]
    criteria: tuple[Criterion, ...]
    payloads: tuple[str, ...] | None = None
    when: When = When.ALWAYS

    def __post_init__(self) -> None:
        """Take lists; refuse a scenario that names a phase twice, or judges one that is not there or not measured."""
        settle(self, ("phases", "criteria", "payloads"))
        names = [phase.name for phase in self.phases]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"scenario {self.name!r}: phases need unique names, got {names}")
        self._refuse_unjudged_capacity(names)
        measured = {phase.name for phase in self.phases if phase.measured}
        for criterion in self.criteria:
            if not criterion.phases or not set(criterion.phases) <= measured:
                raise UsageError(
                    f"scenario {self.name!r}: {criterion.name} judges phases {list(criterion.phases)}, "
                    f"but the measured ones are {sorted(measured)}"
                )

    def _refuse_unjudged_capacity(self, names: list[str]) -> None:
        """Refuse rates relative to a capacity that no criterion holds: they would shrink with a slower service."""
        judged = {name for criterion in self.criteria for name in criterion.phases}
        for index, phase in enumerate(self.phases):
            other = phase.relative_to
            if other is not None and (other not in names[:index] or other not in judged):
                raise UsageError(
                    f"scenario {self.name!r}: phase {phase.name!r} is relative to {other!r}, which must be an earlier "
                    "phase with a criterion of its own; else a service that got slower all over would pass"
                )


def quantile_name(share: float) -> str:
    """Return ``p95`` for 0.95 and ``p99.9`` for 0.999."""
    return f"p{share * 100:.10g}"


def latency_criteria(profile: Profile, phases: Sequence[str]) -> tuple[Criterion, ...]:
    """Ask each quantile of the profile of both witnesses, with limits from budget keys ``p95``, ``p99``."""
    return tuple(
        Criterion(quantile_name(share), Ref(quantile_name(share)), tuple(phases), witness)
        for share in profile.quantiles
        for witness in (Witness.CLIENT, Witness.SERVER)
    )
