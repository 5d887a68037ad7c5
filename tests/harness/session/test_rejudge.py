"""A run judged again from its folder: the same answer by the same terms, another by others, and nothing measured."""

import inspect
import shutil
import sys
from dataclasses import replace

import numpy as np
import orjson
import pytest
from sample_records import record, samples, write_samples

from tailgate.harness import cli
from tailgate.harness.errors import BudgetError, MeasurementError, UsageError
from tailgate.harness.load.records.answers import ANSWERS, Answers
from tailgate.harness.load.records.samples import SAMPLE
from tailgate.harness.load.wire.answer import WholeAnswer
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe import slot_file
from tailgate.harness.observe.beside.probes import Asked, ProbeRecord
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.results import file as results_file
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.slot import Loop
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario import arrivals, changing_rates, trace
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.budgets import parse_budgets
from tailgate.harness.scenario.changing_rates import OnOff, Ramp, Sine, Spike, Steps
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import Plan, PlannedPhase, write_plan
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.scenario.trace import Trace
from tailgate.harness.session.rejudge import Terms, judge_again
from tailgate.harness.testing import fake_server_spec, run_result
from tailgate.harness.units import parse_quantity

# Every kind of phase, and measures that look at all that a slot keeps.
EVERYTHING = """
from tailgate import hookimpl
from tailgate.harness.scenario.arrivals import Bursts, ClosedLoop, Constant, Poisson
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.results.criterion import Witness

@hookimpl
def tailgate_scenarios(profile):
    rate = Ref("rate")
    mixed = (Disturbers(Behaviour.LEAVES, 0.1), Disturbers(Behaviour.CORRUPT, 0.1))
    phases = (
        Phase("warm-up", Poisson(rate), requests=3, measured=False),
        Phase("saturated", ClosedLoop(4), requests=60),
        Phase("overload", Poisson(2.0), requests=80, relative_to="saturated", deadline_s=Ref("late"), probes=3),
        Phase("after", Poisson(0.5), requests=20, relative_to="saturated", without_pause=True),
        Phase("bursts", Bursts(4, every_s=0.05, rate_per_s=rate, quiet_s=0.01), duration_s=0.5),
        Phase("mixed", Constant(rate), requests=40, disturbers=mixed),
    )
    late = Ref("late")
    criteria = (
        Criterion("throughput", Ref("capacity"), ("saturated",)),
        Criterion("goodput_share", 0.01, ("saturated", "overload"), objective_s=late),
        Criterion("accepted_p50", late, ("overload",)),
        Criterion("lost_rate", 0.9, ("overload",)),
        Criterion("health_p50", 1.0, ("overload",)),
        Criterion("rss_rise", 5.0, ("saturated", "overload")),
        Criterion("settle", 9.0, ("overload", "after"), objective_s=late),
        Criterion("p90", late, ("bursts", "mixed")),
        Criterion("p50", late, ("bursts",), Witness.SERVER),
        Criterion("recover", late, ("bursts",), objective_s=Ref("late") * 0.5),
        Criterion("misanswered", 1.0, ("mixed",)),
        Criterion("unaccounted", 99.0, ("mixed",), Witness.SERVER),
        Criterion("error_rate", 0.9, ("bursts", "mixed")),
    )
    return [Scenario("everything", "all that there is", phases, criteria)]
"""
BUDGETS = '"everything" = {{ rate = "2 /yd", capacity = "0.01 /yd", late = "{late}" }}'
MEASURES = built_in_measures()


@pytest.fixture
def everything(project):
    """Return the project with a scenario of every kind of phase, and its budgets."""
    project.pytester.path.joinpath("tiny.py").write_text(EVERYTHING)
    project.pytester.path.joinpath("budgets.toml").write_text(BUDGETS.format(late="200 yd"))
    return project


def test_a_run_is_judged_again_to_the_same_answer_whatever_it_was(everything, tmp_path):
    everything.gate(target=fake_server_spec(2.0, queue_capacity=8))
    folder = everything.results()
    result = results_file.read(folder / results_file.RESULTS)
    assert len(result.scenarios[0].criteria) == 13
    assert result.scenarios[0].criteria[0].value is not None
    assert judge_again(result, folder, MEASURES) == result
    (slot,) = result.slots
    # Before and after every phase but the warm-up, whose reading before is that of the first measured one, too.
    assert [len(phase.yardsticks) for phase in slot.phases] == [2] * 6
    # On another machine, too, and from nothing but the folder.
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert judge_again(result, moved, MEASURES) == result


def test_a_run_is_judged_again_by_other_budgets_and_the_report_says_so(project):
    project.gate()
    folder = project.results()
    result = results_file.read(folder / results_file.RESULTS)
    assert result.verdict is Verdict.PASS
    sure = judge_again(result, folder, MEASURES, Terms(confidence=0.9))
    assert [one.confidence for one in sure.scenarios[0].criteria] == [0.9] * 3
    assert sure.scenarios[0].notes == (
        "judged again with --perf-confidence=0.9, chosen after the fact, which proves nothing about this run",
    )
    assert sure.scenarios[0].reproduce == f"{result.scenarios[0].reproduce} --perf-confidence=0.9"


@pytest.mark.parametrize(
    ("line", "verdict", "said"),
    [
        ('"x" = { p95 = "10 yd" }', Verdict.PASS, ()),
        ('"x" = { p95 = "100 ms" }', Verdict.FAIL, ()),
        (
            '"x" = { p95 = "10 yd", rate = "7 /s" }',
            Verdict.PASS,
            ("its load stays what it was, rate = 0.5 /yd",),
        ),
    ],
)
def test_other_budgets_set_limits_and_never_the_load_that_was_sent(tmp_path, line, verdict, said):
    criteria = (Criterion("p95", Ref("p95"), ("load",)), Criterion("throughput", 1.0, ("load",)))
    kept = made([arrivals.Poisson(50.0)], criteria, {"p95": "9 yd", "rate": "0.5 /yd"})
    result = keep(kept, tmp_path)
    table = tmp_path / "other.toml"
    table.write_text(line + '\n"x:cuda" = { p95 = "1 s" }')
    budgets = parse_budgets({**_toml(table)}, table)
    again = judge_again(result, tmp_path, MEASURES, Terms(budgets=budgets))
    assert again.verdict is verdict
    note, *others = again.scenarios[0].notes
    assert "chosen after the fact" in note
    assert tuple(others) == said


def _toml(path):
    import tomllib

    return tomllib.loads(path.read_text())


def test_other_budgets_that_lack_a_line_are_refused_by_name(tmp_path):
    result = keep(
        made([arrivals.Poisson(50.0)], (Criterion("p95", Ref("p95"), ("load",)),), {"p95": "9 yd"}), tmp_path
    )
    with pytest.raises(
        BudgetError, match=r"scenario 'x' lacks budgets for cpu in fp32; write into .*p95 = …"
    ):
        judge_again(result, tmp_path, MEASURES, Terms(budgets=parse_budgets({"y": {}})))


def test_a_measure_that_is_not_there_any_more_is_named(tmp_path):
    result = keep(made([arrivals.Poisson(50.0)], (Criterion("late_share", 0.5, ("load",)),)), tmp_path)
    with pytest.raises(UsageError, match="there is no measure 'late_share'"):
        judge_again(result, tmp_path, MEASURES)


def test_a_scenario_that_was_never_measured_stays_as_it_was(tmp_path):
    unmeasured = replace(run_result([]), slots=())
    assert judge_again(unmeasured, tmp_path, MEASURES).scenarios == unmeasured.scenarios


YARDS = (Yardstick(0.02, 0.019, 0.021, 60), Yardstick(0.021, 0.02, 0.022, 60))


def made(laws, criteria=(), budgets=None, **phase):
    """Return the record of a slot with a phase for each law, in which 300 requests took 150 ms each."""
    names = ["load", *(f"load{number}" for number in range(1, len(laws)))]
    phases = tuple(Phase(name, law, requests=300, **phase) for name, law in zip(names, laws, strict=True))
    quantities = {key: parse_quantity(text) for key, text in (budgets or {}).items()}
    slot = Slot(Scenario("x", "d", phases, criteria), "head", 0, 1, 2**70, quantities, YARDS[0], 4)
    seen = tuple(
        replace(record(samples(np.full(300, 0.15)), name=one.name), phase=one, yardsticks=YARDS)
        for one in phases
    )
    for index, one in enumerate(seen):
        one.samples["phase"] = index
    return SlotRecord(slot, (300,) * len(laws), seen, (), (), None, ())


def keep(kept, directory):
    """Write a record as a slot does, and return the result that stands beside it."""
    folder = directory / "x-head-0"
    folder.mkdir()
    write_samples(
        folder / "samples.bin", np.concatenate([np.zeros(0, SAMPLE), *(one.samples for one in kept.phases)])
    )
    slot_file.write(kept, folder)
    result = run_result([], scenario="x", settings={"confidence": 0.99})
    (slot,) = result.slots
    return replace(result, slots=(replace(slot, samples="x-head-0/samples.bin"),))


LAWS = [
    arrivals.Constant(5.0),
    arrivals.Poisson(5.5),
    arrivals.Gamma(5.0, 0.5),
    OnOff(5.0, 1.0, 2.0),
    Ramp(1.0, 2.0),
    Steps((1.0, 2.0), 3.0),
    Spike(1.0, 2.0, 3.0, 4.0),
    Sine(5.0, 0.5, 2.0),
    arrivals.Bursts(8, 1.0, 2.0, 0.5),
    Trace((0.0, 1.0), ("a", "b")),
    arrivals.ClosedLoop(8),
]


def test_every_law_of_the_harness_is_kept():
    modules = (arrivals, changing_rates, trace)
    everything = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    laws = {law for law in everything if hasattr(law, "draw") and not inspect.isabstract(law)}
    assert {type(law) for law in LAWS} == laws


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_a_slot_is_the_same_after_writing_and_reading(law, tmp_path):
    criteria = (
        Criterion("p95", Ref("p95", 0.5), ("load",), Witness.CLIENT),
        Criterion("knee", 5.0, ("load",)),
    )
    kept = made([law], criteria, {"p95": "9 yd", "error_rate": "0.0"})
    keep(kept, tmp_path)
    read = slot_file.read(tmp_path / "x-head-0")
    assert (read.slot, read.planned, read.names, read.faults) == (kept.slot, kept.planned, kept.names, ())
    assert [one.yardsticks for one in read.phases] == [YARDS]
    assert (read.phases[0].samples == kept.phases[0].samples).all()


def test_a_phase_keeps_its_probes_without_an_answer_its_disturbers_and_its_deadline(tmp_path):
    disturbers = (Disturbers(Behaviour.DRIPS, 0.25),)
    kept = made([arrivals.Poisson(5.0)], disturbers=disturbers, deadline_s=0.5, probes=2, without_pause=True)
    keep(kept, tmp_path)
    asked = [ProbeRecord(Asked.HEALTH, 5, float("inf"), None), ProbeRecord(Asked.METRICS, 6, 0.25, 200)]
    lines = [
        {
            "phase": 0,
            "asked": one.asked.value,
            "time_ns": one.time_ns,
            "seconds": one.seconds,
            "status": one.status,
        }
        for one in asked
    ]
    path = tmp_path / "x-head-0" / "probes.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    read = slot_file.read(tmp_path / "x-head-0")
    assert read.slot.scenario == kept.slot.scenario
    assert read.phases[0].probes == tuple(asked)


class Lunar:
    """A plugin's law of arrival."""

    loop = Loop.CLOSED

    def draw(self, rng, *, requests, duration_s):
        raise AssertionError("it must not be run")


def test_the_law_of_a_plugin_is_kept_as_a_name_and_never_loaded(tmp_path):
    keep(made([Lunar()]), tmp_path)
    law = slot_file.read(tmp_path / "x-head-0").slot.scenario.phases[0].arrivals
    assert law == slot_file.ForeignLaw("Lunar", Loop.CLOSED)
    with pytest.raises(UsageError, match="the law 'Lunar' belongs to a plugin"):
        law.draw(None, requests=1, duration_s=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*slot.json: No such file.*from its whole folder only"),
        ("{", "is not JSON"),
        ("[]", "has format None, and this tailgate reads 1"),
        ('{"format": 2}', "has format 2, and this tailgate reads 1"),
        ('{"format": 1}', "does not hold what its format says: KeyError: 'scenario'"),
    ],
)
def test_a_slot_that_was_not_kept_whole_is_an_error_and_no_verdict(tmp_path, text, message):
    result = keep(made([arrivals.Poisson(50.0)]), tmp_path)
    path = tmp_path / "x-head-0" / "slot.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(MeasurementError, match=message):
        judge_again(result, tmp_path, MEASURES)


@pytest.mark.parametrize(("limit", "status"), [("9 yd", 0), ("1 yd", 1)])
def test_the_command_judges_a_folder_and_ends_as_its_verdict_says(
    tmp_path, monkeypatch, capsys, limit, status
):
    result = keep(
        made([arrivals.Poisson(50.0)], (Criterion("p95", Ref("p95"), ("load",)),), {"p95": "9 yd"}), tmp_path
    )
    results_file.write(result, tmp_path / results_file.RESULTS)
    (tmp_path / "other.toml").write_text(f'"x" = {{ p95 = "{limit}" }}')
    monkeypatch.setenv("PERF_PLUGINS", "")
    words = [
        "tailgate",
        "judge",
        str(tmp_path),
        f"--budgets={tmp_path / 'other.toml'}",
        "--perf-confidence=0.95",
    ]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        cli.main()
    out = capsys.readouterr().out
    assert left.value.code == status
    assert out.startswith("FAIL: p95 (client) " if status else "PASS: p95 (client) holds, at ")
    assert "chosen after the fact, which proves nothing about this run" in " ".join(out.split())


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("--confidence=2", "--perf-confidence: expected a share above 0.5 and below 1, got '2'"),
        ("--answer-tolerance=much", "--perf-answer-tolerance: expected a share above 0 and to 1"),
        ("--answer-ignore=id", "--perf-answer-ignore: expected a path that begins with $"),
    ],
)
def test_a_term_is_held_to_what_the_option_of_a_run_is(tmp_path, monkeypatch, capsys, word, why):
    monkeypatch.setattr(sys, "argv", ["tailgate", "judge", str(tmp_path), word])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert (left.value.code, why in capsys.readouterr().err) == (2, True)


def test_a_kept_slot_is_held_against_what_was_expected_of_its_answers_again(tmp_path):
    kept = made([arrivals.Poisson(50.0)], (Criterion("wrong_answers", 0.0, ("load",)),))
    kept.phases[0].samples["answer"] = [2, *[1] * 299]
    result = keep(kept, tmp_path)
    folder = tmp_path / "x-head-0"
    payload = Payload("p", b"?", "text/plain", expect=("contains:cat",))
    offsets = np.arange(300, dtype=np.int64)
    planned = PlannedPhase("load", offsets, np.zeros(300, np.uint16))
    write_plan(Plan("x", 7, (planned,), (payload,)), folder)
    answers = Answers(folder / ANSWERS)
    for body in (b"a cat", b"a dog"):
        answers.number(0, 200, WholeAnswer(b"text/plain", body, len(body), 0))
    answers.flush()
    (criterion,) = judge_again(result, tmp_path, MEASURES).scenarios[0].criteria
    assert (criterion.verdict, criterion.n, criterion.value) == (Verdict.FAIL, 300, 1 / 300)
    (wrong,) = slot_file.read(folder).phases[0].checked.wrong
    assert str(wrong) == "1 × wrong answer: the answer is 'a dog', expected one that contains 'cat'"
