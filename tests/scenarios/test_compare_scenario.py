"""The load of a comparison: what it asks of a service, and that a block of it holds enough for p99."""

from pathlib import Path

from tailgate.harness.compare.blocks.row import least_requests
from tailgate.harness.compare.load import PAIRS, ComparisonLoad, block_scenario
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.scenario.budgets import find_budgets
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.ref import refs, resolve
from tailgate.scenarios import compare
from tailgate.service.settings import load_settings

ROOT = Path(__file__).parents[2]


def test_its_numbers_stand_in_the_budgets_of_this_repository():
    made = compare.scenario(PROFILES["default"])
    line = find_budgets(ROOT / "budgets.toml", ROOT).quantities(made.name, "cpu", "fp32")
    assert refs(made) <= set(line)
    assert 100 <= line["rate"].resolve(0.0107) <= 110


def test_a_block_holds_enough_requests_of_an_arm_for_p99():
    made = resolve(compare.scenario(PROFILES["smoke"]), {"rate": 110.0})
    slots = [phase for phase in block_scenario(made).phases if phase.measured]
    assert len(slots) == PAIRS
    assert sum(phase.requests for phase in slots) >= least_requests(0.99)


def test_the_service_takes_its_settings_and_its_payloads_have_their_size():
    made = compare.scenario(PROFILES["default"])
    settings = load_settings(dict(made.environment))
    payloads = create_plugin_manager((), {"PERF_PLUGINS": ""}).payloads(made.source)
    assert {len(payload.body) for payload in payloads} == {settings.input_size**2 * 3}
    assert draw_plan(resolve(made, {"rate": 110.0}), payloads, seed=1).payloads == tuple(payloads)


def test_it_is_brought_as_a_load_for_comparisons():
    plugins = create_plugin_manager((), {"PERF_PLUGINS": "scenarios"})
    loads = [
        made for made in plugins.scenarios(PROFILES["default"]).values() if isinstance(made, ComparisonLoad)
    ]
    assert [made.name for made in loads] == ["compare"]
