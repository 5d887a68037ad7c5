"""What the gate is shown, with the answer that is right: unchanged code, and each planted regression of ``tests/plants``.

The load is the scenario ``compare`` with its defaults. Base is the service as it is but for the case ``history``, in which the
committed revision is checked out as it would be for a pull request. Sizes of the plants: ``gate_plants.py``.
"""

from dataclasses import dataclass

from tailgate.harness.results.ledger import Entry
from tailgate.harness.results.verdict import Verdict

SERVICE, COMMITTED, WORKING_TREE = "service", "HEAD", "."
TAIL = frozenset({"p95", "p99"})
# Beside a model of a factory's own, the load's default for torchvision's weights would be taken for a file.
PLANT = "service:MODEL=planted:{},WEIGHTS="


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison with a known answer.

    Attributes:
        name: in the ledger.
        what: for people.
        head: as ``tailgate compare`` takes it.
        right: verdicts that are right.
        lenses: of which one should FAIL, where FAIL is right.
        stages: of which one should be named as moved, where FAIL is right; empty where the lens has none.
        options: further ones of ``tailgate compare``.
        weight: it gets so many runs for each run of a case of weight 1.
        base: as ``tailgate compare`` takes it.
    """

    name: str
    what: str
    head: str
    right: frozenset[Verdict]
    lenses: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    weight: int = 1
    base: str = SERVICE

    @property
    def unchanged(self) -> bool:
        """Whether both sides run the same code and nothing in place of it."""
        return self.head in {SERVICE, WORKING_TREE}

    def lens_named(self, entry: Entry) -> bool | None:
        """Tell whether a run that FAILed named a right lens; None where it did not FAIL or none is right."""
        if entry.verdict is not Verdict.FAIL or not self.lenses:
            return None
        return any(name in self.lenses for name in failing(entry))

    def tail_named(self, entry: Entry) -> bool | None:
        """Tell whether a run that FAILed did so by p95 or p99, whatever else failed; None where that is not asked."""
        if entry.verdict is not Verdict.FAIL or not self.lenses & TAIL:
            return None
        return not TAIL.isdisjoint(failing(entry))

    def tail_alone(self, entry: Entry) -> bool | None:
        """Tell whether it did so by them *alone*: neither cost nor median would have told; None likewise."""
        return None if self.tail_named(entry) is None else TAIL.issuperset(failing(entry))

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
# The work of a stall shows in the cost, too: 1 request in 50 with 50 ms more is 1 ms a request.
_STALL = TAIL | {"cpu"}

CASES: tuple[Case, ...] = (
    Case("unchanged", "the same code on both sides", SERVICE, _PASS, weight=2),
    Case("history", "HEAD against the working tree, which is the same", WORKING_TREE, _PASS, base=COMMITTED),
    Case("control", "a factory that plants nothing", PLANT.format("unchanged"), _PASS),
    # Less than is tolerated, and yet a real change: both answers are right. A share of the model's work is half to
    # three quarters of that share of a request's.
    Case("more-2", "+2 % of model work", PLANT.format("more_2"), _PASS | _FAIL, _COST, _COMPUTE),
    Case("more-5", "+5 % of model work", PLANT.format("more_5"), _PASS | _FAIL, _COST, _COMPUTE),
    Case("more-10", "+10 % of model work", PLANT.format("more_10"), _FAIL, _COST, _COMPUTE),
    Case("all-5", "+5 % of all work", PLANT.format("all_5"), _FAIL, _COST, _COMPUTE),
    Case("all-10", "+10 % of all work", PLANT.format("all_10"), _FAIL, _COST, _COMPUTE),
    Case(
        "stall",
        "1 request in 50: +50 ms of work",
        PLANT.format("stall"),
        _FAIL,
        _STALL,
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

# Lines of the ledger that no run is added to any more: layers that ran twice, chosen on another processor such that their sum
# was 2, 5 and 10 % of the model. On the one that most of these lines are from it was less (docs/error-rates.md).
RETIRED: tuple[Case, ...] = (
    Case("work-2", "layers twice, meant as +2 %", PLANT.format("work_2"), _PASS | _FAIL, _COST, _COMPUTE),
    Case("work-5", "layers twice, meant as +5 %", PLANT.format("work_5"), _FAIL, _COST, _COMPUTE),
    Case("work-10", "layers twice, meant as +10 %", PLANT.format("work_10"), _FAIL, _COST, _COMPUTE),
)
