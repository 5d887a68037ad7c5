"""A user's own test module: a test without load, and two under load."""

USERS_TESTS = """
import pytest
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario

def test_of_a_unit():
    pass

@pytest.mark.x
@pytest.mark.perf
def test_under_load(perf_gate):
    phases = (Phase("load", Constant(500.0), requests=90),)
    perf_gate.check(Scenario("own", "a user's own", phases, (Criterion("error_rate", 0.0, ("load",)),)))

@pytest.mark.perf
def test_with_each(perf_scenario, perf_gate):
    perf_gate.check(perf_scenario)
"""
