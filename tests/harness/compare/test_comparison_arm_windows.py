"""What both witnesses saw of each arm over all blocks: where nobody gave a good answer, nothing was compared."""

import numpy as np
import pytest
from sample_records import samples, window

from tailgate.harness.compare.answer import unanswered
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.load.samples import Outcome
from tailgate.harness.results.fault import Cause


def arm(good, failed=0, outcome=Outcome.REDIRECT, status=307):
    records = samples(np.full(good + failed, 0.1))
    records["outcome"][:failed], records["status"][:failed] = outcome, status
    return window(records)


def test_two_arms_that_both_fail_every_request_were_not_compared():
    (fault,) = unanswered({Arm.BASE: arm(0, 20), Arm.HEAD: arm(0, 30, Outcome.CLIENT_ERROR, 404)})
    assert fault.cause is Cause.INTEGRITY
    assert fault.text == (
        "all 20 requests to base failed (307 Temporary Redirect); all 30 requests to head failed (404 Not Found): "
        "nothing was compared"
    )


@pytest.mark.parametrize(
    "windows",
    [
        {},
        {Arm.BASE: arm(0), Arm.HEAD: arm(0)},
        {Arm.BASE: arm(1, 99), Arm.HEAD: arm(0, 100)},  # head failed more, which the lens of failures judges
        {Arm.BASE: arm(0, 100), Arm.HEAD: arm(100)},
    ],
)
def test_one_good_answer_is_something_to_compare(windows):
    assert unanswered(windows) == []
