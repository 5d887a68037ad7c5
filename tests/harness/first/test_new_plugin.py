"""``tailgate init --plugin``: a package that builds, whose test passes, and whose scenario takes part."""

import sys
from pathlib import Path

import pytest
from installed import install, ran

from tailgate.harness import cli
from tailgate.harness.cli import Status

ROOT = Path(__file__).parents[3]


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command in an empty folder, and gives its status and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERF_PLUGINS", "scenarios")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tailgate", "init", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out + captured.err

    return run


def test_a_plugin_builds_its_test_passes_and_its_scenario_takes_part(init, tmp_path):
    status, said = init("--plugin", "my-load")
    assert status == Status.PASS, said
    assert "wrote my-load/pyproject.toml, my-load/my_load.py, my-load/test_my_load.py" in said
    package = tmp_path / "my-load"
    build = "from setuptools.build_meta import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    ran([sys.executable, "-W", "ignore", "-c", build, tmp_path], package)
    (wheel,) = tmp_path.glob("*.whl")
    python = install(wheel, tmp_path / "home", ROOT) / "python"
    known = ran([python, "-P", "-m", "tailgate.harness.cli", "plugins"], tmp_path)
    assert "my-load (my-load 0.1.0): tailgate_scenarios" in known
    assert "2 passed" in ran([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."], package)


@pytest.mark.parametrize("words", [("--plugin=lunch",), ("--plugin", "lunch"), ("--force", "--plugin=lunch")])
def test_a_name_may_stand_behind_a_space_or_an_equals_sign(init, tmp_path, words):
    assert init(*words)[0] == Status.PASS
    assert (tmp_path / "lunch" / "lunch.py").is_file()


def test_a_second_time_replaces_nothing_without_force(init, tmp_path):
    init("--plugin=lunch")
    changed = tmp_path / "lunch" / "lunch.py"
    changed.write_text("# mine")
    (tmp_path / "lunch" / "pyproject.toml").unlink()
    status, said = init("--plugin=lunch")
    assert status == Status.PASS
    assert "wrote lunch/pyproject.toml" in said
    assert "kept lunch/lunch.py, lunch/test_lunch.py, which --force replaces" in said
    assert changed.read_text() == "# mine"
    init("--plugin=lunch", "--force")
    assert "tailgate_scenarios" in changed.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plugin"], "'--plugin' requires an argument"),
        (["--plugin=My Load"], "got 'My Load'"),
        (["--plugin=-x"], "got '-x'"),
        (["--plugin=../x"], "got '../x'"),
        (["--plugin=class"], "got 'class'"),
        (["--plugin=steady"], "there is a scenario 'steady' already"),
        (["--plugin=json"], "there is a module 'json' already"),
        (["python app.py", "--plugin", "lunch"], "takes nothing but --force, got 'python app.py'"),
        (["--plugin=lunch", "python app.py"], "takes nothing but --force, got 'python app.py'"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(init, tmp_path, words, message):
    status, said = init(*words)
    assert status == Status.USAGE
    assert message in said
    assert list(tmp_path.iterdir()) == []
