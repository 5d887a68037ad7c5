"""The gate with many generators: one verdict, a report that names them, and a refusal before anything is started."""

import pytest

from tailgate.harness.observe import slot_file


def test_a_gate_with_many_generators_has_one_verdict_and_names_them(project):
    result = project.gate("--perf-scenario=tiny", "--perf-generators=processes:2")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*2 generators sent the requests, which have one clock: process-1, process-2*"]
    )
    slot = slot_file.read(project.results() / "tiny-head-0")
    assert [phase.samples["request"].tolist() for phase in slot.phases] == [[*range(3)], [*range(90)]]
    assert [part.requests for part in slot.reports[1].parts] == [45, 45]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("processes:many", "*'processes:many': expected processes:N with a number from 1 to 1000*"),
        ("cloud:3", "*no plugin knows the generators 'cloud:3'; expected processes:N or ssh:HOST*"),
    ],
)
def test_generators_that_nobody_knows_are_refused_before_anything_is_started(project, spec, told):
    result = project.gate("--perf-scenario=tiny", f"--perf-generators={spec}")
    result.stderr.fnmatch_lines([told])
    assert not list(project.pytester.path.glob(".perf/*Z-*"))
