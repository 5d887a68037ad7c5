"""What a slot says of itself; that it runs, the plugin's own tests show."""

import numpy as np
import pytest

from tailgate.harness.observe.slot import announcement
from tailgate.harness.scenario.plan import PlannedPhase


@pytest.mark.parametrize(
    ("times_s", "text"),
    [
        (np.linspace(0, 63.7, 1_001)[1:], "phase steady, 1,000 requests at 15.7/s, about 64 s"),
        (np.linspace(0, 3.2, 321)[1:], "phase steady, 320 requests at 100.0/s, about 3.2 s"),
        (np.zeros(16), "phase steady, 16 requests at once, about 0.0 s"),
    ],
)
def test_a_phase_is_announced_with_its_rate_and_its_time(times_s, text):
    offsets_ns = np.rint(times_s * 1e9).astype(np.int64)
    assert announcement(PlannedPhase("steady", offsets_ns, np.zeros(len(times_s), np.uint16))) == text
