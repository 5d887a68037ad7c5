"""``pytest -m perf --perf-against`` and ``tailgate compare``, whole: two fake servers, and blocks judged by a stub."""

import math
import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from tailgate.harness import cli
from tailgate.harness.compare import answer
from tailgate.harness.compare import comparison as compare
from tailgate.harness.compare.blocks import disturbance, run
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.errors import TargetError
from tailgate.harness.results import file as results_file
from tailgate.harness.results.comparison import Decision, LensResult
from tailgate.harness.results.verdict import Verdict, worst
from tailgate.harness.session import session
from tailgate.harness.testing import fake_server_spec

QUICK_MS = 1.0
# What a slow machine does to the time of a request has no say here: the slower server is known by the memory that it holds.
SERVER = 'from tailgate.harness.testing.fake_server import main; held = b"x" * {held_bytes}; main()'
QUICK, SLOW = (SERVER.format(held_bytes=size) for size in (1, 2**27))
SCENARIO = """
from tailgate import hookimpl
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.compare.load import ComparisonLoad
from tailgate.harness.scenario.scenario import Phase, When

@hookimpl
def tailgate_scenarios(profile):
    phases = (
        Phase("warm-up", Constant(100.0), requests=2, measured=False),
        Phase("load", Constant(100.0), requests=20),
    )
    return [ComparisonLoad("tiny", "a few requests", phases, (), when=When.NAMED, source="file:body.txt")]
"""


def held_share(row):
    return row.head.peak_rss_bytes / row.base.peak_rss_bytes


def slow_spec():
    """Return the target specification of the slower server."""
    return f"command:{shlex.quote(sys.executable)} -P -c {shlex.quote(SLOW)} --fd {{fd}}"


def judge_at_once(rows, design, lenses):
    """Look after one block: a server of twice the memory fails by its median, one about the same passes."""
    results = []
    for lens in lenses:
        seen = math.log(held_share(rows[0])) if rows and lens.name == "p50" else 0.0 if rows else None
        verdict = (
            Verdict.INCONCLUSIVE if seen is None else Verdict.FAIL if seen > math.log(2) else Verdict.PASS
        )
        results.append(LensResult(lens, verdict, f"beyond: {lens.name} as the test has it"))
    gates = [result.verdict for result in results if result.lens.gates]
    verdict = worst(gates)
    load_s, wall_s = sum(row.load_s for row in rows), sum(row.wall_s for row in rows)
    reason = "within: about the same" if verdict is Verdict.PASS else "beyond: p50 as the test has it"
    return Decision(
        verdict,
        reason,
        tuple(results),
        bool(rows),
        len(rows),
        len(rows),
        0,
        None if rows else 1,
        load_s,
        wall_s,
    )


@pytest.fixture(scope="module")
def seen():
    """What was seen of two fake servers, by step and servers: each pair is started for the first test that asks."""
    return {}


@pytest.fixture
def comparison(project, monkeypatch, seen):
    """Return the project with a scenario to compare by, on a machine that voids nothing."""
    rehearse, find_gap_s, measure_block = compare.rehearse, compare.find_gap_s, compare.measure_block

    def once(what, arms, step):
        asked = (what, *(arms[arm].side for arm in Arm))
        if any("tailgate.harness.testing.fake_server" not in side.spec for side in asked[1:]):
            return step()
        if asked not in seen:
            seen[asked] = step()
        return seen[asked]

    def measured(plan, bench):
        record = once(("block", bench.sharing), bench.arms, lambda: measure_block(plan, bench))
        # The samples lie in the folder of the test that measured them.
        slots = {arm: replace(slot, samples=bench.directory / "none") for arm, slot in record.slots.items()}
        return replace(record, slots=slots)

    monkeypatch.setattr(
        compare, "rehearse", lambda arms, *rest: once("rehearsal", arms, lambda: rehearse(arms, *rest))
    )
    monkeypatch.setattr(
        compare, "find_gap_s", lambda bench, seed: once("gap", bench.arms, lambda: find_gap_s(bench, seed))
    )
    monkeypatch.setattr(compare, "measure_block", measured)
    monkeypatch.setattr(run, "judge", judge_at_once)
    monkeypatch.setattr(compare, "PAIRS", 1)
    monkeypatch.setattr(disturbance, "FOREIGN_MAX", 2.0)
    monkeypatch.setattr(disturbance, "STEAL_MAX", 2.0)
    monkeypatch.setattr(disturbance, "LAG_MAX_S", 60.0)
    monkeypatch.setattr(answer.witnesses, "check_witnesses", lambda _: [])
    project.pytester.path.joinpath("tiny.py").write_text(SCENARIO)
    return project


def test_a_slower_head_fails_the_test_and_says_against_what(comparison):
    result = comparison.gate(f"--perf-against={fake_server_spec(QUICK_MS)}", target=slow_spec())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "perf: target command:* against command:*, scenarios tiny",
            "tiny: FAIL: p50 as the test has it.",
            "FAIL: p50 as the test has it.",
            "tiny: FAIL, 1 block, *",
            "*lens *base *head *change *interval *FAIL above *PASS below *verdict*",
            "reproduce tiny: PERF_PLUGINS='' pytest *--perf-seed=1*--perf-against=*",
        ]
    )
    kept = results_file.read(comparison.results() / results_file.RESULTS)
    assert [arm.name for arm in kept.arms] == ["head", "base"]
    assert [(slot.arm, slot.block, slot.start) for slot in kept.slots] in (
        [("base", 0, 1), ("head", 0, 1)],
        [("head", 0, 1), ("base", 0, 1)],
    )
    assert {slot.seed for slot in kept.slots} == {kept.slots[0].seed}
    assert (comparison.results() / kept.scenarios[0].comparison.rows).is_file()


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="one processor cannot be shared out",
)
def test_processors_that_are_asked_for_are_shared_and_told_of(comparison):
    before = os.sched_getaffinity(0)
    base = fake_server_spec(QUICK_MS)
    result = comparison.gate(
        f"--perf-against={base}", "--perf-processors=1", target=fake_server_spec(QUICK_MS)
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*both servers ran on the same one processor of *"])
    folder = comparison.results()
    kept = results_file.read(folder / results_file.RESULTS)
    assert [row.processors for row in read_rows(folder / kept.scenarios[0].comparison.rows)] == [1]
    assert os.sched_getaffinity(0) == before


OWN = """
import pytest
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.compare.load import ComparisonLoad
from tailgate.harness.scenario.scenario import Phase

def load(name):
    return ComparisonLoad(name, "a user's own", (Phase("load", Constant(100.0), requests=20),), (), source="file:body.txt")

@pytest.mark.perf
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_each(perf_gate, name):
    perf_gate.check(load(name))

@pytest.mark.perf
def test_two(perf_gate):
    perf_gate.check(load("d"))
    perf_gate.check(load("e"))
"""


def test_the_error_of_a_run_is_split_over_the_tests_that_ask_for_the_gate(comparison):
    comparison.pytester.makepyfile(OWN)
    spec = fake_server_spec(QUICK_MS)
    result = comparison.run("-m", "perf", f"--perf-against={spec}", target=spec)
    # The fifth comparison is one more than the four tests that were collected.
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*'e' is scenario 5 of this run, and the error that it allows was split over 4*"]
    )
    kept = results_file.read(comparison.results() / results_file.RESULTS).scenarios
    gating = sum(one.lens.gates for one in kept[0].comparison.decision.results)
    assert [one.comparison.design.gates for one in kept] == [4 * gating] * 4


def test_the_same_head_passes(comparison):
    spec = fake_server_spec(QUICK_MS)
    comparison.gate(f"--perf-against={spec}", target=spec).assert_outcomes(passed=1)


def git(folder, *arguments):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_change_that_is_not_committed_is_compared_with_the_last_commit(comparison):
    folder = comparison.pytester.path
    git(folder, "init", "--quiet")
    (folder / "server.py").write_text(QUICK)
    git(folder, "add", "server.py")
    git(folder, "commit", "--quiet", "--message", "quick")
    (folder / "server.py").write_text(SLOW)
    target = f"command:{shlex.quote(sys.executable)} server.py --fd {{fd}}"
    result = comparison.gate("--perf-against=HEAD", target=target)
    result.assert_outcomes(failed=1)
    commit = git(folder, "rev-parse", "HEAD")[:10]
    head, base = results_file.read(comparison.results() / results_file.RESULTS).arms
    assert head.facts["revision"] == f"{commit} with changes"
    assert base.facts["revision"] == f"HEAD ({commit})"
    assert len(git(folder, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("installed", [True, False])
def test_a_base_with_a_src_layout_is_not_head_under_another_name(comparison, monkeypatch, installed):
    folder = comparison.pytester.path
    git(folder, "init", "--quiet")
    (folder / "src" / "app").mkdir(parents=True)
    for name, text in (("__init__.py", ""), ("__main__.py", QUICK)):
        (folder / "src" / "app" / name).write_text(text)
    git(folder, "add", "src")
    git(folder, "commit", "--quiet", "--message", "quick")
    (folder / "src" / "app" / "__main__.py").write_text(SLOW)
    # As an installation for development does, or as a user says it.
    source = str(folder / "src") if installed else "src"
    if installed:
        monkeypatch.setenv("PYTHONPATH", source)
    options = () if installed else (f"--perf-env=PYTHONPATH={source}",)
    target = f"command:{shlex.quote(sys.executable)} -m app --fd {{fd}}"
    comparison.gate("--perf-against=HEAD", *options, target=target).assert_outcomes(failed=1)
    (result,) = results_file.read(comparison.results() / results_file.RESULTS).scenarios
    assert (result.verdict, result.faults) == (Verdict.FAIL, ())


DIES = """
import os, sys
from tailgate.harness.testing.fake_server import FakeServer, main
answer, left = FakeServer._predict, [{answers}]
async def die(self):
    if not left.pop():
        os._exit(7)
    return await answer(self)
FakeServer._predict = die
main(sys.argv[1:])
"""


def test_a_server_that_dies_under_load_makes_the_comparison_invalid(comparison):
    # The rehearsal's first answer and the load that finds the gap come before any block, in starts of their own.
    dying = comparison.server(DIES.format(answers="0, 1"))
    result = comparison.gate(f"--perf-against={fake_server_spec(QUICK_MS)}", target=dying)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: head's server died under load.*"])


def test_a_head_whose_first_answer_is_wrong_where_bases_is_right_fails_without_load(comparison):
    broken = comparison.server(
        "import sys\nfrom http import HTTPStatus\nfrom tailgate.harness.testing import fake_server\n"
        "async def fail(self):\n    return fake_server.answer_of(HTTPStatus.INTERNAL_SERVER_ERROR, b'no model')\n"
        "fake_server.FakeServer._predict = fail\nfake_server.main(sys.argv[1:])\n"
    )
    good = fake_server_spec(QUICK_MS)
    result = comparison.gate(f"--perf-against={good}", target=broken)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["FAIL: *ase answers well, and head does not: no load was sent after this first*"]
    )
    kept = results_file.read(comparison.results() / results_file.RESULTS)
    assert (kept.verdict, kept.slots, kept.scenarios[0].comparison) == (Verdict.FAIL, (), None)
    assert "POST /predict: 500 Internal Server Error" in kept.scenarios[0].refused
    assert {arm.name: [one.status for one in arm.preflight] for arm in kept.arms} == {
        "head": [500],
        "base": [200],
    }


def test_a_base_whose_first_answer_is_wrong_makes_the_comparison_invalid(comparison):
    broken = comparison.server(DIES.format(answers="0"))
    result = comparison.gate(f"--perf-against={broken}", target=fake_server_spec(QUICK_MS))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: Base (command:*"])


def test_without_a_base_a_scenario_for_comparisons_is_left_out(comparison):
    result = comparison.gate("-v")
    assert "tiny" not in "".join(line for line in result.outlines if line.startswith("perf: "))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--perf-against=gone"], "*base: 'gone' is not a revision of the repository at *"),
        (["--perf-against=.", "--perf-lens=p96=1%"], "*there is no lens 'p96'*"),
        (["--perf-against=.", "--perf-blocks=0"], "*--perf-blocks: expected a whole number from 1 on*"),
        (["--perf-against=.", "--perf-processors=99999"], "*--perf-processors=99999: there are *"),
        (
            ["--perf-against=.", "--perf-blocks=3"],
            "*--perf-blocks: 3 blocks end before the first look, which needs 12 good ones*",
        ),
        (
            ["--perf-against=.", "--perf-against-python=x"],
            "*--perf-against-python is for a revision of the service*",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(comparison, arguments, words):
    result = comparison.gate(*arguments, target=fake_server_spec(QUICK_MS))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert not comparison.pytester.path.joinpath(".perf").exists()


@pytest.fixture
def tailgate(monkeypatch, capsys):
    """Return a function that runs the command, and gives its status and what it said."""

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["tailgate", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, capsys.readouterr()

    return run_command


def test_the_command_refuses_what_cannot_be_compared_without_a_report(comparison, tailgate):
    for arguments, words in (
        (["gone"], "ERROR: base: 'gone' is not a revision of the repository at "),
        ([".", "--scenario=gone"], "ERROR: --perf-scenario: there is no scenario 'gone'; "),
        ([".", "--tracing=x"], "ERROR: usage: "),
        ([".", "-k", "nothing"], ""),
        ([".", ".", "."], "tailgate: expected tailgate compare BASE [HEAD] [OPTION ...], got 3 sides: . . ."),
        (
            ["--blocks", "12"],
            "tailgate: expected tailgate compare BASE [HEAD] [OPTION ...], got 0 sides: none",
        ),
    ):
        status, said = tailgate("compare", *arguments, "--plugin=tiny.py")
        assert (status, "performance gate" in said.out) == (2, False)
        assert said.err.startswith(words)
    assert not comparison.pytester.path.joinpath(".perf").exists()


FIVE = "[pytest]\nperf_seed = five"


@pytest.mark.parametrize(
    ("command", "name", "text"),
    [
        (("calibrate",), "pytest.ini", FIVE),
        (("compare", "."), "pytest.ini", FIVE),
        (("compare", "."), "tox.ini", FIVE),
        (("compare", "."), "setup.cfg", "[tool:pytest]\nperf_seed = five"),
        (("compare", "."), "pyproject.toml", "[tool.pytest.ini_options]\nperf_seed = 'five'"),
        (("compare", "."), "pytest.ini", "[pytest]\naddopts = --perf-seed=five"),
        (("compare", "."), "tox.ini", "[pytest]\naddopts = --perf-seed five -m 'not perf'"),
        (("compare", "."), None, ""),
    ],
)
def test_the_commands_read_what_pytest_reads(comparison, tailgate, monkeypatch, command, name, text):
    comparison.pytester.path.joinpath("tox.ini").unlink()
    if name is None:
        monkeypatch.setenv("PYTEST_ADDOPTS", "--perf-seed=five")
    else:
        comparison.pytester.path.joinpath(name).write_text(text)
    status, said = tailgate(*command, "--plugin=tiny.py")
    assert status == 2
    assert said.err.startswith("ERROR: --perf-seed: expected a whole number from 0 on, got 'five'")


def test_the_command_lists_the_options_that_can_follow(tailgate):
    status, said = tailgate("compare", "--help")
    assert status == 0
    assert said.out.startswith("Usage: tailgate compare [OPTIONS] [BASE [HEAD]]")
    assert "--time-limit <" in said.out
    assert "--against <" not in said.out


def test_the_command_compares_and_can_judge_again(comparison, tailgate):
    status, said = tailgate(
        "compare",
        fake_server_spec(QUICK_MS),
        slow_spec(),
        "--plugin=tiny.py",
        "--payloads=file:body.txt",
        "--seed=1",
    )
    assert status == 1
    assert "\nFAIL: p50 as the test has it.\n" in said.out
    assert (
        "\nreproduce tiny: PERF_PLUGINS='' pytest --pyargs tailgate.scenarios --perf-scenario=tiny -m perf "
        in said.out
    )
    assert "\ntiny: block 1 is good (" in said.out
    # The real judge finds one block too few for any look.
    status, said = tailgate("judge", str(comparison.results()))
    assert status == 4
    assert said.out.startswith("INCONCLUSIVE: 1 good blocks so far")


@pytest.mark.parametrize(("option", "status"), [((), 4), (("--inconclusive=pass",), 0)])
def test_judging_again_ends_as_the_run_would_have(comparison, tailgate, option, status):
    spec = fake_server_spec(QUICK_MS)
    tailgate("compare", spec, spec, "--plugin=tiny.py", "--payloads=file:body.txt", *option)
    assert tailgate("judge", str(comparison.results()))[0] == status


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyboardInterrupt, "INCONCLUSIVE: 1 good blocks so far"),
        (ZeroDivisionError("a defect"), "INCONCLUSIVE: 1 good blocks so far"),
        (TargetError("head: it did not become ready"), "INVALID: head: it did not become ready."),
    ],
)
def test_a_comparison_that_is_cut_short_keeps_its_blocks_to_be_judged(
    comparison, tailgate, monkeypatch, error, says
):
    measure, measured = compare.measure_block, []

    def first_only(plan, bench):
        if measured:
            raise error
        measured.append(measure(plan, bench))
        return measured[0]

    monkeypatch.setattr(compare, "measure_block", first_only)
    monkeypatch.setattr(run, "judge", judge)
    spec = fake_server_spec(QUICK_MS)
    status, said = tailgate("compare", spec, spec, "--plugin=tiny.py", "--payloads=file:body.txt")
    assert status == (130 if error is KeyboardInterrupt else 3)
    assert "\nINVALID: " in said.out
    kept = results_file.read(comparison.results() / results_file.RESULTS)
    assert (kept.verdict, len(kept.scenarios[0].comparison.order)) == (Verdict.INVALID, 1)
    assert [slot.arm for slot in kept.slots] in (["base", "head"], ["head", "base"])
    status, said = tailgate("judge", str(comparison.results()))
    assert status == (4 if says.startswith("INCONCLUSIVE") else 3)
    assert said.out.startswith(says)
    assert ("stopped: before its end: " in said.out) is says.startswith("INCONCLUSIVE")


def test_a_key_pressed_after_the_last_block_loses_no_comparison(comparison, tailgate, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(session.ledger, "recall", interrupted)
    spec = fake_server_spec(QUICK_MS)
    status, _ = tailgate("compare", spec, spec, "--plugin=tiny.py", "--payloads=file:body.txt")
    assert status == 130
    kept = results_file.read(comparison.results() / results_file.RESULTS)
    assert kept.verdict is Verdict.INVALID
    assert len(kept.scenarios[0].comparison.order) == 1


TWO = SCENARIO.replace(
    "    return [ComparisonLoad",
    """    closed = ComparisonLoad("closed", "cannot be compared", (Phase("load", ClosedLoop(4, 5.0), requests=20),), ())
    other = ComparisonLoad("other", "wants what nobody has", phases, (), source="nothing")
    return [closed, other, ComparisonLoad""",
).replace("import Constant", "import ClosedLoop, Constant")


def test_all_scenarios_are_checked_before_any_runs(comparison, tailgate):
    comparison.pytester.path.joinpath("tiny.py").write_text(TWO)
    spec = fake_server_spec(QUICK_MS)
    status, said = tailgate("compare", spec, spec, "--plugin=tiny.py", "--scenario=tiny", "--scenario=closed")
    assert status == 2
    assert said.err.startswith("ERROR: scenario 'closed' cannot be compared: ")
    status, said = tailgate("compare", spec, spec, "--plugin=tiny.py", "--scenario=tiny", "--scenario=other")
    assert status == 2
    assert said.err.startswith("ERROR: no plugin knows the payloads 'nothing'; ")
    assert not comparison.pytester.path.joinpath(".perf").exists()
