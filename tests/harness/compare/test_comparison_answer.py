"""Beside its decision a comparison says what servers chose, and where nobody gave a good answer."""

from types import SimpleNamespace

import numpy as np
import pytest
import sample_records

from tailgate.harness.compare.answer import CHOICES, choices_of, findings, unanswered, windows_of
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.delta import difference
from tailgate.harness.results.fault import Cause
from tailgate.harness.target.asking import exposition as scrape
from tailgate.harness.target.asking.metric_names import MetricNames


def told(base, head):
    return list(findings({"max_batch_size": {"base": base, "head": head}}))


@pytest.mark.parametrize(
    ("base", "head"),
    [([], []), (["32"], ["32"]), (["32"] * 5, ["32"] * 4), ([], ["16", "16"]), (["16"], [])],
)
def test_starts_that_chose_the_same_or_do_not_tell_are_no_finding(base, head):
    assert told(base, head) == []


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        (["16", "16"], ["2"], "base chose max_batch_size 16, head 2: "),
        (
            ["16"] * 5 + ["2"] * 3,
            ["2"] * 8,
            "base chose max_batch_size 16 in 5 of 8 starts and 2 in 3, head 2: ",
        ),
        (
            ["32"],
            ["32", "8", "32", "16"],
            "base chose max_batch_size 32, head 32 in 2 of 4 starts and 8 in 1 and 16 in 1: ",
        ),
        ([], ["4", "8", "8"], "head chose max_batch_size 8 in 2 of 3 starts and 4 in 1: "),
    ],
)
def test_starts_that_chose_differently_are_a_finding_of_their_own(base, head, said):
    (finding,) = told(base, head)
    assert finding.startswith(said)
    assert finding.endswith("a change may come from this choice and not from the code")


def block(base, head):
    """A block whose servers say this of themselves, in the text of their metrics."""

    def slot(labels):
        asked = None
        if labels is not None:
            inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
            text = f"tailgate_info{{{inside}}} 1\n"
            asked = difference(scrape.parse(text, 1), scrape.parse(text, 2))
        return SimpleNamespace(phases=(sample_records.record(sample_records.samples([]), asked),))

    return SimpleNamespace(slots={Arm.BASE: slot(base), Arm.HEAD: slot(head)})


def test_what_servers_chose_is_read_from_their_own_metrics_at_each_start():
    kept = [
        block({"max_batch_size": "16", "executor": "eager"}, {"max_batch_size": "2", "executor": "eager"}),
        block(None, {"model": "another server", "max_batch_size": "2"}),
        block({"max_batch_size": "16", "executor": "compiled"}, {"model": "another server"}),
    ]
    assert choices_of(kept) == {
        "max_batch_size": {"base": ["16", "16"], "head": ["2", "2"]},
        "executor": {"base": ["eager", "compiled"], "head": ["eager"]},
    }
    about_cap, about_executor = findings(choices_of(kept))
    assert about_cap.startswith("base chose max_batch_size 16, head 2: ")
    assert about_executor.startswith(
        "base chose executor eager in 1 of 2 starts and compiled in 1, head eager: "
    )


def test_servers_without_metrics_are_no_finding():
    assert list(findings(choices_of([block(None, None)]))) == []
    assert set(choices_of([])) == set(CHOICES)


def arm(good, failed=0, outcome=Outcome.REDIRECT, status=307):
    records = sample_records.samples(np.full(good + failed, 0.1))
    records["outcome"][:failed], records["status"][:failed] = outcome, status
    return sample_records.window(records)


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


def test_each_arm_is_read_by_what_it_calls_its_own_metrics():
    names = {Arm.BASE: MetricNames(), Arm.HEAD: MetricNames(request_seconds=None)}
    phases = (sample_records.record(sample_records.samples([0.1])),)
    slots = {arm: SimpleNamespace(phases=phases, names=own) for arm, own in names.items()}
    good = SimpleNamespace(block=SimpleNamespace(void=None), faults=(), slots=slots)
    assert {arm: window.names for arm, window in windows_of([good]).items()} == names
