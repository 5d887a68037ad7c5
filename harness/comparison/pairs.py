"""Pairs: each pair of slots of a block as a row of its own, from the results of a run.

A slot is what one arm got of a phase: all its windows, where the pair was interleaved. A block is what a decision goes by; its pairs tell how much of its noise is that of starts
(:mod:`tailgate.harness.comparison.noise`). Nothing is judged by them: pairs of one start are not independent.
"""

from collections.abc import Iterator

from tailgate.harness.comparison.lens import LENSES
from tailgate.harness.comparison.observation import ArmRow, BlockRow, least_requests
from tailgate.harness.results import PhaseResult, RunResult, SlotResult
from tailgate.harness.samples import Outcome

ARMS = ("base", "head")


def pairs_of(result: RunResult, scenario: str) -> tuple[BlockRow, ...]:
    """Return the pairs of a comparison, in order of block and phase; ``index`` and ``run`` are those of their block.

    Args:
        result: of a run that compared.
        scenario: whose comparison.
    """
    blocks: dict[int, dict[str, SlotResult]] = {}
    for slot in result.slots:
        if slot.scenario == scenario and slot.arm in ARMS:
            blocks.setdefault(slot.block, {})[slot.arm] = slot
    found = [(index, arms) for index, arms in sorted(blocks.items()) if len(arms) == len(ARMS)]
    return tuple(
        BlockRow(index=index, base=base, head=head, run=result.run_id)
        for index, arms in found
        for base, head in _pairs(arms["base"], arms["head"])
    )


def _pairs(base: SlotResult, head: SlotResult) -> Iterator[tuple[ArmRow, ArmRow]]:
    heads = {phase.name: phase for phase in head.phases if phase.measured}
    for phase in base.phases:
        if phase.measured and phase.name in heads:
            yield _row(phase), _row(heads[phase.name])


def _row(phase: PhaseResult) -> ArmRow:
    cpu_s = None if phase.machine is None else phase.machine.server_cpu_s_per_request
    quantiles = {
        f"{lens.name}_s": getattr(phase.client, f"{lens.name}_s")
        for lens in LENSES
        if lens.quantile is not None and phase.client and phase.requests >= least_requests(lens.quantile)
    }
    return ArmRow(
        requests=phase.requests,
        failed=phase.requests - phase.outcomes.get(Outcome.OK.name.lower(), 0),
        cpu_s=None if cpu_s is None else cpu_s * phase.requests,
        **quantiles,
    )
