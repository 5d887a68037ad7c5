"""Commands around both sides of a comparison: of servers that are started, and of those that run elsewhere."""

import contextlib
import shlex

import pytest
from benches import bench_of

from tailgate.harness.compare.arms import ArmTarget, Side, set_up_elsewhere
from tailgate.harness.compare.blocks import bench as benches
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.blocks.together import started_at_once
from tailgate.harness.compare.rehearsal import rehearse
from tailgate.harness.errors import TargetError
from tailgate.harness.load.preflight import Outcome
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target
from tailgate.harness.target.state import Step, commands_of
from tailgate.harness.testing import fake_server_spec

SCENARIO = Scenario("tiny", "few", (Phase("load", Constant(100.0), requests=1),), ())


def arm_of(arm, spec, folder, failing=None, **environment):
    """Return a side whose commands tell in a file of its own that they ran."""
    said = shlex.quote(str(folder / arm.value))
    lines = {
        step: f"sh -c 'echo {step.value} $TAILGATE_ARM >> {said}; exit {int(step is failing)}'"
        for step in Step
    }
    settings = TargetSettings(environment=environment)
    target = parse_target(spec, settings)
    return ArmTarget(
        Side(arm, spec, spec), target, state=commands_of(lines, arm.value, target, settings, None)
    )


def arms_of(folder, spec, **environment):
    return {arm: arm_of(arm, spec, folder, **environment) for arm in Arm}


def told(folder, arm):
    path = folder / arm.value
    return path.read_text().splitlines() if path.exists() else []


def test_a_rehearsal_sets_each_side_up_tears_it_down_and_tells_what_both_share(tmp_path):
    arms = arms_of(tmp_path, fake_server_spec(1.0), DATABASE_URL="sqlite:///one.db")
    rehearsed = rehearse(arms, tmp_path, tmp_path, lambda _: Outcome(()))
    for arm in Arm:
        assert told(tmp_path, arm) == [f"set-up {arm.value}", f"tear-down {arm.value}"]
    assert rehearsed[Arm.BASE].notes == ()
    (note,) = rehearsed[Arm.HEAD].notes
    assert note.startswith("both sides are given the same DATABASE_URL: ")


def test_a_side_whose_set_up_fails_is_named_and_the_other_is_torn_down(tmp_path):
    spec = fake_server_spec(1.0)
    arms = {
        Arm.BASE: arm_of(Arm.BASE, spec, tmp_path, Step.SET_UP),
        Arm.HEAD: arm_of(Arm.HEAD, spec, tmp_path),
    }
    with pytest.raises(
        TargetError, match=r"^base \(.*\): --perf-set-up of base: .* ended with exit status 1"
    ):
        rehearse(arms, tmp_path, tmp_path, lambda _: Outcome(()))
    assert [told(tmp_path, arm)[-1] for arm in Arm] == ["tear-down base", "tear-down head"]


class Silent:
    """A generator that sends nothing."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_an_arm_of_a_block_is_reset_once_it_runs_and_before_its_generator_starts(tmp_path, monkeypatch):
    class Watching(Silent):
        def __enter__(self):
            assert told(tmp_path, Arm.HEAD) == ["set-up head", "reset head"]
            return self

    monkeypatch.setattr(benches, "Generator", Watching)
    made = bench_of(tmp_path, SCENARIO, "http://127.0.0.1:1", fake_server_spec(1.0))
    made.arms[Arm.HEAD] = arm_of(Arm.HEAD, fake_server_spec(1.0), tmp_path)
    with contextlib.ExitStack() as stack:
        benches.start_arm(made, Slot(SCENARIO, "head", 0, 0, 1), made.draw(1), "head-0", stack)
        assert len(told(tmp_path, Arm.HEAD)) == 2
    assert told(tmp_path, Arm.HEAD) == ["set-up head", "reset head", "tear-down head"]


def test_a_server_elsewhere_is_set_up_once_around_all_and_reset_as_often_as_any(tmp_path):
    address = "http://127.0.0.1:1"
    arms = {
        Arm.BASE: arm_of(Arm.BASE, address, tmp_path),
        Arm.HEAD: arm_of(Arm.HEAD, fake_server_spec(1.0), tmp_path),
    }
    with set_up_elsewhere(arms, tmp_path) as made:
        for _ in range(2):
            with made[Arm.BASE].state.around(tmp_path) as around:
                around.reset()
        assert told(tmp_path, Arm.BASE) == ["set-up base", "reset base", "reset base"]
        assert made[Arm.HEAD] == arms[Arm.HEAD]
    assert told(tmp_path, Arm.BASE)[-1] == "tear-down base"
    assert told(tmp_path, Arm.HEAD) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, TargetError])
def test_a_stop_that_fails_does_not_take_the_place_of_what_ended_the_run(error):
    def refuse():
        raise TargetError("the tear-down")

    stopped = []

    def start(arm, stack):
        stack.callback(stopped.append, arm)
        stack.callback(refuse)

    with pytest.raises(error, match="first"), started_at_once(start, Arm):
        raise error("first")
    assert set(stopped) == set(Arm)
    with pytest.raises(TargetError, match="the tear-down"), started_at_once(start, Arm):
        pass
