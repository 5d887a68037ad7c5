"""The gate as ``tailgate`` starts it: pytest with options, in this process, and the status that its run ends with.

What the project's ini file, ``PYTEST_ADDOPTS`` and further arguments say counts as it does under pytest, whose words these
are. pytest's own status says whether tests passed; that of ``tailgate`` says what was found out.
"""

from collections.abc import Sequence

import pytest

from tailgate.harness.cli.status import Status
from tailgate.harness.options.table import OPTIONS
from tailgate.harness.results.verdict import Verdict, worst
from tailgate.harness.session.command import GateCommand
from tailgate.harness.session.outcome import outcome_of

# tailgate's own test, by the plugin whose name is that of its entry point, loaded where plugins are not loaded by themselves.
TEST = ("-p", "tailgate", "--pyargs", "tailgate.scenarios", "-m", "perf")
# The command has loaded modules of plugins, such as anyio, before pytest can rewrite their assertions, and pytest warns of that:
# where a project makes errors of warnings, none of its tests would be collected.
QUIETLY = ("-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning")
# The gate's options without the part of their name that tells them from other plugins'.
SHORT = {f"--{option.name}": f"--perf-{option.name}" for option in OPTIONS}
FLAGS = {f"--perf-{option.name}" for option in OPTIONS if option.flag}


def run_gate(command: GateCommand, words: Sequence[str]) -> Status:
    """Run pytest with these words; return what the run came to."""
    return status_of(int(pytest.main([*TEST, *QUIETLY, *words], plugins=[command])), command)


def status_of(pytest_status: int, command: GateCommand) -> Status:
    """Return the status of a command.

    Args:
        pytest_status: how pytest ended.
        command: what its run came to.
    """
    if command.interrupted:
        return Status.INTERRUPTED
    unused = {pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED}
    if pytest_status in unused or command.refused:
        return Status.USAGE
    if command.result is None or command.settings is None or pytest_status == pytest.ExitCode.INTERNAL_ERROR:
        return Status.UNMEASURED
    settings = command.settings
    failing = [one.verdict for one in command.result.scenarios if outcome_of(one, settings).fails]
    if failing:
        return status_of_verdict(worst(failing))
    # Something else has failed: a report that could not be written, say.
    return Status.PASS if pytest_status == pytest.ExitCode.OK else Status.UNMEASURED


def status_of_verdict(verdict: Verdict) -> Status:
    """Return the status of a command whose verdict counts."""
    return {
        Verdict.PASS: Status.PASS,
        Verdict.FAIL: Status.FAIL,
        Verdict.INCONCLUSIVE: Status.INCONCLUSIVE,
        Verdict.INVALID: Status.UNMEASURED,
    }[verdict]


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


def options_help(*without: str) -> str:
    """Return the gate's options as lines, without those that a command gives itself."""
    lines = []
    for option in OPTIONS:
        if option.name not in without:
            choices = f" ({', '.join(option.choices)})" if option.choices else ""
            value = "" if option.flag else "=VALUE"
            lines.append(f"  --perf-{option.name}{value}\n      {option.help}{choices}")
    return "\n".join(lines) + "\n"
