"""Attribution names the stage that moved, and none where none did."""

import numpy as np
import pytest
from comparison_rows import arm, row

from tailgate.harness.compare.blocks.row import STAGES
from tailgate.harness.compare.decision.attribution import attribute
from tailgate.harness.compare.lens import find_lens

USUAL_S = {"queue": 0.004, "decode": 0.001, "compute": 0.008, "encode": 0.0005, "transport": 0.0015}


def blocks(count=12, seed=0, **added_s):
    random = np.random.default_rng(seed)

    def one(extra):
        return {
            place: {
                stage: USUAL_S[stage] * random.normal(1, 0.05) + extra.get(stage, 0.0) for stage in STAGES
            }
            for place in ("mean", "p50", "p95", "p99")
        }

    return [row(index, arm(stages_s=one({})), arm(stages_s=one(added_s))) for index in range(count)]


@pytest.mark.parametrize(
    ("lens", "stage"),
    [
        (lens, stage)
        for lens in ("cpu", "p50", "p95", "p99")
        for stage in STAGES
        if (lens, stage) != ("cpu", "queue")
    ],
)
def test_the_stage_that_moved_is_named_with_its_share(lens, stage):
    found = attribute(find_lens(lens), blocks(**{stage: 0.003}))
    assert found.moved == stage
    change = next(each for each in found.stages if each.stage == stage)
    assert change.low_s < change.change_s < change.high_s
    assert change.low_s > 0
    assert change.change_s == pytest.approx(0.003, abs=4e-4)
    assert change.share == pytest.approx(1, abs=0.2)


def test_of_two_stages_that_moved_the_larger_part_is_named():
    assert attribute(find_lens("p50"), blocks(queue=0.002, compute=0.006)).moved == "compute"


def test_a_stage_that_became_faster_is_named_where_the_whole_did():
    assert attribute(find_lens("p50"), blocks(compute=-0.004)).moved == "compute"
    # Compute fell, the queue grew by more: of a slowdown the queue is the cause.
    assert attribute(find_lens("p50"), blocks(compute=-0.002, queue=0.006)).moved == "queue"


def test_waiting_is_no_part_of_processor_time():
    found = attribute(find_lens("cpu"), blocks(queue=0.006, compute=0.002))
    assert found.moved == "compute"
    assert "queue" not in {change.stage for change in found.stages}


def test_a_shorter_stage_is_no_reason_for_more_processor_time():
    assert attribute(find_lens("cpu"), blocks(compute=-0.002)).moved is None


def test_where_nothing_moved_no_stage_is_named():
    named = [attribute(find_lens("p95"), blocks(seed=seed)).moved for seed in range(40)]
    assert sum(name is not None for name in named) <= 5


def test_too_few_blocks_name_nothing():
    found = attribute(find_lens("p95"), blocks(count=4, compute=0.01))
    assert found.moved is None
    assert all(stage.low_s is None for stage in found.stages)


def test_without_stages_there_is_no_attribution():
    assert attribute(find_lens("p95"), [row()]) is None
    assert attribute(find_lens("memory"), blocks()) is None
