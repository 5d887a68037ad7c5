"""Attribution: which stage of a request moved, for a lens that did. No verdict is taken from it.

Each block gives one difference, head less base, of the mean seconds in a stage over the requests about the
quantile (for CPU time, over all); they are bounded as the ratios are. A stage is named only if its interval
excludes no change; the stages share an error of 5 %. That tells where a slowdown showed, not always its
cause: with costlier compute the queue grows, too, often by more.
"""

import math
from collections.abc import Sequence

from tailgate.harness.compare.blocks.row import STAGES, BlockRow
from tailgate.harness.compare.decision import signed_rank
from tailgate.harness.results.comparison import Attribution, Lens, StageChange
from tailgate.harness.units import known

_ERROR = 0.05
_PLACES = {"cpu": "mean", "p50": "p50", "p95": "p95", "p99": "p99"}
# Waiting costs no processor time.
_WAITING = "queue"


def attribute(lens: Lens, rows: Sequence[BlockRow]) -> Attribution | None:
    """Return which stage moved over good blocks; None if the lens has no stages, or none were told."""
    place = _PLACES.get(lens.name)
    if place is None:
        return None
    costs = lens.quantile is None
    concerned = [stage for stage in STAGES if not (costs and stage == _WAITING)]
    by_stage = {stage: _differences_s(rows, place, stage) for stage in concerned}
    told = {stage: seconds for stage, seconds in by_stage.items() if seconds}
    if not told:
        return None
    level = _ERROR / 2 / len(told)
    centres = {stage: signed_rank.bound(seconds, level, level) for stage, seconds in told.items()}
    total_s = math.fsum(centre.estimate for centre in centres.values())
    stages = []
    for stage, one in centres.items():
        share = one.estimate / total_s if total_s else None
        stages.append(StageChange(stage, one.estimate, known(one.low), known(one.high), share))
    # The stages of a mean latency do not sum to CPU time: a smaller batch is shorter and costs more per
    # request.
    grew = costs or total_s > 0
    sure = [stage for stage, centre in centres.items() if (centre.low > 0 if grew else centre.high < 0)]
    moved = max(sure, key=lambda stage: abs(centres[stage].estimate), default=None)
    return Attribution(lens, tuple(stages), moved)


def _differences_s(rows: Sequence[BlockRow], place: str, stage: str) -> list[float]:
    pairs = [(row.base.stages_s.get(place, {}), row.head.stages_s.get(place, {})) for row in rows]
    return [head[stage] - base[stage] for base, head in pairs if stage in base and stage in head]
