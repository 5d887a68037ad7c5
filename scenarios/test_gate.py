"""The gate as tests: one for each scenario of each plugin. Run by ``pytest -m perf``, left out otherwise."""

import pytest

from tailgate import Gate, Scenario


@pytest.mark.perf
def test_scenario(perf_scenario: Scenario, perf_gate: Gate) -> None:
    """The service keeps every budget of the scenario."""
    perf_gate.check(perf_scenario)
