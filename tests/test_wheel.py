"""The wheel as others install it: one top-level package, beside projects that have packages of the same names as our folders."""

import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from installed import install, ran

ROOT = Path(__file__).parents[1]
FOLDERS = ("service", "harness", "scenarios")
# A test of theirs passes if their packages are theirs, and if nothing of ours was loaded by another name than ours.
THEIR_TEST = """
    import sys

    import harness, scenarios, service

    def test_their_packages_are_theirs():
        assert {package.WHOSE for package in (harness, scenarios, service)} == {"theirs"}
        for name, module in sys.modules.items():
            where = getattr(module, "__file__", None) or ""
            assert name.startswith("tailgate") == ("/tailgate/" in where), (name, where)
"""
THEIR_SCENARIO = """
    import tailgate
    from tailgate import Constant, Criterion, Phase, Scenario, hookimpl

    @hookimpl
    def tailgate_scenarios(profile):
        phase = Phase("main", Constant(100.0), requests=20)
        return [Scenario("theirs", "their own", (phase,), (Criterion("error_rate", 0.5, ("main",)),))]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of what git has, as the source distribution does."""
    tree, built = tmp_path_factory.mktemp("tree") / "tailgate", tmp_path_factory.mktemp("wheel")
    kept = ("pyproject.toml", "README.md", "LICENSE", "tailgate", *FOLDERS)
    tree.mkdir()
    for name in kept:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name, **({"symlinks": True} if copy is shutil.copytree else {}))
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})"
    ran([sys.executable, "-W", "ignore", "-c", code], tree)
    (made,) = built.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory):
    """Return the programs of an environment with the wheel, and with our own environment's packages behind it."""
    programs = install(wheel, tmp_path_factory.mktemp("fresh"))
    for name, start in {"pytest": "pytest:console_main", "tailgate": "tailgate.harness.cli:main"}.items():
        module, _, function = start.partition(":")
        program = programs / name
        program.write_text(
            f"#!{programs / 'python'}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        )
        program.chmod(0o755)
    return programs


@pytest.fixture
def project(tmp_path):
    """Return the folder of somebody's project, which has packages service, harness and scenarios, and a test of them."""
    for name in FOLDERS:
        tmp_path.joinpath(name).mkdir()
        tmp_path.joinpath(name, "__init__.py").write_text('WHOSE = "theirs"\n')
    tmp_path.joinpath("conftest.py").touch()
    tmp_path.joinpath("test_theirs.py").write_text(textwrap.dedent(THEIR_TEST))
    unmeasured = (ROOT / "tests" / "plants" / "unmeasured.py").read_text()
    tmp_path.joinpath("their_scenarios.py").write_text(unmeasured + textwrap.dedent(THEIR_SCENARIO))
    return tmp_path


def test_a_wheel_has_one_top_level_package_and_all_that_belongs_to_it(wheel):
    names = [Path(name).parts for name in zipfile.ZipFile(wheel).namelist()]
    assert {parts[0] for parts in names if not parts[0].endswith(".dist-info")} == {"tailgate"}
    packed = {Path(*parts) for parts in names}
    for name in FOLDERS:
        for path in (ROOT / name).rglob("*"):
            if path.suffix in {".py", ".json", ".toml", ".html", ".js"}:
                assert Path("tailgate", path.relative_to(ROOT)) in packed
    look = {path.relative_to(ROOT) for path in (ROOT / "tailgate/look").glob("*.*")}
    assert {Path("tailgate/py.typed"), Path("tailgate/__init__.pyi"), *look} <= packed


@pytest.mark.parametrize("way", [("pytest",), ("python", "-m", "pytest")], ids=" ".join)
def test_a_project_with_packages_of_our_folders_names_runs_its_own_tests_and_the_gate(fresh, project, way):
    program = [fresh / way[0], *way[1:]]
    assert "1 passed" in ran([*program, "-q", "-p", "no:cacheprovider"], project)
    target = f"command:{fresh / 'python'} -P -m tailgate.harness.testing.fake_server --fd {{fd}} --service-time-ms 1"
    said = ran(
        [
            *program,
            *("--pyargs", "tailgate.scenarios", "-m", "perf", "--perf-plugin=their_scenarios.py"),
            *("--perf-scenario=theirs", f"--perf-target={target}", "--perf-enforce=measurement"),
        ],
        project,
    )
    assert "1 passed" in said


def test_the_conformance_tests_come_with_the_wheel_and_need_a_server_alone(fresh, project):
    found = ran([fresh / "pytest", "--pyargs", "tailgate.conformance", "--collect-only", "-q"], project)
    assert "test_a_live_server_answers_200" in found
    assert "--oip-url" in ran([fresh / "pytest", "--help"], project)


def test_every_public_name_is_there_and_is_loaded_when_it_is_asked_for(fresh, project):
    code = (
        "import sys, tailgate; assert not any(m.startswith('tailgate.harness') for m in sys.modules);"
        "print(*(type(getattr(tailgate, name)).__name__ for name in tailgate.__all__))"
    )
    assert "module" not in ran([fresh / "python", "-c", code], project).split()


def test_the_command_says_what_it_can_do_without_loading_what_measures_or_serves(fresh, project):
    code = (
        "import atexit, sys; from tailgate.harness.cli import main; sys.argv[1:] = ['--help']\n"
        "heavy = {'scipy', 'numpy', 'httpx', 'torch', 'pytest', 'rich'}\n"
        "atexit.register(lambda: print('loaded:', *sorted(heavy & set(sys.modules))))\n"
        "main()"
    )
    assert "\nloaded:\n" in ran([fresh / "python", "-c", code], project).replace("loaded: \n", "loaded:\n")
    assert "compare" in ran([fresh / "tailgate", "--help"], project)


def test_built_in_scenarios_and_the_example_import_only_what_is_promised_to_plugins():
    files = [*(ROOT / "scenarios").glob("*.py"), *(ROOT / "examples").rglob("*.py")]
    imported = {
        name
        for file in files
        for name in re.findall(r"^(?:from|import) (tailgate(?!_)[.\w]*)", file.read_text(), re.MULTILINE)
    }
    assert imported == {"tailgate", "tailgate.harness.testing", "tailgate.scenarios"}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_ours_cannot_be_imported_by_a_second_name(name):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"import tailgate.{name}" in done.stderr.splitlines()[-1]
