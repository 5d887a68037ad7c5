"""A run of the gate as its users see it: pytest in a project of their own, against a server without a model."""

import re
import xml.etree.ElementTree as ET

import pytest
from users_tests import USERS_TESTS

from tailgate.harness.observe import machine
from tailgate.harness.report.markdown import SUMMARY
from tailgate.harness.results import file as results_file
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target
from tailgate.harness.testing import fake_server_spec

DIES_AT_START = "import sys; sys.exit('no weights in this folder')"
DIES_UNDER_LOAD = """
import os
from tailgate.harness.testing import fake_server

class Dying(fake_server.FakeServer):
    served = 0

    async def _predict(self):
        Dying.served += 1
        if Dying.served > 20:
            print("the memory is used up", flush=True)
            os._exit(9)
        return await super()._predict()

fake_server.FakeServer = Dying
fake_server.main()
"""


def lines_after(result, title):
    """Return what was printed after a line that holds this."""
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if title in line)
    return lines[start + 1 :]


def test_a_scenario_of_a_users_own_file_is_run_and_passes(project):
    result = project.gate("-v", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "perf: target command:*, profile default, scenarios tiny",
            "target command:*: waiting until it is ready",
            "tiny: phase warm-up, 3 requests at *",
            "tiny: phase load, 90 requests at *",
            "tiny: PASS: All 3 criteria hold*",
            "*test_scenario[[]tiny[]] PASSED*",
        ]
    )
    assert lines_after(result, " performance gate ")[0].startswith("PASS: All 3 criteria hold")
    run = results_file.read(project.results() / results_file.RESULTS)
    assert run.verdict is Verdict.PASS
    assert run.settings["seed"] == 1
    assert [slot.samples for slot in run.slots] == ["tiny-head-0/samples.bin"]
    assert (project.results() / run.slots[0].samples).is_file()
    assert (project.results() / SUMMARY).read_text().startswith("# PASS")
    properties = junit_properties(project)
    assert properties["perf.verdict"] == "PASS"
    assert properties["perf.seed"] == "1"
    assert properties["perf.p95 (server).verdict"] == "PASS"


def junit_properties(project):
    (case,) = ET.parse(project.pytester.path / "junit.xml").iter("testcase")
    return {item.get("name"): item.get("value") for item in case.iter("property")}


def test_a_server_that_is_slower_than_its_load_turns_the_gate_red_and_names_what_moved(project):
    project.scenarios("tiny", limit_s=0.3)
    result = project.gate("--junitxml=junit.xml", service_time_ms=10.0)
    result.assert_outcomes(failed=1)
    block = " ".join(lines_after(result, " performance gate "))
    assert re.match(
        r"FAIL: p95 \(\w+\) is at least \S+ ms, and the limit is \S+ ms\. 1 further criterion ", block
    )
    assert "FAILURES" not in result.stdout.str()
    (failed,) = lines_after(result, " short test summary info ")[:-1]
    assert failed.startswith("FAILED ")
    run = results_file.read(project.results() / results_file.RESULTS)
    assert {item.name: item.verdict for item in run.scenarios[0].criteria} == {
        "p95 (client)": Verdict.FAIL,
        "p95 (server)": Verdict.FAIL,
        "error_rate (client)": Verdict.PASS,
    }
    assert junit_properties(project)["perf.verdict"] == "FAIL"


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ([], {"failed": 1}),
        (["--perf-inconclusive=warn"], {"passed": 1}),
    ],
)
def test_an_inconclusive_scenario_does_what_the_option_says(project, arguments, outcome):
    """40 requests cannot show a p95: from 90 on they can."""
    project.scenarios("tiny", requests=40)
    result = project.gate(*arguments)
    result.assert_outcomes(**outcome)
    after = lines_after(result, " performance gate ")
    assert after[0].startswith("INCONCLUSIVE: p95 (")
    let_pass = "WARNING: tiny: INCONCLUSIVE fails no test (--perf-inconclusive=warn)"
    assert (let_pass in after) == ("passed" in outcome)


def test_a_server_that_dies_at_start_is_tried_once_and_its_log_is_shown(project):
    project.scenarios("one", "two")
    result = project.gate(target=project.server(DIES_AT_START))
    result.assert_outcomes(failed=2)
    text = "\n".join(lines_after(result, " performance gate "))
    assert text.startswith("INVALID: one: ")
    assert text.count("no weights in this folder") == 1
    assert "ended with exit status 1" in text
    assert "\n  the target failed before and was not tried again\n" in text
    assert "FAILURES" not in result.stdout.str()
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [scenario.verdict for scenario in run.scenarios] == [Verdict.INVALID, Verdict.INVALID]


def test_a_server_that_dies_under_load_makes_the_scenario_invalid_and_the_next_one_has_a_fresh_server(
    project,
):
    """18 requests each: the second scenario meets the 21st, and the third a server that does not die again."""
    project.scenarios("one", "three", "two", requests=15)
    project.pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            items.sort(key=lambda item: ["one", "two", "three"].index(item.callspec.id))
        """
    )
    result = project.gate("--perf-enforce=measurement", target=project.server(DIES_UNDER_LOAD))
    result.assert_outcomes(passed=2, failed=1)
    told = lines_after(result, " performance gate ")
    assert told[0] == "INVALID: two: the server died under load."
    assert told[1:4] == ["", "two: INVALID", "  its log ends:"]
    assert "the memory is used up" in told[4]
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [(slot.scenario, slot.start) for slot in run.slots] == [("one", 1), ("two", 1), ("three", 2)]


def test_what_voids_a_scenario_is_said_once_and_not_for_each_criterion(project):
    result = project.gate(target=project.server(DIES_UNDER_LOAD))
    run = results_file.read(project.results() / results_file.RESULTS)
    result.assert_outcomes(failed=1)
    assert [item.reason for item in run.scenarios[0].criteria if "died" in item.reason] == []
    assert {item.verdict for item in run.scenarios[0].criteria} == {Verdict.INVALID}


def test_an_address_without_metrics_leaves_out_the_servers_criteria_and_says_so(project, tmp_path):
    with parse_target(fake_server_spec(1.0), TargetSettings()).start(tmp_path) as running:
        result = project.gate("-v", "--perf-metrics-path=", target=running.base_url)
        assert running.alive()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["PASS: All 2 criteria hold*", "*metrics=none: the server's criteria are left*"]
    )
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [item.name for item in run.scenarios[0].criteria] == ["p95 (client)", "error_rate (client)"]
    assert run.arms[0].facts == {"metrics": "none: the server's criteria are left out"}


def test_a_histogram_that_is_left_out_leaves_out_the_servers_latency_and_says_so(project):
    result = project.gate("--perf-metric=request_seconds=")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["PASS: All 2 criteria hold*"])
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [item.name for item in run.scenarios[0].criteria] == ["p95 (client)", "error_rate (client)"]
    assert (
        run.arms[0].facts["metrics"] == "no histogram of request seconds: the server's latency is not judged"
    )


def test_metrics_that_are_not_where_they_should_be_are_an_error_that_says_what_to_do(project):
    result = project.gate("--perf-metrics-path=/nowhere")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: No metrics from http*/nowhere: status 404*"])
    assert "--perf-metrics-path= (empty)" in " ".join(result.outlines)


def test_a_budget_that_nobody_asks_for_is_pointed_out(project):
    project.pytester.path.joinpath("budgets.toml").write_text('"tiny" = { p59 = "1 s" }')
    result = project.gate()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no scenario asks for the budget tiny.p59: is it misspelt?"])


def test_a_scenario_is_not_repeated_until_it_passes(project):
    project.pytester.makepyfile(
        USERS_TESTS.replace(
            "perf_gate.check(perf_scenario)", "[perf_gate.check(perf_scenario) for _ in 'ab']"
        )
    )
    result = project.run("-m", "perf and not x")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["scenario 'tiny' has been run in this session: a gate is not repeated *"])


def test_a_test_of_a_users_own_is_reproduced_by_its_node_and_has_its_properties(project):
    project.pytester.makepyfile(test_own=USERS_TESTS)
    result = project.run("-v", "-m", "perf and x", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.fnmatch_lines(
        ["reproduce own: *pytest test_own.py::test_under_load -m perf --perf-seed=1 *"]
    )
    assert junit_properties(project)["perf.verdict"] == "PASS"


def test_two_runs_at_once_are_refused(project):
    project.pytester.makepyfile(
        """
        import pytest
        from filelock import FileLock

        @pytest.fixture(scope="session", autouse=True)
        def another_run(tmp_path_factory):
            import pathlib
            pathlib.Path(".perf").mkdir()
            with FileLock(".perf/lock"):
                yield

        @pytest.mark.perf
        def test_x(perf_gate):
            pass
        """
    )
    result = project.run("-m", "perf")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["another run holds *lock: two runs at once would disturb each other*"])


def test_without_cuda_a_gate_that_wants_it_is_skipped_with_the_reason(project, monkeypatch):
    monkeypatch.setattr(machine, "cuda_devices", lambda: 0)
    result = project.gate("-rs", "--perf-env=TAILGATE_DEVICE=cuda")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*TAILGATE_DEVICE=cuda, and the driver finds no CUDA device*"])
    demanded = project.gate("--perf-env=TAILGATE_DEVICE=cuda", "--perf-require-device")
    demanded.assert_outcomes(errors=1)


def test_a_target_whose_first_answer_is_wrong_gets_no_load_and_the_option_that_mends_it_is_said(project):
    project.scenarios("one", "two")
    result = project.gate("--perf-request=POST /gone")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "INVALID: one: no load was sent after this first answer: POST /gone: 404 Not*",
            "two: INVALID",
            "  the target failed before and was not tried again",
        ]
    )
    assert "--perf-request='METHOD PATH'" in " ".join(lines_after(result, " performance gate "))
    kept = results_file.read(project.results() / results_file.RESULTS)
    assert (kept.slots, [one.status for one in kept.arms[0].preflight]) == ((), [404])


def test_the_first_answers_stand_in_the_report_and_are_asked_once(project):
    project.scenarios("one", "two")
    result = project.gate("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*first answer to POST /predict: 200 OK, application/json, 2 bytes, * ms: {}*"]
    )
    (arm,) = results_file.read(project.results() / results_file.RESULTS).arms
    assert [(one.payload, one.status, one.said) for one in arm.preflight] == [("body.txt", 200, "{}")]


OPEN = """
from tailgate import Criterion, Phase, Poisson, Ref, Scenario, hookimpl

@hookimpl
def tailgate_scenarios(profile):
    load = Phase("load", Poisson(Ref("rate")), requests=90)
    criteria = (Criterion("p50", Ref("p50"), ("load",)), Criterion("error_rate", Ref("error_rate"), ("load",)))
    late = Phase("load", Poisson(Ref("rate")), duration_s=Ref("length"))
    return [Scenario("open", "no number", (load,), criteria), Scenario("long", "a length, too", (late,), ())]
"""


def test_without_any_budgets_a_run_reports_numbers_and_a_second_one_judges_by_those_that_it_proposes(project):
    folder = project.pytester.path
    folder.joinpath("tiny.py").write_text(OPEN)
    result = project.gate("--perf-metrics-path=/nothing", "--perf-metrics-path=")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE: p50 (client), error_rate (client): no budget says what is allowed.",
            "*No limit was judged. Budgets to start from*",
            "no budgets are written: left out long, whose load they must say",
        ]
    )
    (made,) = results_file.read(project.results() / results_file.RESULTS).scenarios
    assert [(one.limit, one.value is not None) for one in made.criteria] == [(None, True)] * 2
    assert made.proposal.startswith('"open" = { rate = "')
    assert made.proposal in result.outlines
    assert made.proposal in (project.results() / SUMMARY).read_text()
    folder.joinpath("budgets.toml").write_text(made.proposal)
    again = project.gate("--perf-metrics-path=", "--perf-scenario=open", "--perf-output=again")
    (judged,) = results_file.read(next(folder.glob("again/*Z-*")) / results_file.RESULTS).scenarios
    assert all(one.limit is not None for one in judged.criteria)
    assert judged.proposal == ""
    assert "no budget" not in again.stdout.str()


def test_a_first_answer_that_is_not_what_is_expected_fails_without_load(project):
    result = project.gate("--perf-expect=json:$.label=cat")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAIL: *"])
    kept = results_file.read(project.results() / results_file.RESULTS)
    (scenario,) = kept.scenarios
    assert (scenario.verdict, kept.slots) == (Verdict.FAIL, ())
    assert "$.label" in scenario.refused
    assert [one.status for one in kept.arms[0].preflight] == [200]


def test_a_first_run_leaves_out_metrics_that_nobody_has_named(project):
    project.pytester.path.joinpath("tiny.py").write_text(OPEN)
    bare = project.server(
        "import sys\nfrom tailgate.harness.testing import fake_server\n"
        "answer = fake_server.FakeServer.answer\n"
        "async def bare(self, method, path):\n    return await answer(self, method, path.replace('metrics', 'none'))\n"
        "fake_server.FakeServer.answer = bare\nfake_server.main(sys.argv[1:])\n"
    )
    project.gate(target=bare).stdout.fnmatch_lines(["INCONCLUSIVE: p50 (client), error_rate*"])
    named = project.gate("--perf-metrics-path=/metrics", "--perf-output=named", target=bare)
    named.stdout.fnmatch_lines(["INVALID: No metrics from *"])


def test_a_first_run_that_names_a_scenario_whose_load_cannot_be_found_is_refused(project):
    project.pytester.path.joinpath("tiny.py").write_text(OPEN)
    result = project.gate("--perf-scenario=long")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: scenario 'long' lacks budgets; write into *"])
