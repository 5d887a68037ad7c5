"""Answers of a comparison, read from the folders of its slots, and judged again by other terms."""

from dataclasses import replace

import numpy as np
import pytest
from compared_results import ROWS, compared
from comparison_rows import rows
from sample_records import samples, write_samples

from tailgate.harness.compare.answers.kept import judge_answers, terms_of
from tailgate.harness.compare.blocks.row import append_rows
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.answers import ANSWERS
from tailgate.harness.load.records.answers import Answers as Keeper
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.wire.answer import WholeAnswer
from tailgate.harness.measures import built_in_measures
from tailgate.harness.options.table import Answers
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import Plan, PlannedPhase, write_plan
from tailgate.harness.session.rejudge import Terms, judge_again
from tailgate.harness.testing import run_result

CAT, DOG = b'{"label": "cat", "score": 0.5}', b'{"label": "dog", "score": 0.5}'


def kept(root, name, bodies, *, warm_up=(), outcomes=None):
    """Keep a slot of a warm-up and a measured phase in which each request got one of the bodies; None was not kept."""
    folder = root / name
    folder.mkdir()
    every = [*warm_up, *bodies]
    made = samples([0.01] * len(every))
    made["phase"] = [0] * len(warm_up) + [1] * len(bodies)
    made["outcome"] = outcomes or Outcome.OK
    keeper = Keeper(folder / ANSWERS)
    made["answer"] = [
        0 if body is None else keeper.number(0, 200, WholeAnswer(b"application/json", body, len(body), 0))
        for body in every
    ]
    keeper.flush()
    write_samples(folder / "samples.bin", made)
    planned = PlannedPhase("load", np.arange(1, dtype=np.int64), np.zeros(1, np.uint16))
    write_plan(Plan("compare", 7, (planned,), (Payload("photo", b"?", "text/plain"),)), folder)


def slots(*names):
    """Return what a run's results say of the slots in these folders."""
    whole = run_result([], scenario="compare").slots[0]
    phase = whole.phases[0]
    phases = (replace(phase, name="warm-up", measured=False), replace(phase, name="slot 1", measured=True))
    return [
        replace(whole, arm=name.partition("-")[0], phases=phases, samples=f"{name}/samples.bin")
        for name in names
    ]


def judged(root, *names, policy=Answers.GATE, **terms):
    return judge_answers(
        slots(*names), root, terms_of(terms.get("tolerance"), terms.get("ignore", ())), policy
    )


def test_the_answers_of_all_slots_are_held_against_each_other(tmp_path):
    kept(tmp_path, "base-0", [CAT] * 20, warm_up=[b"cold"])
    kept(tmp_path, "base-1", [CAT] * 18 + [None] * 2)
    kept(tmp_path, "head-0", [CAT] * 20, warm_up=[b"cold too"] * 3)
    kept(tmp_path, "head-1", [CAT] * 18 + [DOG, None])
    result = judged(tmp_path, "base-0", "base-1", "head-0", "head-1")
    assert (result.verdict, result.compared, result.differing) == (Verdict.FAIL, 39, 1)
    assert (result.unkept_base, result.unkept_head) == (2, 1)
    assert result.reason == (
        'head answers differently: 1 of 39, first: $.label is "dog", and "cat" in base (payload photo)'
    )


def test_only_good_answers_are_compared(tmp_path):
    kept(tmp_path, "base-0", [CAT] * 20)
    failed = [Outcome.OK] * 18 + [Outcome.SERVER_ERROR, Outcome.TIMEOUT]
    kept(tmp_path, "head-0", [CAT] * 18 + [DOG, DOG], outcomes=failed)
    result = judged(tmp_path, "base-0", "head-0", policy=Answers.REPORT)
    assert (result.verdict, result.compared, result.gates) == (Verdict.PASS, 18, False)


@pytest.mark.parametrize(
    ("names", "policy"),
    [(("base-0", "head-0"), Answers.OFF), (("base-0",), Answers.GATE), ((), Answers.GATE)],
)
def test_nothing_is_said_where_it_is_not_asked_for_or_an_arm_has_no_slot(tmp_path, names, policy):
    for name in names:
        kept(tmp_path, name, [CAT] * 20)
    assert judged(tmp_path, *names, policy=policy) is None


@pytest.fixture
def run(tmp_path):
    """A comparison whose speed passes and whose head answers otherwise in one request."""
    kept(tmp_path, "base-0", [CAT] * 40)
    kept(tmp_path, "head-0", [CAT] * 39 + [DOG])
    made = rows(12, sigma=0.2)
    append_rows(tmp_path / ROWS, made)
    answers = judged(tmp_path, "base-0", "head-0")
    return replace(compared(made, answers=answers), slots=tuple(slots("base-0", "head-0")))


def again(run, root, **terms):
    return judge_again(run, root, built_in_measures(), Terms(**terms))


def test_answers_that_differ_fail_beside_a_speed_that_passes(run, tmp_path):
    result = again(run, tmp_path)
    comparison = result.scenarios[0].comparison
    assert (result.verdict, comparison.decision.verdict) == (Verdict.FAIL, Verdict.PASS)
    assert result.reasons[0].startswith("compare: head answers differently: 1 of 40, first: $.label")
    assert "; speed: within: head is not worse than base" in result.reasons[0]
    assert comparison.answers == run.scenarios[0].comparison.answers


def test_answers_that_are_only_reported_fail_nothing(run, tmp_path):
    comparison = run.scenarios[0].comparison
    reported = replace(comparison, answers=replace(comparison.answers, gates=False))
    run = replace(run, scenarios=(replace(run.scenarios[0], comparison=reported),))
    assert again(run, tmp_path).verdict is Verdict.PASS


def test_answers_are_judged_again_by_other_terms(run, tmp_path):
    result = again(run, tmp_path, answers=terms_of(None, ["$.label"]))
    comparison = result.scenarios[0].comparison
    assert (result.verdict, comparison.answers.ignored) == (Verdict.PASS, ("$.label",))
    assert comparison.notes[-1] == (
        "judged again with --perf-answer-ignore=$.label, chosen after the fact, which proves nothing about this run"
    )
    assert result.scenarios[0].reproduce.endswith(" '--perf-answer-ignore=$.label'")


def test_terms_for_answers_that_were_not_compared_are_refused(run, tmp_path):
    without = replace(run.scenarios[0], comparison=replace(run.scenarios[0].comparison, answers=None))
    with pytest.raises(
        UsageError, match=r"compared no answers, so that --perf-answer-tolerance=0\.1 has no meaning"
    ):
        again(replace(run, scenarios=(without,)), tmp_path, answers=terms_of(0.1, ()))
    with pytest.raises(
        UsageError, match=r"compared nothing, so that --perf-answer-ignore=\$.x has no meaning"
    ):
        again(run_result([]), tmp_path, answers=terms_of(None, ["$.x"]))


def test_answers_that_are_gone_cannot_be_judged_by_other_terms(run, tmp_path):
    (tmp_path / "head-0" / "samples.bin").unlink()
    with pytest.raises(MeasurementError, match="no samples to read"):
        again(run, tmp_path, answers=terms_of(None, ["$.x"]))
