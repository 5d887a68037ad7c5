"""Results of comparisons, made from rows of blocks."""

from dataclasses import replace

from tailgate.harness.compare.blocks.run import attributions_of
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.run import ArmResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import run_result

SEEN = tuple(lens for lens in LENSES if lens.name != "capacity")
DESIGN = plan_design(SEEN)
ROWS = "blocks-compare.jsonl"


def with_stages(made, slower_s):
    """Tell stages at every place: compute takes 8 ms, and ``slower_s`` more in head."""

    def told(one, more_s):
        stages = {"queue": 0.001, "compute": 0.008 + more_s, "transport": 0.001}
        return replace(one, stages_s=dict.fromkeys(("mean", "p50", "p95", "p99"), stages))

    return [replace(row, base=told(row.base, 0.0), head=told(row.head, slower_s)) for row in made]


def compared(made, *, faults=(), stopped="", **changes):
    """Return the result of a run that measured these rows."""
    decision = judge(made, DESIGN, SEEN)
    comparison = ComparisonResult(
        decision=decision,
        design=DESIGN,
        attributions=attributions_of(decision, made),
        rows=ROWS,
        order=tuple("bh" for _ in made),
        voids=tuple(f"block {row.index + 1}: {row.void}" for row in made if row.void),
        steal_share=0.01,
        stopped=stopped,
        **changes,
    )
    whole = run_result([], scenario="compare", faults=faults)
    verdict = Verdict.INVALID if faults else comparison.verdict
    scenario = replace(whole.scenarios[0], comparison=comparison, verdict=verdict, faults=tuple(faults))
    arms = (ArmResult("head", "service", {"revision": "b"}), ArmResult("base", "service", {"revision": "a"}))
    reason = () if verdict is Verdict.PASS else (f"compare: {comparison.reason}",)
    return replace(whole, scenarios=(scenario,), verdict=verdict, arms=arms, reasons=reason)
