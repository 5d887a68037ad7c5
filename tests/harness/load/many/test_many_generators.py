"""Many generators as processes of their own: the record is that of one, and whoever is lost is named."""

import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import psutil
import pytest
from scripted_server import OK, ScriptedServer, target

from tailgate.harness.errors import LoadError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.many.engine import CommandEngine, built_in_engine
from tailgate.harness.load.many.generators import Generators
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.wire.request_id import request_id
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe import slot_file
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.results.fault import Cause
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant, Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.verdict.judging import judge_slot

PAYLOAD = Payload("a", b"body", "text/plain", path="/a")
TWO = built_in_engine("processes:2")
WORKER = [sys.executable, "-P", "-m", "tailgate.harness.load.worker"]


def plan_of(*phases):
    return draw_plan(Scenario("s", "for tests", phases, ()), [PAYLOAD], 1)


SHORT = plan_of(
    Phase("warm-up", Constant(100.0), requests=1, measured=False),
    Phase("steady", Poisson(500.0), requests=201),
    Phase("closed", ClosedLoop(3), requests=50),
)
LONG = plan_of(Phase("long", Constant(20.0), duration_s=600.0))


def children():
    return psutil.Process().children(recursive=True)


def settings(server, **changes):
    return LoadSettings("127.0.0.1", server.port, **changes)


def test_the_record_is_that_of_one_run_with_one_record_for_each_planned_request(tmp_path):
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generators(TWO, SHORT, settings(server, id_prefix="ab" * 8), tmp_path / "new") as generators,
    ):
        assert sorted(generators.pids) == sorted(child.pid for child in children())
        reports = [generators.run_phase(index) for index in range(3)]
        samples = generators.samples()
        asked = len(server.requests)
    assert asked == 252
    assert samples["phase"].tolist() == [0] + [1] * 201 + [2] * 50
    assert samples["request"].tolist() == [0, *range(201), *range(50)]
    assert set(samples["outcome"]) == {Outcome.OK}
    # Each was intended when the plan says, by one clock.
    steady = samples[samples["phase"] == 1]
    np.testing.assert_array_equal(steady["intended_ns"], reports[1].start_ns + SHORT.phases[1].offsets_ns)
    assert (steady["dispatched_ns"] >= steady["intended_ns"]).all()
    # The first request of a phase has no second one beside it: one generator sends it alone.
    assert [[part.requests for part in report.parts] for report in reports] == [[1], [101, 100], [16, 34]]
    assert [part.name for part in reports[1].parts] == ["process-1", "process-2"]
    assert reports[1].ok == 201
    # Connections of one generator are not those of the other.
    ours = [steady["connection"][worker::2] for worker in range(2)]
    assert not set(ours[0]) & set(ours[1])
    # Both have the clock of this process, and know it.
    assert {(part.schedule_error_s, part.drift, part.here) for part in reports[1].parts} == {(0.0, 0.0, True)}
    assert not (tmp_path / "new" / "parts").exists()
    assert not children()


def test_ids_are_those_of_a_run_by_one(tmp_path):
    class Heard(ScriptedServer):
        heard = []  # noqa: RUF012 - of one server

        def _answer(self, number, connection, reader):
            self.heard.append(reader.peek())
            return super()._answer(number, connection, reader)

    plan = plan_of(Phase("p", Constant(100.0), requests=5))
    with (
        Heard({"/a": [OK]}) as server,
        Generators(TWO, plan, settings(server, id_prefix="ab" * 8), tmp_path) as generators,
    ):
        generators.run_phase(0)
    for number in range(5):
        assert request_id("ab" * 8, 0, number).encode() in b"".join(server.heard)


def test_answers_are_kept_once_whoever_got_them(tmp_path):
    plan = plan_of(Phase("p", Constant(200.0), requests=20))
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generators(TWO, plan, settings(server), tmp_path) as generators,
    ):
        generators.run_phase(0)
        assert generators.samples()["answer"].tolist() == [1] * 20
    assert len((tmp_path / "answers.jsonl").read_bytes().splitlines()) == 1


def test_a_slot_of_many_generators_is_judged_and_judged_again_and_says_who_sent(tmp_path):
    phases = (Phase("load", Constant(200.0), requests=60),)
    scenario = Scenario("s", "for tests", phases, (Criterion("p95", 600.0, ("load",)),))
    slot = Slot(scenario, "head", block=0, start=1, seed=1)
    with ScriptedServer({"/a": [OK]}) as server:
        record = measure_slot(
            slot,
            draw_plan(scenario, [PAYLOAD], 1),
            target(server, metrics_url=None),
            settings(server),
            tmp_path,
            generate=functools.partial(Generators, TWO),
        )
    slot_file.write(record, tmp_path)
    for one in (record, slot_file.read(tmp_path)):
        judged = judge_slot(one, built_in_measures(), 0.99, "")
        assert [fault for fault in judged.faults if fault.cause is Cause.INTEGRITY] == []
        assert "2 generators sent the requests, which have one clock: process-1, process-2" in judged.notes


class Acting(ScriptedServer):
    """Does something, once it has answered twenty requests."""

    def __init__(self, act):
        super().__init__({"/a": [OK]})
        self._act = act
        self._answers = itertools.count(1)

    def _answer(self, *args):
        answered = super()._answer(*args)
        if next(self._answers) == 20:
            self._act()
        return answered


def test_a_generator_that_is_killed_makes_the_slot_invalid_with_its_name(tmp_path):
    def kill():
        os.kill(started[0].pids[1], signal.SIGKILL)

    def generate(*arguments):
        started.append(Generators(TWO, *arguments))
        return started[0]

    started = []
    phases = (Phase("long", Constant(100.0), duration_s=600.0),)
    scenario = Scenario("s", "for tests", phases, (Criterion("p95", 600.0, ("long",)),))
    slot = Slot(scenario, "head", block=0, start=1, seed=1)
    with Acting(kill) as server:
        record = measure_slot(
            slot,
            draw_plan(scenario, [PAYLOAD], 1),
            target(server, metrics_url=None),
            settings(server),
            tmp_path,
            generate=generate,
        )
    (fault,) = record.faults
    assert fault.cause is Cause.INTEGRITY
    assert "generator 'process-2' of processes:2 was lost" in fault.text
    assert not children()


def test_an_interruption_leaves_no_process(tmp_path):
    with Acting(lambda: os.kill(os.getpid(), signal.SIGINT)) as server:
        generators = Generators(TWO, LONG, settings(server), tmp_path)
        with pytest.raises(KeyboardInterrupt), generators:
            generators.run_phase(0)
        assert not children()


def test_a_phase_ends_when_another_thread_stops_the_generators(tmp_path):
    with Acting(lambda: generators.stop()) as server:  # noqa: PLW0108 - made below
        generators = Generators(TWO, LONG, settings(server), tmp_path)
        with generators, pytest.raises(LoadError, match=r"generator 'process-\d' of processes:2 was lost"):
            generators.run_phase(0)
        assert not children()


def test_a_killed_harness_takes_its_generators_with_it(tmp_path):
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tailgate.harness.load import LoadSettings
        from tailgate.harness.load.many.engine import built_in_engine
        from tailgate.harness.load.many.generators import Generators
        from tailgate.harness.scenario.arrivals import Constant
        from tailgate.harness.scenario.payloads.payload import Payload
        from tailgate.harness.scenario.plan import draw_plan
        from tailgate.harness.scenario.scenario import Phase, Scenario

        scenario = Scenario("s", "d", (Phase("long", Constant(20.0), duration_s=600.0),), ())
        plan = draw_plan(scenario, [Payload("a", b"", "", path="/a")], 1)
        settings = LoadSettings("127.0.0.1", int(sys.argv[1]))
        with Generators(built_in_engine("processes:2"), plan, settings, Path(sys.argv[2])) as generators:
            print(*generators.pids, flush=True)
            generators.run_phase(0)
        """
    )
    with ScriptedServer({"/a": [OK]}) as server:
        command = [sys.executable, "-c", program, str(server.port), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
            workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
            parent.kill()
        psutil.wait_procs(workers, timeout=30)
    assert not [worker for worker in workers if worker.is_running()]


def test_a_server_that_is_not_there_is_an_error_that_names_the_generator(tmp_path):
    with ScriptedServer({}) as server:
        pass
    with pytest.raises(LoadError, match=f"generator 'process-1': cannot connect to 127.0.0.1:{server.port}"):
        Generators(TWO, SHORT, settings(server), tmp_path).__enter__()
    assert not children()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["no-such-program"], "cannot start generator 'a', 'no-such-program': No such file"),
        (["false"], "generator 'a' of x was lost"),
        (["echo", "Welcome to this machine"], r"generator 'a' of x was lost \(bad message length"),
        (["sh", "-c", "echo no python here >&2; exit 127"], "its log ends:\nno python here"),
    ],
)
def test_a_command_that_is_no_generator_is_named_with_what_it_said(tmp_path, command, told):
    with pytest.raises(LoadError, match=told):
        Generators(CommandEngine("x", {"a": command}), SHORT, LoadSettings("h", 1), tmp_path).__enter__()
    assert not children()


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tailgate.harness.load.many.generators.__version__", "9.9")
    with pytest.raises(LoadError, match=r"generator 'process-1' has tailgate .*, expected 9.9"):
        Generators(TWO, SHORT, LoadSettings("h", 1), tmp_path).__enter__()


def test_a_server_that_answers_on_fewer_connections_than_there_are_generators_is_refused(tmp_path):
    with pytest.raises(
        LoadError, match="answers on 1 connections at a time, which 2 generators cannot share"
    ):
        Generators(TWO, SHORT, LoadSettings("h", 1, at_once=1), tmp_path).__enter__()


def test_a_generator_in_a_time_of_its_own_is_read_by_round_trips_and_its_record_is_as_good(tmp_path):
    shifted = ["unshare", "-T", "--monotonic", "100000"]
    if shutil.which("unshare") is None or subprocess.run([*shifted, "true"], check=False).returncode:
        pytest.skip("a time namespace needs root, and Linux 5.6")
    engine = CommandEngine("x", {"here": WORKER, "elsewhere": [*shifted, *WORKER]}, here=True)
    with (
        ScriptedServer({"/a": [OK]}) as server,
        Generators(engine, SHORT, settings(server), tmp_path) as generators,
    ):
        report = generators.run_phase(1)
        samples = generators.samples()
    here, elsewhere = report.parts
    assert (here.schedule_error_s, here.drift) == (0.0, 0.0)
    assert elsewhere.here
    assert elsewhere.schedule_error_s > 0
    np.testing.assert_array_equal(samples["intended_ns"], report.start_ns + SHORT.phases[1].offsets_ns)
    # Of the other clock: 100,000 s apart, and the same latencies.
    assert (samples["done_ns"] - samples["intended_ns"] < 60e9).all()
    assert report.ok == 201
