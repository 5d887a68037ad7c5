"""Every command that a page shows can be given: programs, subcommands, options, values, targets and extras exist."""

import importlib
import importlib.util
import re
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest
import typer
from packaging.requirements import Requirement
from shown import PAGES, ROOT, commands, lines_of, of_workflows, simple, unmarked

from tailgate.harness.cli.app import app
from tailgate.harness.cli.help import ServiceCommand, WordsCommand
from tailgate.harness.cli.run import SHORT, split_sides
from tailgate.harness.options.reading import parse_options
from tailgate.harness.options.settings import OPTIONS
from tailgate.service.http.app import create_app
from tailgate.service.settings import PREFIX, load_settings

COMMANDS = [command for page in PAGES for command in commands(page)]
# Programs of others, of which a page shows only what every reader has: nothing of them is checked.
OTHERS = {
    ".",
    "cd",
    "cat",
    "git",
    "grep",
    "haproxy",
    "kill",
    "mkdir",
    "openssl",
    "ray",
    "rm",
    "sh",
    "xdg-open",
}


@pytest.fixture(name="check")
def _check(request, tmp_path):
    """Return what checks the words of one program."""
    return Check(request.config, tmp_path)


class Check:
    """Refuses words that a program would refuse."""

    def __init__(self, config, folder):
        self.parser = config._parser
        self.folder = folder

    def command(self, words):
        """Check a program with its arguments, and the settings before it."""
        settings = {}
        words = words[1:] if words[0] == "export" else words
        while words and (match := re.fullmatch(r"(\w+)=(.*)", words[0], re.DOTALL)):
            settings[match[1]] = match[2]
            words = words[1:]
        load_settings({name: value for name, value in settings.items() if name.startswith(PREFIX)})
        if not words:
            return
        name = Path(words[0]).name or words[0]
        if name not in OTHERS:
            getattr(self, name, self.unknown)(words[1:])

    def unknown(self, _):
        """Refuse a program that nobody checks."""
        pytest.fail("no check knows this program: write one, or add it to OTHERS")

    def podman(self, words):
        """Check the file and the arguments of a build; the rest is podman's own."""
        if words[0] != "build":
            return
        known = re.findall(r"^ARG (\w+)", (ROOT / words[words.index("-f") + 1]).read_text(), re.MULTILINE)
        given = [word.partition("=")[0] for flag, word in pairwise(words) if flag == "--build-arg"]
        assert set(given) <= set(known)

    docker = podman

    def tailgate(self, words):
        """Check a subcommand, its own options, and those that it passes on."""
        group, rest = typer.main.get_command(app), list(words)
        while isinstance(group, click.Group) or hasattr(group, "commands"):
            if not rest or rest[0].startswith("-"):
                return self.parsed(group, rest)
            name = rest.pop(0)
            assert name in group.commands, f"tailgate has no command {name}"
            group = group.commands[name]
        reads_itself = isinstance(group, WordsCommand | ServiceCommand)
        passed_on = rest if reads_itself else self.parsed(group, rest)
        if group.name == "init" and any(word.startswith("--plugin") for word in rest):
            return None
        if group.name in {"serve", "compile"}:
            load_settings({}, passed_on)
        elif reads_itself or group.context_settings.get("ignore_unknown_options"):
            own = {name for one in group.params for name in one.opts} - {f"--{one.name}" for one in OPTIONS}
            sides, options = split_sides([word for word in passed_on if word.partition("=")[0] not in own])
            options += [f"--against={side}" for side in sides[:1] if group.name == "compare"]
            self.pytest(
                [re.sub(r"^--[\w-]+", lambda name: SHORT.get(name[0], name[0]), word) for word in options]
            )
        return None

    def parsed(self, command, words):
        """Return the words that a command of click passes on."""
        context = click.Context(command, info_name=command.name, **command.context_settings)
        return command.make_parser(context).parse_args(list(words))[1]

    def pytest(self, words):
        """Check pytest's options and the gate's with their values."""
        given, unknown = self.parser.parse_known_and_unknown_args(list(words))
        assert unknown == []
        parse_options(lambda option: getattr(given, f"perf_{option.field}"), self.folder)

    def python(self, words):
        """Check that a module is there and takes these arguments."""
        words = words[1:] if words[:1] == ["-P"] else words
        if not words or words[0] != "-m":
            return
        name, rest = words[1], words[2:]
        if name == "pytest":
            self.pytest(rest)
            return
        found = importlib.util.find_spec(name)
        assert found, f"there is no module {name}"
        if name.startswith("benchmarks."):
            self.benchmark(f"{name}.__main__" if found.submodule_search_locations else name, rest)
        elif name == "tailgate.service":
            load_settings({}, rest)

    def benchmark(self, name, words):
        """Check the arguments of a benchmark that declares them."""
        module = importlib.import_module(name)
        program = getattr(module, "app", None)
        if program is None and hasattr(module, "main"):
            program = typer.Typer()
            program.command()(module.main)
        if program is not None:
            command = typer.main.get_command(program)
            while words and hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            self.parsed(command, words)

    def pip(self, words):
        """Check that what is installed is named as packages are, and that the extras of this one exist."""
        assert words[0] in {"install", "download"}
        for word in words[1:]:
            if word.startswith("-") or "/" in word or word.endswith((".whl", ".txt")) or word == ".":
                continue
            requirement = Requirement(word)
            if requirement.name == "tailgate":
                assert requirement.extras <= extras()
                assert requirement.url, "it is on no index: 'tailgate @ git+ADDRESS', or the path of a clone"

    def make(self, words):
        """Check targets and variables."""
        text = (ROOT / "Makefile").read_text()
        for word in words:
            name, equals, _ = word.partition("=")
            pattern = rf"\$\(?.*\b{name}\b|^{name} " if equals else rf"^{name}:"
            assert re.search(pattern, text, re.MULTILINE), f"the Makefile knows no {word}"

    def tox(self, words):
        """Check the environments; what stands behind -- is the drill's or pytest's."""
        end = words.index("--") if "--" in words else len(words)
        own, posargs = [word for word in words[:end] if word != "-l"], words[end + 1 :]
        text = (ROOT / "tox.ini").read_text()
        for flag, name in zip(own[::2], own[1::2], strict=True):
            assert flag == "-e"
            assert re.search(rf"^\[testenv:.*\b{name}\b|^env_list = .*\b{name}\b", text, re.MULTILINE), name
        if own[1::2] == ["drill"]:
            self.tailgate(["drill", *posargs])
        else:
            self.pytest(posargs)

    def uvicorn(self, words):
        """Check that an application of ours is there; one of the reader's is theirs."""
        for word in words:
            module, colon, name = word.partition(":")
            if colon and module.startswith("tailgate"):
                assert hasattr(importlib.import_module(module), name)

    def curl(self, words):
        """Check that the service has the path that is asked for."""
        for word in words:
            if match := re.fullmatch(r"(?:https?://)?localhost(?::\d+)?(/[^?]*)?.*", word):
                path = match[1] or "/"
                assert any(re.fullmatch(pattern, path) for pattern in paths()), f"the service has no {path}"


@cache
def extras():
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@cache
def paths():
    """Return the service's paths as patterns."""
    documented = create_app(load_settings({})).openapi()["paths"]
    # test_oip_clients runs the commands of the Open Inference Protocol.
    return [*documented, "/", "/metrics", "/openapi.json", "/health/live", "/health/ready", "/v2/.*"]


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_that_a_page_shows_can_be_given(command, check):
    for words in simple(command.text):
        check.command(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_with_commands_says_so(page):
    """Else nobody would check them: `console` with a dollar before each command, or `sh`."""
    assert unmarked(page) == []


WORKFLOWS = [*of_workflows(ROOT / ".github/workflows")]


@pytest.mark.parametrize("command", WORKFLOWS, ids=str)
def test_a_command_that_a_workflow_runs_can_be_given(command, check):
    for words in simple(command.text):
        check.command(words)


def test_every_night_there_is_more_evidence_a_soak_and_a_drill():
    nightly = {command.text for command in WORKFLOWS if command.page.stem == "nightly"}
    assert {
        'tox -e cpu-fp32 -- "--perf-profile=thorough"',
        'tox -e cpu-fp32 -- "--perf-scenario=soak"',
    } < nightly
    assert [text for text in nightly if text.startswith("tox -e drill -- ")]


# The check itself


@pytest.mark.parametrize(
    "text",
    [
        "tailgate no-such-command",
        "tailgate judge .perf/RUN --no-such-option",
        "tailgate compare main --no-such-option=5",
        "tailgate compare main --time-limit=soon",
        "tailgate serve --max-batch-size many",
        "TAILGATE_MAX_BATCH_SIZE=many tailgate serve",
        "export TAILGATE_MAX_BATCH_SIZE=many",
        "pytest -m perf --perf-no-such-option",
        "pytest -m perf --perf-seed=x",
        "python -m benchmarks.no_such_module",
        "python -m benchmarks.gate.proofs --no-such-option",
        "python -m pytest --no-such-option",
        "pip install 'tailgate[no-such-extra] @ git+ADDRESS'",
        "pip install tailgate",
        "podman build -f deploy/no-such-file -t x .",
        "make no-such-target",
        "make gate NO_SUCH_VARIABLE=1",
        "tox -e no-such-environment",
        "tox -e drill -- --no-such-option",
        "uvicorn --factory tailgate.service.http.app:no_such_name",
        "curl localhost:8000/no/such/path",
        "git status && tailgate no-such-command",
        "no-such-program",
    ],
)
def test_a_command_that_cannot_be_given_is_refused(text, check):
    with pytest.raises((Exception, SystemExit, pytest.fail.Exception)):
        list(map(check.command, simple(text)))


def test_commands_are_found_in_blocks_and_in_sentences(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Run `make test`, not `tests`.\n\n```console\n$ pytest -m perf  # now\nPASS\n$ a \\\n  b\n```\n"
        "\n```sh\n# a comment\npip install x\n```\n\n```python\nmake = 1\n```\n"
    )
    assert [(command.line, command.text) for command in commands(page)] == [
        (4, "pytest -m perf  # now"),
        (6, "a b"),
        (12, "pip install x"),
        (1, "make test"),
    ]
    assert list(lines_of("json", "make test")) == []
    page.write_text("```\n$ make test\n```\n\n```text\npytest -m perf\n```\n")
    assert unmarked(page) == ["$ make test", "pytest -m perf"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 'b c' # d", [["a", "b c"]]),
        ("a && b | c > d", [["a"], ["b"], ["c"]]),
        ("tailgate compare BASE [HEAD]", [["tailgate", "compare", "BASE"]]),
        ("pip install 'x[y]'", [["pip", "install", "x[y]"]]),
        ("pytest … -k a#b", [["pytest", "-k", "a#b"]]),
    ],
)
def test_a_command_line_is_split_as_a_shell_does_it(text, words):
    assert list(simple(text)) == words


def test_every_option_has_a_short_form():
    assert set(SHORT) == {f"--{option.name}" for option in OPTIONS}
