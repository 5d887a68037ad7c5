"""Lenses: what gates by default, and a user's changes to it."""

import math

import pytest

from tailgate.harness.compare.lens import LENSES, find_lens, override
from tailgate.harness.errors import UsageError


def test_cost_latency_and_errors_gate_and_the_rest_is_reported():
    assert [lens.name for lens in LENSES if lens.gates] == ["cpu", "p50", "p95", "p99", "error_rate"]
    reported = ["ttfb_p95", "ttft_p95", "gap_p99", "memory", "start_up", "capacity"]
    assert [lens.name for lens in LENSES if not lens.gates] == reported


@pytest.mark.parametrize(
    ("setting", "name", "field", "expected"),
    [
        ("p95=0.08", "p95", "tolerance", 0.08),
        ("p95=8%", "p95", "tolerance", 0.08),
        (" p95 = 8 % ", "p95", "tolerance", 0.08),
        ("p95.margin=1%", "p95", "margin", 0.01),
        ("p95.margin=0", "p95", "margin", 0.0),
        ("memory=gate", "memory", "gates", True),
        ("p99=report", "p99", "gates", False),
    ],
)
def test_a_setting_changes_one_thing_of_one_lens(setting, name, field, expected):
    changed = override(LENSES, [setting])
    assert getattr(find_lens(name, changed), field) == pytest.approx(expected)
    assert [lens for lens in changed if lens.name != name] == [lens for lens in LENSES if lens.name != name]


def test_the_later_of_two_settings_wins():
    assert find_lens("p50", override(LENSES, ["p50=2%", "p50=4%"])).tolerance == 0.04


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("p59=0.1", "no lens 'p59'; did you mean 'p99'"),
        ("latency=0.1", "There are 'cpu', 'p50', 'p95'"),
        ("p95", "cannot read the lens setting 'p95'; expected"),
        ("p95.limit=3", "cannot read the lens setting"),
        ("p95=", "cannot read ''"),
        ("p95=-3%", "cannot read '-3%'"),
        ("p95=nan", "cannot read 'nan'"),
        ("p95=0", "cannot read '0'"),
        ("p95=2000%", "cannot read '2000%'"),
        ("p95=8", "write 8%"),
        ("p95.margin=1", "write 1%"),
        ("p95=Gate", "memory=gate"),
        ("p95.margin=gate", "cannot read 'gate'"),
        ("capacity=100%", "tolerates that nothing is left of capacity; expected less than 100%"),
        ("capacity.margin=150%", "expected less than 100%"),
        ("cpu.margin=3%", "the margin, above which a change fails, must be less"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_what_was_expected(setting, message):
    with pytest.raises(UsageError, match=message):
        override(LENSES, [setting])


@pytest.mark.parametrize(("name", "change", "ratio"), [("p95", 0.1, 1.1), ("capacity", 0.1, 0.9)])
def test_a_change_for_the_worse_is_a_share_of_base_in_the_lenss_own_direction(name, change, ratio):
    lens = find_lens(name)
    assert lens.ln_worse(change) == pytest.approx(abs(math.log(ratio)))
    assert lens.share_worse(lens.ln_worse(change)) == pytest.approx(change)
