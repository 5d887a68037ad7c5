"""One form of help for all commands, and completion by the shell."""

import inspect
import re
import shlex
import sys

import pytest
from typer.main import get_command

from tailgate.harness import cli
from tailgate.harness.cli.app import app
from tailgate.harness.cli.help import Command, WordsCommand
from tailgate.harness.options.settings import OPTIONS

COMMANDS = get_command(app).commands
NAMES = {"serve", "compile", "run", "compare", "calibrate", "judge", "report", "history", "samples"} | {
    "scenarios",
    "plugins",
    "init",
    "doctor",
    "drill",
    "plan",
}
GATE = {f"--{option.name}" for option in OPTIONS}


@pytest.fixture
def tailgate(monkeypatch, capsys):
    """Return a function that runs the command and gives its status, and what it said."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tailgate", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out + captured.err

    return run


def test_the_commands_are_these():
    assert set(COMMANDS) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES - {"serve", "compile"}))
@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_has_one_form(tailgate, name, asked):
    status, said = tailgate(name, asked)
    assert status == 0
    headings = re.findall(r"^(\w+):", said, re.MULTILINE)
    assert [one for one in headings if one != "Arguments"] == ["Usage", "Options", "Examples"]
    assert said.startswith(f"Usage: tailgate {name} ")
    examples = said[said.index("Examples:\n") :].splitlines()[1:]
    assert examples
    assert all(line.startswith("  ") for line in examples)
    assert "\x1b" not in said


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_example_names_commands_and_options_that_there_are(name):
    command = COMMANDS[name]
    own = {word for param in command.params for word in param.opts}
    text = inspect.cleandoc(command.epilog).replace("\\\n", " ")
    # Options of pytest and of the service are theirs to know.
    passed = name in {"serve", "compile"}
    for line in text.splitlines():
        words = shlex.split(line.partition("#")[0].partition(" | ")[0].partition(" > ")[0])
        assert words[words.index("tailgate") + 1 :][:1] == [name], line
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        known = own | (GATE if isinstance(command, WordsCommand) or name == "calibrate" else set())
        assert passed or options <= known, line


def test_the_examples_of_all_name_commands_that_there_are():
    named = re.findall(r"^tailgate (\w+)", inspect.cleandoc(app.info.epilog), re.MULTILINE)
    assert set(named) <= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_command_says_in_a_sentence_what_it_does(name):
    first = inspect.cleandoc(COMMANDS[name].help).partition("\n")[0]
    assert first.endswith(".")
    assert isinstance(COMMANDS[name], Command)


@pytest.mark.parametrize("name", ["run", "compare"])
def test_the_options_of_the_gate_are_listed(tailgate, name):
    _, said = tailgate(name, "--help")
    without = {"run": {"--target"}, "compare": {"--against", "--head"}}[name]
    assert {
        option for option in GATE if re.search(rf"^  {option}(?![\w-])", said, re.MULTILINE)
    } == GATE - without


@pytest.fixture
def completed(tailgate, monkeypatch):
    """Return a function that completes a line as bash does."""
    monkeypatch.setenv("PERF_PLUGINS", "scenarios")

    def complete(line):
        monkeypatch.setenv("_TAILGATE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        status, said = tailgate()
        assert status == 0
        return said.split()

    return complete


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tailgate do", {"doctor"}),
        ("tailgate run --scenario bu", {"burst"}),
        ("tailgate compare main --scenario st", {"steady"}),
        ("tailgate run --profile s", {"smoke"}),
        ("tailgate run --readiness", {"--readiness-path"}),
        ("tailgate init --for", {"--force"}),
        ("tailgate history --scenario ra", {"ramp"}),
        ("tailgate report --jso", {"--json"}),
    ],
)
def test_the_shell_completes_commands_options_scenarios_and_choices(completed, line, found):
    assert set(completed(line)) == found


def test_the_shell_completes_the_names_of_runs_the_newest_first(completed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["20261101T100000Z-00000a", "20261102T100000Z-00000b"]
    for name in names:
        (tmp_path / ".perf" / name).mkdir(parents=True)
    for command in ("report", "judge", "samples"):
        assert completed(f"tailgate {command} 2026") == names[::-1]


def test_a_plugin_that_does_not_load_completes_nothing(completed, monkeypatch):
    monkeypatch.setenv("PERF_PLUGINS", "gone")
    assert completed("tailgate run --scenario s") == []
