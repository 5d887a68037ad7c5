"""Benches of comparisons between fake servers, for the tests of blocks."""

from tailgate.harness.compare.arms import ArmTarget, Side
from tailgate.harness.compare.blocks.bench import Bench
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.load import LoadSettings
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target


def bench_of(folder, scenario, base, head):
    """Return the bench of blocks of a scenario between two servers of these specifications."""
    arms = {
        arm: ArmTarget(Side(arm, spec, spec), parse_target(spec, TargetSettings()))
        for arm, spec in ((Arm.BASE, base), (Arm.HEAD, head))
    }
    return Bench(
        arms=arms,
        scenario=scenario,
        draw=lambda seed: draw_plan(scenario, [Payload("p", b"x", "text/plain")], seed),
        connect=lambda running: LoadSettings(running.host, running.port),
        directory=folder,
        run="r",
    )
