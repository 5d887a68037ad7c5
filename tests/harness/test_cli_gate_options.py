"""The gate's options on tailgate's own command line: the same declarations, and the project's ini keys."""

import pytest

from harness.cli.gate_options import options_help, read_options, read_sides
from harness.errors import UsageError
from harness.options import OPTIONS

PROJECT = """
[tool.pytest.ini_options]
perf_seed = 5
perf_budgets = "limits.toml"
perf_plugin = ["one.py"]
perf_env = "A=1\\nB=2"
perf_require_device = true
perf_profile = "smoke"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    inside = tmp_path / "docs" / "deep"
    inside.mkdir(parents=True)
    return inside


def test_the_command_line_beats_the_ini_keys_of_the_project_above(folder, tmp_path):
    made = read_options(
        ["--perf-profile=thorough", "--seed", "7", "--lens=p95=8%", "--lens=p99=report"], folder
    )
    assert (made.profile, made.seed, made.lens) == ("thorough", 7, ("p95=8%", "p99=report"))
    assert (made.root, made.budgets, made.plugin) == (
        tmp_path,
        tmp_path / "limits.toml",
        (tmp_path / "one.py",),
    )
    assert (made.env, made.require_device) == (("A=1", "B=2"), True)
    assert made.given == {"profile", "seed", "lens"}


def test_without_a_project_there_are_the_defaults(tmp_path):
    made = read_options([], tmp_path)
    assert (made.root, made.target, made.seed) == (tmp_path, "service", None)


@pytest.mark.parametrize(
    ("arguments", "base", "head"),
    [
        (["main"], "main", "."),
        (["main", "--blocks", "2"], "main", "."),
        (["--blocks=2", "main", "--seed=3", "service:A=b"], "main", "service:A=b"),
    ],
)
def test_sides_stand_among_options(tmp_path, arguments, base, head):
    found, made = read_sides(arguments, tmp_path)
    assert (made.against, found) == (base, head)
    assert "against" in made.given


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["--blocks", "2"]])
def test_no_side_and_a_third_are_refused(tmp_path, arguments):
    with pytest.raises(UsageError, match=r"expected tailgate compare BASE \[HEAD\], got [03] sides"):
        read_sides(arguments, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--see=1"], "unrecognized arguments: --see=1"),
        (["--seed"], "expected one argument"),
        (["--seed=x"], "--perf-seed: cannot read 'x'"),
    ],
)
def test_what_is_no_option_is_refused(tmp_path, arguments, words):
    with pytest.raises(UsageError, match=words):
        read_options(arguments, tmp_path)


def test_a_project_file_that_is_no_toml_is_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[")
    with pytest.raises(UsageError, match=r"pyproject.toml is not TOML"):
        read_options([], tmp_path)


def test_the_help_lists_every_option_but_those_of_the_command():
    text = options_help("against")
    assert [option.name for option in OPTIONS if f"--{option.name} " not in text.replace(",", " ")] == [
        "against"
    ]
