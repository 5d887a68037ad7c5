"""A project with a tiny scenario in it, and a function that runs the gate there."""

import importlib
import os
import shlex
import sys

import pytest
from steady_yardstick import SteadyYardstick

from tailgate.harness import load
from tailgate.harness.measures import dependence
from tailgate.harness.observe import yardstick
from tailgate.harness.testing import fake_server_spec
from tailgate.harness.verdict import faults, generators

# Loaded here once: a pytest run that is started inside this process forgets the modules that it loaded, and neither
# numpy nor the exceptions of httpcore can be loaded twice.
LOADED = ("tailgate.harness.gate.gate", "httpcore", "numpy", "scipy")
for name in LOADED:
    importlib.import_module(name)

# Constant arrivals at what a service time of 2 ms can bear: at 10 ms, 90 requests end up to 0.7 s late. A service by
# sleep is never quicker than that, on no machine, and as slow as the machine is busy: so who is to pass is given ten
# minutes, and who is to fail a limit that cannot be kept.
GENEROUS_S = 600.0
TINY = """
from tailgate import hookimpl
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.results.criterion import Witness

@hookimpl
def tailgate_scenarios(profile):
    phases = (
        Phase("warm-up", Constant(500.0), requests=3, measured=False),
        Phase("load", Constant(500.0), requests={requests}),
    )
    criteria = (
        Criterion("p95", {limit_s}, ("load",)),
        Criterion("p95", {limit_s}, ("load",), Witness.SERVER),
        Criterion("error_rate", 0.0, ("load",)),
    )
    return [Scenario(name, "a few requests", phases, criteria) for name in {names!r}]
"""


class GateProject:
    """A folder with a plugin file ``tiny.py`` and a payload, where the gate is run.

    Attributes:
        pytester: of the test.
        arguments: for every run.
    """

    def __init__(self, pytester):
        self.pytester = pytester
        pytester.makeini("[pytest]\nmarkers = x: a mark of the user's own")
        pytester.path.joinpath("body.txt").write_text("a request's body")
        self.scenarios("tiny")
        self.arguments = [
            "-p",
            "tailgate",
            "--perf-plugin=tiny.py",
            "--perf-payloads=file:body.txt",
            "--perf-seed=1",
        ]

    def scenarios(self, *names, requests=90, limit_s=GENEROUS_S):
        """Have these scenarios, each of so many requests, which are to be answered within so long."""
        text = TINY.format(names=names, requests=requests, limit_s=limit_s)
        self.pytester.path.joinpath("tiny.py").write_text(text)

    def gate(self, *arguments, service_time_ms=2.0, target=None):
        """Run tailgate's own test with all scenarios, in this process."""
        return self.run(
            "--pyargs",
            "tailgate.scenarios",
            "-m",
            "perf",
            *arguments,
            target=target,
            service_time_ms=service_time_ms,
        )

    def run(self, *arguments, service_time_ms=2.0, target=None):
        """Run pytest in this process."""
        spec = target or fake_server_spec(service_time_ms)
        return self.pytester.runpytest_inprocess(*self.arguments, f"--perf-target={spec}", *arguments)

    def server(self, code):
        """Return the target specification of a server program that is written here."""
        path = self.pytester.path / "a_server.py"
        path.write_text(code)
        return f"command:{shlex.quote(sys.executable)} -P {shlex.quote(str(path))} --fd {{fd}}"

    def results(self):
        """Return the folder of the only run."""
        (directory,) = self.pytester.path.glob(".perf/*Z-*")
        return directory


@pytest.fixture
def project(pytester, monkeypatch):
    """Return a project whose runs see no other plugin, and no noise of the machine that runs the tests."""
    for name in os.environ:
        if name.startswith(("TAILGATE_", "PERF_", "GITHUB_", "PYTEST_ADDOPTS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PERF_PLUGINS", "")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(yardstick, "YardstickProcess", SteadyYardstick)
    monkeypatch.setattr(load, "self_check", lambda _: "fast enough")
    # Each has tests of its own.
    monkeypatch.setattr(faults, "check_send_lag", lambda *_: [])
    monkeypatch.setattr(faults, "check_generator", lambda *_: [])
    monkeypatch.setattr(generators, "check_parts", lambda *_: [])
    monkeypatch.setattr(dependence, "effective_samples", lambda *parts: float(sum(map(len, parts))))
    return GateProject(pytester)
