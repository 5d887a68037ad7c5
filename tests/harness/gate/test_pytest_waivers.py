"""Waivers in a run of the gate as its users see it."""

import pytest

from tailgate.harness.results import file as results_file
from tailgate.harness.results.verdict import Verdict

ENTRY = """
[[waiver]]
scenario = "tiny"
criterion = "p95 ({witness})"
limit = "600 s"
reason = "answers are signed"
who = "Ada"
expires = {expires}
"""
# No service that works for 2 ms keeps it.
TOO_SHORT_S = 0.001


@pytest.fixture
def waived(project):
    """Return a function that accepts what these witnesses see until a day."""

    def write(*witnesses, expires="9999-12-31"):
        text = "".join(ENTRY.format(witness=one, expires=expires) for one in witnesses)
        project.pytester.path.joinpath("waivers.toml").write_text(text)
        return project

    return write


def test_a_run_whose_failures_are_all_waived_passes_and_its_verdict_stays(waived):
    project = waived("client", "server")
    project.scenarios("tiny", limit_s=TOO_SHORT_S)
    result = project.gate()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "PASS with waiver: tiny: p95 (client) is FAIL, accepted up to 600 s until*",
            "tiny: FAIL fails no test (waivers.toml): p95 (client) is FAIL*",
        ]
    )
    run = results_file.read(project.results() / results_file.RESULTS)
    assert run.verdict is Verdict.FAIL
    assert [one.value for one in run.scenarios[0].waivers] == [600.0, 600.0]


def test_a_failure_without_a_waiver_fails_and_the_waived_one_is_told_beside_it(waived):
    project = waived("client")
    project.scenarios("tiny", limit_s=TOO_SHORT_S)
    result = project.gate()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAIL: *", "*waived: p95 (client) is FAIL, accepted up to 600 s*"])


def test_a_waiver_that_is_not_needed_fails_the_run_in_words(waived):
    result = waived("client").gate()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*p95 (client) of tiny PASSes without its waiver (answers are signed): remove it from*"]
    )


def test_a_waiver_that_has_expired_ends_pytest_before_anything_is_started(waived):
    project = waived("client", expires="2026-01-01")
    result = project.gate()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*waiver 1 (tiny, p95 (client)) expired on 2026-01-01: remove it*"])
    assert not list(project.pytester.path.glob(".perf/*Z-*"))
