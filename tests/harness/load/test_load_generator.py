"""The generator as a process of its own: it ends with its parent, and says why when it fails."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import LoadError, MeasurementError, UsageError
from tailgate.harness.load import Generator, LoadSettings, Scheduling, TimerMode
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

PAYLOAD = Payload("a", b"body", "text/plain", path="/a")


def plan_of(*phases, payloads=(PAYLOAD,)):
    return draw_plan(Scenario("sample", "for tests", phases, ()), payloads, 1)


SHORT = plan_of(
    Phase("warm-up", Constant(100.0), requests=10, measured=False),
    Phase("steady", Constant(500.0), requests=300),
)
LONG = plan_of(Phase("long", Constant(20.0), duration_s=600.0))


def children():
    return psutil.Process().children()


def test_phases_run_on_command_and_their_samples_are_kept(tmp_path):
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generator(SHORT, LoadSettings("127.0.0.1", server.port), tmp_path / "new") as generator,
    ):
        warm_up = generator.run_phase(0)
        assert len(server.requests) == 10
        assert len(generator.samples()) == 10
        steady = generator.run_phase(1)
        samples = generator.samples()
    assert (warm_up.name, warm_up.ok, steady.name, steady.ok) == ("warm-up", 10, "steady", 300)
    assert samples["phase"].tolist() == [0] * 10 + [1] * 300
    assert steady.timer is TimerMode.SLEEP
    assert 0 <= steady.lag.p50_s <= steady.lag.p99_s <= steady.lag.max_s
    assert 0 < steady.utilisation <= 1
    assert steady.cpu_s > 0
    assert generator.samples().tobytes() == samples.tobytes()
    assert not children()


def test_a_processor_of_its_own_makes_it_spin(tmp_path):
    processor = min(os.sched_getaffinity(0))
    with ScriptedServer({"/a": [OK]}) as server:
        settings = LoadSettings("127.0.0.1", server.port, processor=processor)
        with Generator(SHORT, settings, tmp_path) as generator:
            (child,) = children()
            assert child.cpu_affinity() == [processor]
            report = generator.run_phase(0)
    assert (report.timer, report.processor, report.ok) == (TimerMode.SPIN, processor, 10)


def test_a_processor_that_does_not_exist_is_named(tmp_path):
    with ScriptedServer({"/a": [OK]}) as server:
        settings = LoadSettings("127.0.0.1", server.port, processor=4095)
        with pytest.raises(LoadError, match="cannot run the generator on processor 4095"):
            Generator(SHORT, settings, tmp_path).__enter__()
    assert not children()


def test_a_server_that_is_not_there_is_an_error_of_the_load(tmp_path):
    with ScriptedServer({}) as server:
        pass
    with pytest.raises(LoadError, match=f"cannot connect to 127.0.0.1:{server.port}"):
        Generator(SHORT, LoadSettings("127.0.0.1", server.port), tmp_path).__enter__()
    assert not children()


def test_a_payload_that_cannot_be_sent_is_refused_before_anything_starts(tmp_path):
    plan = plan_of(Phase("p", Constant(1.0), requests=1), payloads=[Payload("a", b"", "", method="HEAD")])
    with pytest.raises(UsageError, match="expected a method in capitals"):
        Generator(plan, LoadSettings("127.0.0.1", 1), tmp_path / "new").__enter__()
    assert not (tmp_path / "new").exists()


def test_a_closed_loop_over_more_connections_than_are_opened_is_refused(tmp_path):
    plan = plan_of(Phase("probe", ClosedLoop(9), requests=10))
    with pytest.raises(UsageError, match=r"closed loop over 9 connections, but the generator opens 8"):
        Generator(plan, LoadSettings("127.0.0.1", 1, connections_max=8), tmp_path).__enter__()


@pytest.mark.parametrize("wanted", Scheduling)
def test_the_report_says_how_the_kernel_let_it_run(tmp_path, wanted):
    """Real-time priority is a privilege: where it is not given, the report says NORMAL."""
    with ScriptedServer({"/a": [OK]}) as server:
        settings = LoadSettings("127.0.0.1", server.port, scheduling=wanted)
        with Generator(SHORT, settings, tmp_path) as generator:
            (child,) = children()
            real_time = os.sched_getscheduler(child.pid) == os.SCHED_FIFO
            report = generator.run_phase(0)
    assert (report.scheduling is Scheduling.FIFO) == real_time
    assert wanted is Scheduling.FIFO or not real_time


def test_a_generator_that_dies_is_reported_with_its_log(tmp_path):
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generator(LONG, LoadSettings("127.0.0.1", server.port), tmp_path) as generator,
    ):
        (child,) = children()
        child.kill()
        with pytest.raises(LoadError, match=r"the load generator .*exit status -9.*its log ends:\n\(empty\)"):
            generator.run_phase(0)
        with pytest.raises(LoadError, match="is not running"):
            generator.run_phase(0)
    assert not children()


def test_the_end_of_the_log_is_quoted(tmp_path):
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generator(SHORT, LoadSettings("127.0.0.1", server.port), tmp_path) as generator,
    ):
        (tmp_path / "generator.log").write_text("Traceback: something went wrong")
        (child,) = children()
        child.kill()
        with pytest.raises(LoadError, match="something went wrong"):
            generator.run_phase(0)


def test_an_interruption_leaves_no_process_and_keeps_the_samples(tmp_path):
    class Interrupting(ScriptedServer):
        """Interrupts this process, as Ctrl-C does, once it has answered twenty requests."""

        answers = itertools.count(1)

        def _answer(self, *args):
            answered = super()._answer(*args)
            if next(self.answers) == 20:
                os.kill(os.getpid(), signal.SIGINT)
            return answered

    with Interrupting({"/a": [OK]}) as server:
        generator = Generator(LONG, LoadSettings("127.0.0.1", server.port), tmp_path)
        with pytest.raises(KeyboardInterrupt), generator:
            generator.run_phase(0)
        assert not children()
    samples = generator.samples()
    assert len(samples) > 0
    assert set(samples["outcome"]) == {Outcome.OK}


def test_a_killed_parent_takes_the_generator_with_it(tmp_path):
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import psutil
        from tailgate.harness.scenario.arrivals import Constant
        from tailgate.harness.load import Generator, LoadSettings
        from tailgate.harness.scenario.payloads.payload import Payload
        from tailgate.harness.scenario.plan import draw_plan
        from tailgate.harness.scenario.scenario import Phase, Scenario

        scenario = Scenario("s", "d", (Phase("long", Constant(20.0), duration_s=600.0),), ())
        plan = draw_plan(scenario, [Payload("a", b"", "", path="/a")], 1)
        with Generator(plan, LoadSettings("127.0.0.1", int(sys.argv[1])), Path(sys.argv[2])) as generator:
            print(psutil.Process().children()[0].pid, flush=True)
            generator.run_phase(0)
        """
    )
    with ScriptedServer({"/a": [OK]}) as server:
        command = [sys.executable, "-c", program, str(server.port), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
            child = psutil.Process(int(parent.stdout.readline()))
            parent.kill()
        child.wait(timeout=30)
    assert not child.is_running()


def test_there_are_no_samples_before_the_start(tmp_path):
    with pytest.raises(MeasurementError, match="no samples to read"):
        Generator(SHORT, LoadSettings("127.0.0.1", 1), tmp_path).samples()


def test_a_phase_begins_at_the_moment_that_it_is_given(tmp_path):
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generator(SHORT, LoadSettings("127.0.0.1", server.port), tmp_path) as generator,
    ):
        coming_ns = time.monotonic_ns() + 100_000_000
        coming = generator.run_phase(0, at_ns=coming_ns)
        passed_ns = time.monotonic_ns() - 1_000_000_000
        passed = generator.run_phase(1, at_ns=passed_ns)
        samples = generator.samples()
    assert (coming.start_ns, coming.ok) == (coming_ns, 10)
    first = samples[samples["phase"] == 0]
    assert first["intended_ns"].tolist() == [coming_ns + index * 10_000_000 for index in range(10)]
    assert (first["dispatched_ns"] >= first["intended_ns"]).all()
    # Of 600 ms of load all was due when the command came: it goes out, and the lag says how late that was.
    assert (passed.start_ns, passed.ok) == (passed_ns, 300)
    assert passed.lag.p50_s > 0.4


def test_a_phase_ends_when_another_thread_stops_the_generator(tmp_path):
    class Stopping(ScriptedServer):
        """Stops the generator from its own thread, once it has answered twenty requests."""

        answers = itertools.count(1)

        def _answer(self, *args):
            answered = super()._answer(*args)
            if next(self.answers) == 20:
                generator.stop()
            return answered

    with Stopping({"/a": [OK]}) as server:
        generator = Generator(LONG, LoadSettings("127.0.0.1", server.port), tmp_path)
        with generator, pytest.raises(LoadError, match="the load generator died"):
            generator.run_phase(0)
        assert not children()
    assert len(generator.samples()) > 0
    generator.stop()
