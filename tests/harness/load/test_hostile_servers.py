"""The whole gate against servers that do one thing wrong: a clear end, never PASS, no orphan, raw samples kept."""

import shlex
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import LoadError, MeasurementError
from tailgate.harness.load import Generator, LoadSettings
from tailgate.harness.load.generator import started
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, Outcome, read_samples
from tailgate.harness.results import file as results_file
from tailgate.harness.results.fault import Cause
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.asking import exposition as scrape

SERVER = Path(__file__).parents[1] / "hostile_server.py"
WARM_UP, LOAD = 3, 90  # requests of the scenario


def spec(wrong):
    words = [sys.executable, "-P", str(SERVER), "--fd", "{fd}", "--wrong", wrong]
    return "command:" + " ".join(shlex.quote(word) for word in words)


def run(project, wrong, timeout_s=60.0):
    """Run the gate in this process; return its output, the scenario's result, and the samples of the disk."""
    before = psutil.Process().children(recursive=True)
    output = project.gate(f"--perf-request-timeout={timeout_s}", target=spec(wrong))
    assert psutil.Process().children(recursive=True) == before
    output.assert_outcomes(failed=1)
    (result,) = results_file.read(project.results() / results_file.RESULTS).scenarios
    return output.stdout.str(), result, read_samples(project.results() / "tiny-head-0" / "samples.bin")


@pytest.mark.parametrize(
    ("wrong", "outcome"),
    [
        ("hangs", Outcome.TIMEOUT),
        ("garbage", Outcome.MALFORMED),
        ("closes", Outcome.RESET),
        ("resets", Outcome.RESET),
        ("too-short", Outcome.RESET),
        ("too-long", Outcome.MALFORMED),
        ("endless-headers", Outcome.TIMEOUT),
    ],
)
def test_a_server_that_does_not_answer_as_http_says_never_passes(project, wrong, outcome):
    # Who is to time out does it soon; nobody else is made to by a busy machine.
    output, result, samples = run(project, wrong, 0.7 if outcome is Outcome.TIMEOUT else 60.0)
    assert result.verdict in {Verdict.FAIL, Verdict.INVALID}
    assert len(samples) == WARM_UP + LOAD
    assert set(samples["outcome"]) == {outcome}
    (errors,) = [item for item in result.criteria if item.measure == "error_rate"]
    assert errors.value == 1.0
    assert "error_rate" in output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("metrics-renamed", "vanished from the metrics: did the server restart?"),
        ("metrics-reset", "fell, from"),
        ("metrics-garbage", "the metrics are not a Prometheus text exposition"),
        ("metrics-error", "status 500, expected 200"),
        ("metrics-endless", "its answer does not end"),
    ],
)
def test_metrics_that_change_under_load_make_the_run_invalid_and_say_how(project, wrong, said):
    _, result, samples = run(project, wrong)
    assert result.verdict is Verdict.INVALID
    assert said in result.faults[0].text
    # The phase after which the metrics were read is on the disk.
    assert len(samples) >= WARM_UP


def test_a_server_that_dies_under_load_is_named_before_all_that_comes_of_it(project):
    output, result, samples = run(project, "dies")
    assert result.verdict is Verdict.INVALID
    assert result.faults[0].text.startswith("the server died under load")
    assert "The server died under load" in output
    assert 20 <= len(samples) <= WARM_UP + LOAD


@pytest.mark.parametrize(
    ("limit", "value"), [("LARGEST_BYTES", 10), ("LONGEST_S", -1.0)], ids=["too large", "too long"]
)
def test_metrics_without_an_end_are_given_up(monkeypatch, limit, value):
    monkeypatch.setattr(scrape, limit, value)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x 1\n" * 10))
    with (
        httpx.Client(transport=transport) as client,
        pytest.raises(MeasurementError, match="its answer does not end; 40 bytes so far"),
    ):
        scrape.get(client, "http://127.0.0.1:1/metrics")


def test_a_full_disk_is_said_when_the_samples_are_begun(tmp_path):
    with pytest.raises(LoadError, match="cannot write samples to /dev/full: No space left on device"):
        Recorder(Path("/dev/full"))


def test_a_disk_that_fills_up_ends_the_load_and_keeps_what_is_on_it(tmp_path):
    phase = Phase("load", Constant(1_000.0), requests=400)
    plan = draw_plan(Scenario("s", "d", (phase,), ()), [Payload("a", b"", "", path="/a")], 1)
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generator(plan, LoadSettings("127.0.0.1", server.port), tmp_path) as generator,
    ):
        (process,) = psutil.Process().children()
        # Of the generator alone: this process may be printing to a file that is larger already.
        process.rlimit(psutil.RLIMIT_FSIZE, (8_192, 8_192))
        with pytest.raises(LoadError, match=r"cannot write samples to .*samples.bin: File too large"):
            generator.run_phase(0)
    samples = read_samples(tmp_path / "samples.bin")
    assert len(samples) == (8_192 - len(SAMPLE_FILE.header())) // SAMPLE.itemsize
    assert set(samples["outcome"]) == {Outcome.OK}
    assert not psutil.Process().children()


def test_a_disk_that_is_full_from_the_start_ends_the_run_as_invalid(project, monkeypatch):
    def started_on_a_full_disk(command, log, further):
        (log.parent / "samples.bin").symlink_to("/dev/full")
        return started(command, log, further)

    monkeypatch.setattr("tailgate.harness.load.generator.started", started_on_a_full_disk)
    project.gate(service_time_ms=1.0).assert_outcomes(failed=1)
    (result,) = results_file.read(project.results() / results_file.RESULTS).scenarios
    assert (result.verdict, result.faults[0].cause) == (Verdict.INVALID, Cause.INTEGRITY)
    assert "No space left on device" in result.faults[0].text
