"""What a user may ask to be compared, and what is refused before anything starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from tailgate.harness.compare.arms import Side
from tailgate.harness.compare.asked import (
    chosen_lenses,
    find_sides,
    side_settings,
    source_of,
    wanted_processors,
)
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.load import ComparisonLoad
from tailgate.harness.errors import UsageError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.settings import TargetSettings

PHASES = (Phase("load", Poisson(1.0), requests=1),)
LOAD = ComparisonLoad("c", "d", PHASES, (), environment=(("TAILGATE_MODEL", "small"),), source="pixels:8")
HERE = {arm: Side(arm, ".", "service") for arm in Arm}
ELSEWHERE = HERE | {Arm.BASE: Side(Arm.BASE, "http://h", "http://h")}


def settings(ini=None, **raw):
    """Return the settings of a command line, with an ini file in another folder behind it."""
    said = ini or {}
    return parse_options(
        lambda option: raw.get(option.field),
        Path("root"),
        lambda option: said.get(option.field),
        Path("/ini"),
    )


@pytest.mark.parametrize(
    ("against", "head", "specs"),
    [
        (".", ".", ("service:A=1", "service:A=1")),
        # What one side is told is not for the other.
        (".", "service:B=2", ("service:A=1", "service:B=2")),
        ("service:B=2", ".", ("service:B=2", "service:A=1")),
        ("http://h", ".", ("http://h", "service:A=1")),
    ],
)
def test_a_side_that_names_no_target_is_the_projects_own(against, head, specs):
    made = settings(target="service:A=1", against=against, head=head)
    sides = find_sides(made, create_plugin_manager((), {"PERF_PLUGINS": ""}).knows_target)
    assert (sides[Arm.BASE].spec, sides[Arm.HEAD].spec) == specs


def test_each_side_has_variables_of_its_own_after_those_of_both():
    made = settings(against=".", env=["A=1", "B=1"], base_env=["A=2"], head_env=["B=3", "TAILGATE_MODEL=own"])
    target = TargetSettings(environment={"EDGES": "1", **made.environment})
    of = {arm: side_settings(side, LOAD, made, target).environment for arm, side in HERE.items()}
    assert of[Arm.BASE] == {"EDGES": "1", "A": "2", "B": "1", "TAILGATE_MODEL": "small"}
    assert of[Arm.HEAD] == {"EDGES": "1", "A": "1", "B": "3", "TAILGATE_MODEL": "own"}


@pytest.mark.parametrize("option", ["base_env", "head_env"])
def test_variables_of_one_side_without_a_comparison_are_refused_but_for_the_ini_file(option):
    with pytest.raises(
        UsageError, match=f"--perf-{option.replace('_', '-')} is for one side of a comparison"
    ):
        settings(**{option: ["A=1"]})
    settings(ini={option: ["A=1"]})


@pytest.mark.parametrize("against", [".", "command:x {port}"])
def test_an_interpreter_for_what_is_no_revision_is_refused(against):
    made = settings(against=against, against_python="python")
    with pytest.raises(UsageError, match="--perf-against-python is for a revision of the service"):
        find_sides(made, create_plugin_manager((), {"PERF_PLUGINS": ""}).knows_target)


def names(found):
    return [lens.name for lens in found[0]]


def test_every_lens_but_the_one_that_costs_load_is_looked_through():
    assert names(chosen_lenses(settings(), HERE)) == [
        *("cpu", "p50", "p95", "p99", "error_rate", "ttfb_p95", "ttft_p95", "gap_p99", "memory", "start_up"),
    ]
    assert chosen_lenses(settings(), HERE)[1] == ()


@pytest.mark.parametrize("asked", ["capacity=gate", "capacity=report", "capacity=5%", "capacity.margin=1%"])
def test_capacity_is_probed_for_who_asks(asked):
    assert names(chosen_lenses(settings(lens=[asked]), HERE))[-1] == "capacity"


def test_a_server_that_runs_elsewhere_has_no_processes_to_see():
    found = chosen_lenses(settings(), ELSEWHERE)
    assert names(found) == ["p50", "p95", "p99", "error_rate", "ttfb_p95", "ttft_p95", "gap_p99"]
    assert found[1] == (
        "CPU time per request is left out: base runs elsewhere, and its processes cannot be seen",
    )
    with pytest.raises(UsageError, match="--perf-lens: 'memory' cannot be seen: base runs elsewhere"):
        chosen_lenses(settings(lens=["memory=gate"]), ELSEWHERE)


@pytest.mark.parametrize(
    ("scenario", "made", "source"),
    [
        (LOAD, settings(), "pixels:8"),
        (LOAD, settings(payloads="dir:mine"), "dir:mine"),
        (LOAD, settings(payloads="photos"), "photos"),
        (LOAD, settings({"payloads": "photos"}), "photos"),
        (Scenario("s", "d", PHASES, ()), settings(), "photos"),
    ],
)
def test_payloads_are_the_users_or_else_the_scenarios(scenario, made, source):
    assert source_of(scenario, made) == source


def test_only_the_base_gets_its_own_interpreter_and_only_a_load_asks_for_a_model():
    made = settings(against_python="other/python")
    base = side_settings(HERE[Arm.BASE], LOAD, made, TargetSettings())
    head = side_settings(HERE[Arm.HEAD], LOAD, made, TargetSettings())
    assert (base.python, head.python) == ("other/python", TargetSettings().python)
    assert base.environment == head.environment == {"TAILGATE_MODEL": "small"}
    plain = side_settings(HERE[Arm.HEAD], Scenario("s", "d", PHASES, ()), made, TargetSettings())
    assert plain.environment == {}


COMMAND = HERE | {Arm.HEAD: Side(Arm.HEAD, "command:x {port}", "command:x {port}")}


@pytest.mark.parametrize(
    ("scenario", "sides", "asked", "wanted"),
    [
        (replace(LOAD, processors=2), HERE, None, 2),
        (replace(LOAD, processors=2), HERE, "0", 0),
        (replace(LOAD, processors=2), HERE, "3", 3),
        # How many another program needs, nobody knows but the user.
        (replace(LOAD, processors=2), COMMAND, None, None),
        (replace(LOAD, processors=2), COMMAND, "1", 1),
        (LOAD, HERE, None, None),
        (replace(LOAD, processors=2), ELSEWHERE, "0", 0),
        (replace(LOAD, processors=2), ELSEWHERE, None, None),
        (Scenario("s", "d", PHASES, ()), HERE, None, None),
    ],
)
def test_processors_are_what_the_user_says_or_else_the_load(scenario, sides, asked, wanted):
    assert wanted_processors(scenario, settings(processors=asked), sides) == wanted


def test_a_load_with_other_payloads_than_its_own_gets_all_processors():
    assert wanted_processors(replace(LOAD, processors=1), settings(payloads="dir:x"), HERE) is None


def test_a_server_that_runs_elsewhere_is_not_kept_to_processors_while_the_other_side_is():
    with pytest.raises(UsageError, match="--perf-processors: base runs elsewhere"):
        wanted_processors(LOAD, settings(processors="1"), ELSEWHERE)


def test_fewer_processors_than_none_are_refused():
    with pytest.raises(UsageError, match="--perf-processors: expected a whole number from 0 on, got '-1'"):
        settings(processors="-1")


@pytest.mark.parametrize(
    ("ini", "given", "folders"),
    [
        ({}, {}, (None, None)),
        ({"target": "command:x {port}"}, {}, (Path("/ini"), Path("/ini"))),
        ({"target": "command:x {port}"}, {"target": "command:y {port}"}, (None, None)),
        ({"target": "command:x {port}"}, {"against": "command:y {port}"}, (None, Path("/ini"))),
        ({"against": "command:y {port}"}, {"target": "command:x {port}"}, (Path("/ini"), None)),
        ({"head": "command:z {port}"}, {}, (None, Path("/ini"))),
    ],
)
def test_a_side_runs_beside_the_ini_file_that_names_it_or_else_here(ini, given, folders):
    made = settings({"against": "."} | ini, **given)
    sides = find_sides(made, create_plugin_manager((), {"PERF_PLUGINS": ""}).knows_target)
    found = [
        side_settings(sides[arm], LOAD, made, TargetSettings()).directory for arm in (Arm.BASE, Arm.HEAD)
    ]
    assert tuple(found) == folders
