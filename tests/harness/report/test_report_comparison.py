"""What reports say of a comparison: verdict first, a row a lens, stages, what could be seen, what to do next."""

import io
from dataclasses import replace

import pytest
from compared_results import DESIGN, ROWS, SEEN, compared, with_stages
from comparison_rows import arm, rows
from rich.console import Console

from tailgate.harness.compare.blocks.row import append_rows
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.ground import Compared
from tailgate.harness.compare.lens import find_lens
from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.report import comparison as words
from tailgate.harness.report import junit, markdown, terminal
from tailgate.harness.results import file as results_file
from tailgate.harness.results.answers import AnswerDifference, AnswersResult
from tailgate.harness.results.comparison import CUT_SHORT
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session import outcome
from tailgate.harness.session.rejudge import Terms, judge_again
from tailgate.harness.testing import run_result


def rejudged(result, directory, lenses=()):
    return judge_again(result, directory, (), Terms(lenses=lenses))


@pytest.fixture(scope="module")
def slower():
    return compared(with_stages(rows(12, worse=1.25, sigma=0.2), 0.002))


@pytest.fixture(scope="module")
def same():
    return compared(rows(12, sigma=0.2))


def printed(result, width=100):
    file = io.StringIO()
    terminal.render(result, Console(file=file, width=width), terminal.Detail.EVERYTHING)
    return file.getvalue()


def test_the_terminal_says_verdict_arms_lenses_stages_and_what_could_be_seen(slower):
    text = printed(slower)
    assert text.startswith("FAIL: CPU time per request of head is at least ")
    assert "(mostly in compute)" in text.partition("\n\n")[0].replace("\n", " ")
    assert "  head: service revision=b\n  base: service revision=a\n" in text
    assert "compare: FAIL, 12 blocks, 192 s of load in 264 s\n  lens" in text
    assert "  seed 7\n" in text
    table = [line.split() for line in text.splitlines() if line.startswith("  ")]
    (header,) = (cells for cells in table if cells[0] == "lens")
    (cpu,) = (cells for cells in table if cells[0] == "cpu" and cells[-1] == "FAIL")
    assert " ".join(header) == " ".join(words.COLUMNS)
    assert cpu[-5:] == ["0", "%", "3", "%", "FAIL"]
    assert (
        "FAIL: the whole interval is worse than the margin; PASS: all of it is better than the tolerance"
        in " ".join(text.split())
    )
    assert (cpu[0], cpu[-1]) == ("cpu", "FAIL")
    assert "compute moved: compute +2.00 ms" in text
    assert "the smallest change that 95 runs of 100 would have called FAIL: cpu " in text
    assert "median over the blocks: steal 1.00 %" in text
    assert "→ compare: look first at what changed in compute" in text
    assert "reproduce compare: " in text


def test_a_lens_that_does_not_gate_is_reported(same):
    (memory,) = (line for line in printed(same).splitlines() if line.split()[:1] == ["memory"])
    assert memory.split()[-1] == "reported"


def test_unchanged_code_passes_on_the_first_line(same):
    text = printed(same)
    assert text.startswith("PASS: Head is not worse than base by as much as is tolerated")
    assert "→" not in text


def test_a_run_that_was_stopped_says_how_much_longer_it_would_take():
    made = rows(5, sigma=1.0)
    text = printed(compared(made, stopped="2 minutes were allowed (--perf-time-limit)"))
    assert text.startswith("INCONCLUSIVE: 5 good blocks so far")
    assert "stopped: 2 minutes were allowed (--perf-time-limit)" in text
    assert "→ INCONCLUSIVE: the next look is 7 blocks (about 2.57 minutes) away" in text


def test_an_answer_that_the_last_look_did_not_give_needs_a_calmer_machine():
    text = printed(compared(rows(36, sigma=2.0)))
    assert text.startswith("INCONCLUSIVE: p99 ")
    assert "→ INCONCLUSIVE at the last look: about " in text


def test_void_blocks_are_told_one_by_one():
    made = [replace(row, void="steal" if row.index == 3 else None) for row in rows(13, sigma=0.2)]
    text = printed(compared(made))
    assert "13 blocks, 1 of them void, 208 s of load" in text
    assert "void: block 4: steal" in text


def test_a_run_of_void_blocks_is_told_to_wait():
    made = [replace(row, void="steal") for row in rows(3)]
    assert "most blocks are void: end other work" in printed(compared(made, stopped="3 blocks were allowed"))


def test_a_broken_record_is_said_first_and_judges_nothing():
    fault = Fault(Cause.INTEGRITY, "head's server died under load\nits log ends:\nboom")
    result = compared(rows(12, sigma=0.2), faults=(fault,))
    result = replace(result, reasons=("compare: head's server died under load",))
    assert printed(result).startswith("INVALID: head's server died under load.\n")


def test_the_markdown_has_the_same_table_and_command(slower):
    text = markdown.render(slower)
    assert text.startswith("# FAIL: CPU time per request of head is at least ")
    assert "| lens | base | head | change | interval | FAIL above | PASS below | verdict |" in text
    assert "## compare: FAIL" in text
    assert "```sh\npytest -m perf --perf-scenario=compare --perf-seed=7\n```" in text


def test_junit_gets_every_number_at_full_precision(slower):
    found = dict(junit.properties(slower, slower.scenarios[0]))
    decision = slower.scenarios[0].comparison.decision
    assert found["perf.cpu.change"] == str(decision.results[0].change)
    assert (found["perf.comparison.blocks"], found["perf.cpu.stage"]) == ("12", "compute")
    assert (found["perf.memory.gates"], found["perf.error_rate.scale"]) == ("false", "difference")
    assert (found["perf.cpu.margin"], found["perf.cpu.tolerance"]) == ("0.0", "0.03")


def test_the_test_fails_with_each_lens_that_does_not_hold_and_its_stage(slower, same, tmp_path):
    settings = parse_options(lambda _: None, tmp_path)
    failed = outcome.outcome_of(slower.scenarios[0], settings)
    assert failed.fails
    assert failed.text.startswith("FAIL: compare: CPU time per request of head is at least ")
    assert "  cpu: beyond: CPU time per request" in failed.text
    assert "compute moved" in failed.text
    assert not outcome.outcome_of(same.scenarios[0], settings).fails


@pytest.mark.parametrize(
    ("inconclusive", "enforce", "fails"),
    [
        ("fail", "budgets", True),
        ("warn", "budgets", False),
        ("pass", "budgets", False),
        ("fail", "measurement", False),
    ],
)
def test_what_is_undecided_does_what_the_user_asked_for(tmp_path, inconclusive, enforce, fails):
    raw = {"inconclusive": inconclusive, "enforce": enforce}
    settings = parse_options(lambda option: raw.get(option.field), tmp_path)
    (scenario,) = compared(rows(3)).scenarios
    assert outcome.outcome_of(scenario, settings).fails is fails


def test_noise_alone_is_no_broken_measurement_and_a_dead_server_is(tmp_path):
    settings = parse_options(lambda option: {"enforce": "measurement"}.get(option.field), tmp_path)
    (noisy,) = compared([replace(row, void="steal") for row in rows(30)]).scenarios
    assert noisy.verdict is Verdict.INVALID
    assert not outcome.outcome_of(noisy, settings).fails
    (dead,) = compared(rows(12), faults=(Fault(Cause.INTEGRITY, "it died"),)).scenarios
    assert outcome.outcome_of(dead, settings).fails


@pytest.mark.parametrize(
    ("name", "low", "high", "text"),
    [
        ("p95", 1.012, 1.034, "[+1.2, +3.4] %"),
        ("p95", 0.9, None, "≥ -10.0 %"),
        ("p95", None, 1.1, "≤ +10.0 %"),
        ("p95", None, None, "–"),
        ("error_rate", -0.001, 0.002, "[-0.10, +0.20] %"),
    ],
)
def test_an_interval_of_a_change_has_signs(name, low, high, text):
    assert words.interval(find_lens(name), low, high) == text


def test_a_comparison_survives_its_file_and_is_judged_again_the_same(slower, tmp_path):
    made = with_stages(rows(12, worse=1.25, sigma=0.2), 0.002)
    append_rows(tmp_path / ROWS, made)
    results_file.write(slower, tmp_path / results_file.RESULTS)
    read = results_file.read(tmp_path / results_file.RESULTS)
    assert read == slower
    assert rejudged(read, tmp_path) == replace(slower, reasons=rejudged(read, tmp_path).reasons)


def test_judging_again_can_tolerate_something_else(slower, tmp_path):
    append_rows(tmp_path / ROWS, rows(12, sigma=0.2, base=arm()))
    other = rejudged(slower, tmp_path, ("p99=report", "cpu=50%"))
    lenses = {result.lens.name: result for result in other.scenarios[0].comparison.decision.results}
    assert (lenses["p99"].lens.gates, lenses["cpu"].lens.tolerance) == (False, 0.5)
    # A gate that is let go gives no error back.
    assert other.scenarios[0].comparison.design == DESIGN
    assert other.verdict is Verdict.PASS
    assert "judged again with p99=report, cpu=50%, chosen after the fact" in " ".join(printed(other).split())
    assert other.scenarios[0].reproduce.endswith(" --perf-lens=p99=report --perf-lens=cpu=50%")


def test_judging_again_splits_the_error_over_what_gates_now_and_the_scenarios_that_were_planned(
    slower, tmp_path
):
    # Planned for two scenarios, of which one was compared before the run ended.
    kept = replace(slower.scenarios[0].comparison, design=plan_design(SEEN, scenarios=2, blocks=(20, 30)))
    slower = replace(slower, scenarios=(replace(slower.scenarios[0], comparison=kept),))
    append_rows(tmp_path / ROWS, rows(20, sigma=0.2))
    again = rejudged(slower, tmp_path, ("memory=gate",)).scenarios[0].comparison
    assert again.design.gates == kept.design.gates + 2
    assert [look.blocks for look in again.design.looks] == [20, 30]


def test_a_run_that_was_cut_short_is_judged_by_its_blocks(tmp_path):
    fault = Fault(Cause.INTEGRITY, "cut short by KeyboardInterrupt")
    cut = compared(rows(5), faults=(fault,), stopped=CUT_SHORT + fault.text)
    append_rows(tmp_path / ROWS, rows(5))
    again = rejudged(cut, tmp_path)
    assert (cut.verdict, again.verdict) == (Verdict.INVALID, Verdict.INCONCLUSIVE)
    assert "stopped: before its end: cut short by KeyboardInterrupt" in printed(again)
    other = Fault(Cause.INTEGRITY, "the witnesses contradict each other")
    broken = compared(rows(5), faults=(fault, other), stopped=CUT_SHORT + fault.text)
    assert rejudged(broken, tmp_path).verdict is Verdict.INVALID


def test_a_run_that_a_server_ended_stays_invalid_when_it_is_judged_again(tmp_path):
    fault = Fault(Cause.INTEGRITY, "head: it did not become ready")
    made = rows(12, sigma=0.2)
    append_rows(tmp_path / ROWS, made)
    sound = compared(made)
    unmeasured = replace(sound.scenarios[0], verdict=Verdict.INVALID, faults=(fault,), comparison=None)
    of = Compared(sound.scenarios[0], (), ())
    for error, verdict in ((TargetError(fault.text), Verdict.INVALID), (KeyboardInterrupt(), Verdict.PASS)):
        kept = of.cut_short(unmeasured, error)
        again = rejudged(replace(sound, scenarios=(kept,)), tmp_path)
        assert again.verdict is verdict
        # Of a verdict that stands on a part of the run this is said though the decision is finished.
        assert ("stopped: before its end: " in printed(again)) is (verdict is Verdict.PASS)


def test_a_latency_that_spill_holds_back_is_not_told_to_take_more_time(tmp_path):
    made = [
        replace(one, base=replace(one.base, spilled=15), head=replace(one.head, spilled=15))
        for one in rows(12, sigma=0.2)
    ]
    text = printed(compared(made), width=400)
    assert "→ INCONCLUSIVE: more time would not help" in text
    assert "choose a lower rate, or a quicker target." in text
    assert "--perf-time-limit" not in text


def test_terms_that_have_no_meaning_for_a_run_are_refused(same, tmp_path):
    with pytest.raises(UsageError, match=r"compared nothing, so that --lens has no meaning"):
        rejudged(run_result(), tmp_path, ("p95=8%",))
    with pytest.raises(UsageError, match=r"checked no budgets, so that --perf-confidence=0\.9 has no"):
        judge_again(same, tmp_path, (), Terms(confidence=0.9))


def test_a_reported_lens_that_fails_has_no_say_in_the_headline_of_a_pass(tmp_path):
    # The stages are told for a lens that is reported only.
    made = with_stages(rows(12, sigma=0.2), 0.002)
    made = [replace(one, head=replace(one.head, p99_s=3.0 + one.index / 100)) for one in made]
    append_rows(tmp_path / ROWS, made)
    result = rejudged(compared(made), tmp_path, ("p99=report",))
    (scenario,) = result.scenarios
    assert (scenario.verdict, scenario.comparison.attributions[0].lens.name) == (Verdict.PASS, "p99")
    assert "mostly in" not in scenario.comparison.reason
    assert "look first" not in printed(result)


def test_the_levels_of_the_intervals_are_said_once(same):
    assert (
        printed(same, width=400).count(
            "intervals: the end towards no change, which FAIL goes by, is wrong in at most "
        )
        == 1
    )
    assert "intervals:" not in printed(compared(rows(5)))


ANSWERS = AnswersResult(
    verdict=Verdict.FAIL,
    gates=True,
    reason='head answers differently: 37 of 4,000, first: $.label is "dog", and "cat" in base (payload x)',
    compared=4_000,
    differing=37,
    examples=(
        AnswerDifference("$.label", "x", '"cat"', '"dog"', 37),
        AnswerDifference("$.score", "x", "0.9", "0.8", 5),
    ),
    not_compared=("$.id", *(f"$.at{number}" for number in range(9))),
    tolerances={"$.score": 0.0004},
    unanswered=12,
    unkept_head=1,
)


@pytest.mark.parametrize("show", [printed, markdown.render])
def test_every_report_says_what_the_answers_came_to(show):
    text = " ".join(
        show(compared(rows(12, sigma=0.2), answers=ANSWERS)).replace("\\", "").replace("`", "").split()
    )
    for said in (
        'Head answers differently: 37 of 4,000, first: $.label is "dog", and "cat" in base (payload x); speed: head is not worse',
        "answers: FAIL: head answers differently: 37 of 4,000",
        "answers: 5 differ at another place: $.score is 0.8, and 0.9 in base (payload x)",
        "answers, not compared, since base's own vary or are too few to tell: $.id, $.at0, $.at1, $.at2, $.at3, $.at4 and 4 more",
        "answers, numbers that may differ, as base's own do: $.score 0.0400 %",
        "answers, not compared: 12 of head, to whose payloads base has none",
        "answers, not compared: 1 that were not kept for lack of room",
    ):
        assert said in text


def test_answers_that_are_reported_only_are_said_to_be(slower):
    text = printed(compared(rows(12, sigma=0.2), answers=replace(ANSWERS, gates=False)))
    assert "answers: FAIL, reported: head answers differently" in " ".join(text.split())
    assert text.startswith("PASS: ")


def test_the_test_case_has_the_answers_as_properties():
    result = compared(rows(12, sigma=0.2), answers=ANSWERS)
    told = dict(junit.properties(result, result.scenarios[0]))
    assert (told["perf.answers.verdict"], told["perf.answers.compared"], told["perf.answers.differing"]) == (
        "FAIL",
        "4000",
        "37",
    )


@pytest.mark.parametrize(
    ("place", "option"),
    [("$['a b']", "--perf-answer-ignore='$['\"'\"'a b'\"'\"']'"), ("status", "--perf-answers=report")],
)
def test_answers_that_are_meant_to_differ_have_an_option(place, option):
    one = AnswerDifference(place, "x", "1", "2", 37)
    (scenario,) = compared(rows(12, sigma=0.2), answers=replace(ANSWERS, examples=(one,))).scenarios
    assert f"compare: if answers are meant to differ at {place}: {option}." in list(words.advice(scenario))
