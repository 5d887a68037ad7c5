"""What the gate is shown, with the answer that is right: unchanged code, and each planted regression of ``tests/plants``.

The load is the scenario ``compare`` with its defaults; base is the service as it is. Sizes of the plants: ``gate_plants.py``.
"""

from dataclasses import dataclass

from harness.comparison.ledger import Entry
from harness.verdict import Verdict

SERVICE = "service"
# Beside a model of a factory's own, the load's default for torchvision's weights would be taken for a file.
PLANT = "service:MODEL=planted:{},WEIGHTS="


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison with a known answer.

    Attributes:
        name: in the ledger.
        what: for people.
        head: specification; base is the service as it is.
        right: verdicts that are right.
        lenses: of which one should FAIL, where FAIL is right.
        stages: of which one should be named as moved, where FAIL is right; empty where the lens has none.
        options: further ones of ``tailgate compare``.
        each_round: how often it comes in a round.
    """

    name: str
    what: str
    head: str
    right: frozenset[Verdict]
    lenses: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    each_round: int = 1

    def lens_named(self, entry: Entry) -> bool | None:
        """Tell whether a run that FAILed named a right lens; None where it did not FAIL or none is right."""
        if entry.verdict is not Verdict.FAIL or not self.lenses:
            return None
        return any(name in self.lenses for name in failing(entry))

    def stage_named(self, entry: Entry) -> bool | None:
        """Tell whether a run that FAILed named a right stage; None likewise."""
        if entry.verdict is not Verdict.FAIL or not self.stages:
            return None
        return any(entry.lenses[name].stage in self.stages for name in failing(entry))


def failing(entry: Entry) -> tuple[str, ...]:
    """Return the lenses that made a run FAIL."""
    return tuple(name for name, lens in entry.lenses.items() if lens.gates and lens.verdict is Verdict.FAIL)


_PASS, _FAIL = frozenset({Verdict.PASS}), frozenset({Verdict.FAIL})
_COST, _COMPUTE = frozenset({"cpu", "p50", "p95"}), frozenset({"compute"})
_TAIL = frozenset({"cpu", "p95", "p99"})

CASES: tuple[Case, ...] = (
    Case("unchanged", "the same code on both sides", SERVICE, _PASS, each_round=3),
    Case("control", "a factory that plants nothing", PLANT.format("unchanged"), _PASS),
    # Less than is tolerated, and yet a real change: both answers are right.
    Case("work-2", "+2 % of model work", PLANT.format("work_2"), _PASS | _FAIL, _COST, _COMPUTE),
    Case("work-5", "+5 % of model work", PLANT.format("work_5"), _FAIL, _COST, _COMPUTE),
    Case("work-10", "+10 % of model work", PLANT.format("work_10"), _FAIL, _COST, _COMPUTE),
    Case(
        "stall",
        "1 request in 50: +50 ms of work",
        PLANT.format("stall"),
        _FAIL,
        _TAIL,
        frozenset({"compute", "queue"}),
    ),
    Case(
        "window",
        "a batching window of 5 ms",
        "service:MAX_WAIT_MS=5",
        _FAIL,
        frozenset({"p50", "p95"}),
        frozenset({"queue"}),
    ),
    Case(
        "no-batching",
        "batching off",
        "service:MAX_BATCH_SIZE=1",
        _FAIL,
        frozenset({"cpu", "p50", "p95", "p99"}),
        frozenset({"queue", "compute"}),
    ),
    Case(
        "leak",
        "64 KiB a request never given back",
        PLANT.format("leak"),
        _FAIL,
        frozenset({"memory"}),
        options=("--lens=memory=gate",),
    ),
    Case(
        "slow-start",
        "a start that takes a third more work",
        PLANT.format("slow_start"),
        _FAIL,
        frozenset({"start_up"}),
        options=("--lens=start_up=gate",),
    ),
)
