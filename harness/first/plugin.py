"""A package for a plugin that somebody begins: one scenario, its entry point, and a test. Pure but for what is there."""

import importlib.util
import keyword
import re
from collections.abc import Collection
from pathlib import Path

from tailgate.harness.errors import UsageError
from tailgate.harness.first.files import Plan

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
description = "The scenario {name} for tailgate."
requires-python = ">=3.11"
dependencies = ["tailgate"]

# The group is tailgate's; the name on the left is what PERF_PLUGINS and error messages call this plugin.
[project.entry-points.tailgate]
{name} = "{module}"

[tool.setuptools]
py-modules = ["{module}"]
"""
MODULE = '''\
"""A plugin of tailgate: the scenario ``{name}``.

Installed beside tailgate it takes part in every run; ``--perf-plugin={module}.py`` does the same without installing.
Its budgets, for a service that answers in about 30 ms::

    "{name}" = {{ rate = "20 /s", p95 = "200 ms", p99 = "400 ms", error_rate = 0.0 }}
"""

from collections.abc import Sequence

from tailgate import Criterion, Phase, Poisson, Profile, Ref, Scenario, hookimpl, latency_criteria


def scenario(profile: Profile) -> Scenario:
    """Build the scenario; budget keys ``rate``, ``p95``, ``p99`` and ``error_rate``."""
    arrivals = Poisson(Ref("rate"))
    return Scenario(
        name="{name}",
        description="requests at a constant mean rate",
        phases=(
            Phase("warm-up", arrivals, requests=profile.warm_up_requests, measured=False),
            Phase("load", arrivals, requests=profile.requests),
        ),
        criteria=(
            *latency_criteria(profile, ["load"]),
            Criterion("error_rate", Ref("error_rate"), ("load",)),
        ),
    )


@hookimpl
def tailgate_scenarios(profile: Profile) -> Sequence[Scenario]:
    """Bring the scenario."""
    return [scenario(profile)]
'''
TEST = '''\
"""The plugin's own test, with tailgate's test kit: no server, and nothing waits."""

from {module} import scenario

from tailgate import PROFILES, Payload, draw_plan, refs, resolve

BUDGETS = {{"rate": 20.0, "p95": 0.2, "p99": 0.4, "error_rate": 0.0}}


def test_the_scenario_asks_for_the_budgets_that_its_documentation_names():
    assert refs(scenario(PROFILES["default"])) == set(BUDGETS)


def test_a_run_sends_as_many_requests_as_the_profile_asks_for():
    profile = PROFILES["smoke"]
    plan = draw_plan(resolve(scenario(profile), BUDGETS), [Payload("any", b"", "text/plain")], seed=1)
    assert [len(phase.offsets_ns) for phase in plan.phases] == [profile.warm_up_requests, profile.requests]
'''


def plan_plugin(root: Path, name: str, scenarios: Collection[str], *, force: bool) -> Plan:
    """Return the files of a package in a folder of its own; nothing that is there is replaced unless ``force``.

    ``scenarios`` are the names that others have. Raise UsageError for a name that cannot be one.
    """
    module = name.replace("-", "_")
    if not NAME.fullmatch(name) or keyword.iskeyword(module):
        raise UsageError(f"--plugin: expected a name such as my-load, in small letters, got {name!r}")
    if name in scenarios:
        raise UsageError(f"--plugin: there is a scenario {name!r} already; expected a name that no other has")
    if not (root / name / f"{module}.py").exists() and importlib.util.find_spec(module) is not None:
        raise UsageError(f"--plugin: there is a module {module!r} already, which {name!r} would stand before")
    wanted = {
        "pyproject.toml": PROJECT,
        f"{module}.py": MODULE,
        f"test_{module}.py": TEST,
    }
    texts = {Path(name) / file: text.format(name=name, module=module) for file, text in wanted.items()}
    kept = tuple(path for path in texts if (root / path).exists() and not force)
    return Plan({path: text for path, text in texts.items() if path not in kept}, kept)
