"""The rules that hold for the repository as a whole: where things stand, how they are run, what is never written."""

import ast
import configparser
import re
import shutil
import stat
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = {
    ".ci",
    ".github",
    "benchmarks",
    "deploy",
    "docs",
    "examples",
    "harness",
    "scenarios",
    "service",
    "tailgate",
    "tests",
}
LARGEST_FILE_BYTES = 1_000_000
MOST_MODULES, MOST_LINES, MOST_LINES_OF_FUNCTION = 14, 300, 60
GATES = ("cpu-fp32", "cpu-bf16", "gpu-fp32", "gpu-fp16")

# A checkout has both; an unpacked source distribution may have neither.
needs_git = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is not a git checkout"
)
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def files() -> list[str]:
    """Name the files that are in the repository or would be with the next commit."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if (ROOT / name).is_file()]


# Where things stand


@needs_git
def test_every_top_level_folder_is_one_of_the_documented_ones():
    assert {name.split("/")[0] for name in files() if "/" in name} <= FOLDERS


@needs_git
def test_no_file_is_larger_than_a_megabyte():
    assert [name for name in files() if (ROOT / name).stat().st_size > LARGEST_FILE_BYTES] == []


@needs_git
@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        (
            "a package registry",
            r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|npmjs[.]org|deb[.]debian[.]org",
        ),
        ("a package index", r"(?:^|\s)--?(?:extra-)?index-url\b|^\s*(?:extra-)?index-url\s*="),
        ("a machine", r"(?<![\w.~$}-])/(?:work|root|farm|Users|home)/[\w.-]"),
    ],
)
def test_no_file_names_a_place_that_only_one_machine_has(what, pattern):
    found = [
        f"{name}:{number} names {what}: {line.strip()}"
        for name in files()
        for number, line in enumerate((ROOT / name).read_text("utf-8", errors="ignore").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []


# One object each, which two modules would cut in halves that know each other.
LONGER = {"service/http/connection.py", "service/batching/requests/request.py"}


@pytest.mark.parametrize("top", ["service", "harness", "scenarios", "benchmarks"])
def test_a_folder_a_module_and_a_function_are_short_enough_to_be_read_at_once(top):
    modules = [path for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py"]
    folders = Counter(path.parent for path in modules)
    texts = {path: path.read_text("utf-8") for path in (ROOT / top).rglob("*.py")}
    functions = {
        f"{path}:{node.lineno}": node.end_lineno - node.lineno + 1
        for path, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [folder for folder, count in folders.items() if count > MOST_MODULES] == []
    longer = {str(path.relative_to(ROOT)) for path, text in texts.items() if text.count("\n") > MOST_LINES}
    assert longer - LONGER == set()
    assert [where for where, lines in functions.items() if lines > MOST_LINES_OF_FUNCTION] == []


# How the tests are run


def test_no_example_of_a_property_has_a_time_to_keep():
    usual = hypothesis.settings()
    assert usual.deadline is None
    assert hypothesis.HealthCheck.too_slow in usual.suppress_health_check


# How things are run


def make_lines(target: str) -> list[str]:
    """List the commands that a make target runs, as tox writes them: without the environment's folder."""
    command = ["make", "--dry-run", "BIN=bin"]
    command += [f"{name}={{posargs}}" for name in ("PERF_ARGS", "UNIT_ARGS", "DRILL_ARGS")]
    command += ["AGAINST={env:AGAINST:HEAD}", target]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.removeprefix("bin/").strip() for line in lines if line.startswith("bin/")]


def tox_lines(environment: str) -> list[str]:
    """List the commands that a tox environment runs."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    if environment in GATES:
        section = next(name for name in tox.sections() if environment in name)
    elif environment.startswith("py3"):
        section = next(name for name in tox.sections() if environment.removeprefix("py") in name)
    else:
        section = f"testenv:{environment}" if f"testenv:{environment}" in tox else "testenv"
    return tox[section].get("commands", tox["testenv"]["commands"]).strip().splitlines()


@needs_make
@pytest.mark.parametrize(
    ("environment", "targets"),
    [
        ("lint", ["lint", "imports"]),
        ("type", ["type"]),
        ("unit", ["unit"]),
        ("docs", ["docs"]),
        ("lowest", ["unit"]),
        ("compare", ["compare"]),
        ("drill", ["drill"]),
        *((version, ["unit"]) for version in ("py311", "py312", "py313", "py314")),
        *((gate, ["gate"]) for gate in GATES),
    ],
)
def test_tox_runs_the_lines_that_make_runs(environment, targets):
    assert tox_lines(environment) == [line for target in targets for line in make_lines(target)]


@needs_make
def test_make_test_is_all_checks_and_all_tests():
    targets = ["lint", "type", "imports", "unit"]
    assert make_lines("test") == [line for target in targets for line in make_lines(target)]


@needs_make
def test_make_lowest_is_toxs_and_takes_no_constraints():
    assert make_lines("lowest") == ["python -m tox -e lowest -- {posargs}"]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    lowest = tox["testenv:lowest"]
    assert (lowest["uv_resolution"], lowest["constraints"]) == ("lowest-direct", "")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"python{project['requires-python'].removeprefix('>=')}" == lowest["base_python"]


@needs_make
def test_make_alone_lists_every_target():
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert declared
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\w+)", shown, re.MULTILINE) == declared[1].split()


def test_the_scripts_may_be_executed():
    assert [
        name for name in ("run", "setup") if not (ROOT / ".ci" / name).stat().st_mode & stat.S_IXUSR
    ] == []


def test_continuous_integration_runs_the_tests_and_the_short_gate():
    assert re.findall(r"^step (.*)$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE) == [
        "make test",
        "make smoke",
    ]


def test_the_workflow_runs_make_and_the_gates_of_tox():
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert "run: make test" in workflow
    assert "run: tox -e lowest" in workflow
    assert 'run: tox -e "$GATE"' in workflow
    assert "AGAINST: ${{ github.event.pull_request.base.sha }}\n        run: tox -e compare\n" in workflow
    planned = re.findall(r"\benv\"?: \"([\w-]+)\"", workflow)
    assert planned
    assert set(planned) <= set(GATES)


# By its commit with the version beside it, or of this repository at this very commit.
FIXED = r"[\w./-]+@[0-9a-f]{40} # v[\d.]+|\$/[\w./-]+|\./\.tailgate( # .*)?"


def workflows() -> list[Path]:
    return sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("workflow", workflows(), ids=lambda path: path.name)
def test_a_workflow_has_no_rights_at_the_top_and_fixes_its_actions(workflow):
    text = workflow.read_text("utf-8")
    jobs = re.findall(r"^    runs-on:", text, re.MULTILINE)
    uses = re.findall(r"\buses: (.*)$", text, re.MULTILINE)
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert len(re.findall(r"^    timeout-minutes: \d+$", text, re.MULTILINE)) == len(jobs)
    assert [use for use in uses if not re.fullmatch(FIXED, use)] == []
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_the_workflows_that_are_linted_are_all_there_are():
    linted = re.findall(
        r"[\w./-]+\.yml", " ".join(line for line in make_lines("lint") if "check-jsonschema" in line)
    )
    folders = (ROOT / ".github").rglob("*.yml")
    every = {str(path.relative_to(ROOT)) for path in folders}
    assert set(linted) == {"action.yml", *every}


def test_tox_explains_every_environment():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    sections = [name for name in tox.sections() if name.startswith("testenv:")]
    assert [name for name in sections if not tox[name].get("description")] == []


def test_the_citation_has_the_version_of_the_package():
    version = re.search(
        r'^__version__ = "(.*)"$', (ROOT / "tailgate/__init__.py").read_text("utf-8"), re.MULTILINE
    )
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert version
    assert cited
    assert cited[1] == version[1]


def test_every_version_of_python_that_is_declared_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix
    assert re.findall(r"3\.\d+", matrix[1]) == declared
    factors = re.search(r"\[testenv:py\{(.*)\}\]", (ROOT / "tox.ini").read_text("utf-8"))
    assert factors
    assert [f"{one[0]}.{one[1:]}" for one in factors[1].split(", ")] == declared


# What is installed


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_constraints_leave_pytorch_and_its_own_dependencies_free():
    free = re.compile(r"torch|torchvision|triton|sympy|mpmath|setuptools|nvidia-.*|cuda-.*")
    assert [name for name in constraints() if free.fullmatch(name)] == []


def test_the_constraints_fix_every_direct_dependency_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    fixed = constraints()
    wrong = []
    declared = [line for name in ("service", "demo", "docs", "dev") for line in extras[name]]
    for line in [*project["dependencies"], *declared]:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name not in {"torch", "torchvision"} and not requirement.specifier.contains(fixed.get(name, "0")):
            wrong.append(f"{line}, but constraints.txt has {fixed.get(name)}: run make constraints")
    assert wrong == []


# Setting up, with programs that stand for Python

GOOD_PYTHON = """\
case "$*" in
  *'import ensurepip'*) exit {ensurepip} ;;
  *_base_executable*) echo "$0" ;;
  *samefile*) test -e .venv/pyvenv.cfg ;;
  *'print('*) echo {version} ;;
  *version_info*) exit {too_old} ;;
  *'-m venv'*) mkdir -p .venv/bin; touch .venv/pyvenv.cfg; cp "$0" .venv/bin/python; echo made >>log ;;
  *'-m pip'*) echo installed >>log; exit {pip} ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """Return a function that runs the set-up in a folder with a space in its name, with a Python of these traits."""
    root = tmp_path / "a checkout"
    (root / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/setup", root / ".ci/setup")

    def setup(version="3.12", too_old=0, ensurepip=0, pip=0):
        python = tmp_path / "python for tests"
        script = GOOD_PYTHON.format(version=version, too_old=too_old, ensurepip=ensurepip, pip=pip)
        python.write_text("#!/bin/sh\n" + script)
        python.chmod(0o755)
        if (root / ".venv/bin/python").exists():
            shutil.copy(python, root / ".venv/bin/python")
        command = ["bash", str(root / ".ci/setup")]
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(python)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    setup.root = root
    setup.log = lambda: (root / "log").read_text().split()
    return setup


def test_a_set_up_makes_the_environment_and_marks_it_finished(checkout):
    run = checkout()
    assert (run.returncode, run.stderr) == (0, "")
    assert checkout.log() == ["made", "installed"]
    assert (checkout.root / ".venv/.ready").exists()


def test_a_python_that_is_too_old_is_refused_with_what_was_expected(checkout):
    run = checkout(version="3.9", too_old=1)
    assert run.returncode == 1
    assert "expected: Python 3.11 or newer" in run.stderr
    assert "is Python 3.9" in run.stderr
    assert "make PYTHON=" in run.stderr


def test_a_python_without_venv_is_refused_with_the_package_to_install(checkout):
    run = checkout(version="3.12", ensurepip=1)
    assert run.returncode == 1
    assert "apt-get install python3.12-venv" in run.stderr


def test_a_failed_installation_is_not_finished_and_goes_on_in_the_same_environment(checkout):
    assert checkout(pip=1).returncode == 1
    assert not (checkout.root / ".venv/.ready").exists()
    assert checkout().returncode == 0
    assert checkout.log() == ["made", "installed", "installed"]
    assert (checkout.root / ".venv/.ready").exists()


def test_an_environment_without_its_configuration_is_never_installed_into(checkout):
    """Its Python is the machine's own, and pip would write there."""
    checkout()
    (checkout.root / ".venv/pyvenv.cfg").unlink()
    assert checkout().returncode == 0
    assert checkout.log() == ["made", "installed", "made", "installed"]


def test_an_interrupted_installation_is_begun_again_from_nothing(checkout):
    checkout()
    (checkout.root / ".venv/.installing").touch()
    assert checkout().returncode == 0
    assert checkout.log() == ["made", "installed", "made", "installed"]
    assert not (checkout.root / ".venv/.installing").exists()
