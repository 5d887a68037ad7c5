"""The gate as ``tailgate`` starts it: pytest with options, in this process, and the status that its run ends with.

What the project's ini file, ``PYTEST_ADDOPTS`` and further arguments say counts as it does under pytest, whose words these
are. pytest's own status says whether tests passed; that of ``tailgate`` says what was found out.
"""

import re
from collections.abc import Sequence

import pytest

from tailgate.harness.cli import Status
from tailgate.harness.cli.service import missing
from tailgate.harness.errors import UsageError
from tailgate.harness.first.app import find_apps
from tailgate.harness.options.settings import OPTIONS, GateSettings
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.command import GateCommand
from tailgate.harness.session.outcome import failing

# tailgate's own test, by the plugin whose name is that of its entry point, loaded where plugins are not loaded by themselves.
TEST = ("-p", "tailgate", "--pyargs", "tailgate.scenarios", "-m", "perf")
# The command has loaded modules of plugins, such as anyio, before pytest can rewrite their assertions, and pytest warns of that:
# where a project makes errors of warnings, none of its tests would be collected.
QUIETLY = ("-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning")
# The gate's options without the part of their name that tells them from other plugins'.
SHORT = {f"--{option.name}": f"--perf-{option.name}" for option in OPTIONS}
# Those that take no value behind a space.
FLAGS = {f"--perf-{option.name}" for option in OPTIONS if option.flag or option.bare is not None}
# Of a command, by the worst verdict that fails it.
STATUSES = {
    Verdict.PASS: Status.PASS,
    Verdict.FAIL: Status.FAIL,
    Verdict.INCONCLUSIVE: Status.INCONCLUSIVE,
    Verdict.INVALID: Status.UNMEASURED,
}
# What no command line begins with: a target of a plugin, too, has its kind before a colon.
KIND = re.compile(r"service|[a-z][\w+.-]*:\S.*", re.DOTALL)
HOST_AND_PORT = re.compile(r"(\[[0-9a-f:]+\]|[\w.-]+):[0-9]+(/\S*)?")


def run(words: Sequence[str]) -> Status:
    """Run the gate on the target that the words name, or on the project's own."""
    targets, rest = split_sides(words)
    if len(targets) > 1:
        raise UsageError(
            f"expected tailgate run [TARGET] [OPTION ...], got {len(targets)} targets: {' '.join(targets)}; put a command line "
            "in quotes"
        )
    named = [f"--perf-target={target_of(target)}" for target in targets]
    return run_gate(GateCommand(check=refuse_without_target), [*rest, *named])


def target_of(word: str) -> str:
    """Return the specification that a word means: a command line, or an address, may stand without its kind."""
    if HOST_AND_PORT.fullmatch(word):
        return f"http://{word}"
    return word if KIND.fullmatch(word) else f"command:{word}"


def refuse_without_target(settings: GateSettings) -> None:
    """Refuse a run whose target nobody has named, unless it can only be the service itself."""
    if settings.against is not None or "target" in settings.given | settings.said_in_ini:
        return
    how = "tailgate run 'python app.py --port {port}', or tailgate run http://localhost:8000"
    for app in find_apps(settings.root)[:1]:
        raise UsageError(
            f"no target is named, and {app.file} has the {app.kind} application {app.name!r}: tailgate init sets the gate up "
            f"for it; or name a target: {how}"
        )
    if lacking := missing():
        raise UsageError(
            f"no target is named: {how}; tailgate init remembers it. tailgate's own service, the target where nobody names one, "
            f"needs {', '.join(lacking)}: pip install 'tailgate[service,demo]'"
        )


def compare(words: Sequence[str]) -> Status:
    """Compare the sides that these words name, with the options that follow."""
    sides, rest = split_sides(words)
    if not 1 <= len(sides) <= 2:
        raise UsageError(
            f"expected tailgate compare BASE [HEAD] [OPTION ...], got {len(sides)} sides: {' '.join(sides) or 'none'}"
        )
    named = [f"--perf-{name}={side}" for name, side in zip(("against", "head"), sides, strict=False)]
    return run_gate(GateCommand(tells=True), [*rest, *named])


def run_gate(command: GateCommand, words: Sequence[str]) -> Status:
    """Run pytest with these words; return what the run came to."""
    return status_of(int(pytest.main([*TEST, *QUIETLY, *words], plugins=[command])), command)


def status_of(pytest_status: int, command: GateCommand) -> Status:
    """Return the status of a command, by how pytest ended and what its run came to."""
    if command.interrupted:
        return Status.INTERRUPTED
    unused = {pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED}
    if pytest_status in unused or command.refused:
        return Status.USAGE
    if command.result is None or command.settings is None or pytest_status == pytest.ExitCode.INTERNAL_ERROR:
        return Status.UNMEASURED
    status = STATUSES[failing(command.result, command.settings)]
    if status is Status.PASS and pytest_status != pytest.ExitCode.OK:
        # Something else has failed: a report that could not be written, say.
        return Status.UNMEASURED
    return status


def split_sides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words before pytest's first option that are no option, and pytest's arguments.

    The gate's options may stand among the first, and without ``perf-``; each gets its value behind an equals sign, so that
    pytest takes no value for a path.
    """
    sides: list[str] = []
    rest: list[str] = []
    mine = True
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if name in SHORT.values():
            if not equals and name not in FLAGS and remaining:
                equals, value = "=", remaining.pop(0)
            rest.append(f"{name}{equals}{value}")
        elif mine and not word.startswith("-"):
            sides.append(word)
        else:
            mine = False
            rest.append(word)
    return sides, rest
