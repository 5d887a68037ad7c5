"""Comparisons with a known answer: unchanged code, and each planted regression of ``tests/plants``.

The load is the scenario ``compare`` with its defaults. Base is the service, except in the case ``history``: there the
committed revision is checked out, as for a pull request. The sizes of the plants: :mod:`benchmarks.gate.plants`.
"""

from dataclasses import dataclass

from tailgate import Verdict
from tailgate.harness.results.ledger import Entry

SERVICE, COMMITTED, WORKING_TREE = "service", "HEAD", "."
TAIL = frozenset({"p95", "p99"})
# A plant is a model of its own, so the load's default for torchvision's weights must not apply.
PLANT = "service:MODEL=planted:{},WEIGHTS="


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison with a known answer."""

    name: str  # in the ledger
    what: str  # for people
    head: str  # as ``tailgate compare`` takes it
    right: frozenset[Verdict]  # verdicts that are right
    lenses: frozenset[str] = frozenset()  # one of them should FAIL, where FAIL is right
    stages: frozenset[str] = (
        frozenset()
    )  # one of them should be named as moved, where FAIL is right; empty where the lens has none
    options: tuple[str, ...] = ()  # further ones of ``tailgate compare``
    weight: int = 1  # runs for each run of a case of weight 1
    base: str = SERVICE  # as ``tailgate compare`` takes it

    @property
    def unchanged(self) -> bool:
        """Whether both sides run the same code without a plant."""
        return self.head in {SERVICE, WORKING_TREE}

    def lens_named(self, entry: Entry) -> bool | None:
        """Whether a run that FAILed named a right lens; None where it did not FAIL, or no lens is right."""
        return _failed(entry, self.lenses) and not self.lenses.isdisjoint(failing(entry))

    def tail_named(self, entry: Entry) -> bool | None:
        """Whether a run that FAILed did so by p95 or p99 among others; None where the case has no tail."""
        return _failed(entry, self.lenses & TAIL) and not TAIL.isdisjoint(failing(entry))

    def tail_alone(self, entry: Entry) -> bool | None:
        """Whether a run that FAILed did so by p95 or p99 alone; None where the case has no tail."""
        return _failed(entry, self.lenses & TAIL) and TAIL.issuperset(failing(entry))

    def stage_named(self, entry: Entry) -> bool | None:
        """Whether a run that FAILed named a right stage; None where it did not FAIL, or no stage is right."""
        named = {entry.lenses[name].stage for name in failing(entry)}
        return _failed(entry, self.stages) and not self.stages.isdisjoint(named)


def _failed(entry: Entry, right: frozenset[str]) -> bool | None:
    """Return True where a run FAILed and some answer is right, else None."""
    return True if entry.verdict is Verdict.FAIL and right else None


def failing(entry: Entry) -> tuple[str, ...]:
    """Return the lenses that made a run FAIL."""
    return tuple(name for name, lens in entry.lenses.items() if lens.gates and lens.verdict is Verdict.FAIL)


_PASS, _FAIL = frozenset({Verdict.PASS}), frozenset({Verdict.FAIL})
_EITHER = _PASS | _FAIL
_COST, _COMPUTE = frozenset({"cpu", "p50", "p95"}), frozenset({"compute"})
_QUEUE = frozenset({"queue"})
# The work of a stall shows in the cost, too: 1 request in 50 with 50 ms more is 1 ms per request.
_STALL = TAIL | {"cpu"}


def _plant(
    name: str,
    what: str,
    right: frozenset[Verdict],
    lenses: frozenset[str] = _COST,
    stages: frozenset[str] = _COMPUTE,
    options: tuple[str, ...] = (),
) -> Case:
    return Case(name, what, PLANT.format(name.replace("-", "_")), right, lenses, stages, options)


def _of_lens(name: str, what: str, lens: str) -> Case:
    """Return a plant that only a lens shows which does not gate by default."""
    return _plant(name, what, _FAIL, frozenset({lens}), frozenset(), (f"--lens={lens}=gate",))


CASES: tuple[Case, ...] = (
    Case("unchanged", "the same code on both sides", SERVICE, _PASS, weight=2),
    Case("history", "HEAD against the working tree, which is the same", WORKING_TREE, _PASS, base=COMMITTED),
    Case("control", "a factory that plants nothing", PLANT.format("unchanged"), _PASS),
    # A real change below the tolerance: both answers are right. A share of the model's work is half to three quarters
    # of that share of a request's.
    _plant("more-2", "+2 % of model work", _EITHER),
    _plant("more-5", "+5 % of model work", _EITHER),
    _plant("more-10", "+10 % of model work", _FAIL),
    _plant("all-5", "+5 % of all work", _FAIL),
    _plant("all-10", "+10 % of all work", _FAIL),
    _plant("stall", "1 request in 50: +50 ms of work", _FAIL, _STALL, _COMPUTE | _QUEUE),
    Case("window", "a batching window of 5 ms", "service:MAX_WAIT_MS=5", _FAIL, _COST - {"cpu"}, _QUEUE),
    Case("no-batching", "batching off", "service:MAX_BATCH_SIZE=1", _FAIL, _COST | TAIL, _COMPUTE | _QUEUE),
    _of_lens("leak", "64 KiB a request never given back", "memory"),
    _of_lens("slow-start", "a start that takes a third more work", "start_up"),
)

# In the ledger, but run no more: layers that ran twice, chosen on another processor to sum to 2, 5 and 10 % of the
# model. On the processor of most of these lines they were less (docs/explanation/error-rates.md).
RETIRED: tuple[Case, ...] = (
    _plant("work-2", "layers twice, meant as +2 %", _EITHER),
    _plant("work-5", "layers twice, meant as +5 %", _FAIL),
    _plant("work-10", "layers twice, meant as +10 %", _FAIL),
)
