"""Which project pytest was called for: pytest itself says whether a value behind a space has led it to another."""

import pytest

from tailgate.harness.gate.invocation import misleading_value, project_folder
from tailgate.harness.gate.options import VALUED

# Files by their path; the folder that pytest is called in is "here".
LAYOUTS = {
    "an ini file here": {"here/pytest.ini": "[pytest]"},
    "an ini file here and one elsewhere": {"here/pytest.ini": "[pytest]", "other/tox.ini": "[pytest]"},
    "an ini file above": {"pytest.ini": "[pytest]", "here/tox.ini": "[tox]"},
    "a project with nothing for pytest": {"here/pyproject.toml": "[project]\nname = 'x'"},
    "nothing for pytest here, and an ini file above": {
        "here/pyproject.toml": "[project]\nname = 'x'",
        "setup.cfg": "[tool:pytest]",
    },
    "tables of pyproject": {
        "here/pyproject.toml": "[tool.pytest.ini_options]",
        "here/sub/pyproject.toml": "[tool.pytest.ini_options]",
    },
    "no ini file at all": {"here/budgets.toml": ""},
    "a setup.py here": {"here/setup.py": ""},
    "an ini file below": {"here/sub/pytest.ini": "[pytest]"},
}
WORDS = [
    ["--perf-output", "{top}/other"],
    ["--perf-output", "."],
    ["--perf-output", "sub"],
    ["--perf-output", "gone"],
    ["--perf-budgets", "../other/file.toml"],
    ["--perf-readiness-path", "/"],
    ["--perf-seed", "5", "--perf-plugin", "{top}/other/file.toml"],
    ["--perf-against-python", "{top}/other", "--perf-target", "sub"],
]
TESTS = [[], ["sub"], ["sub/test_x.py::test_x"], ["sub", "{top}/other"], ["{top}/other"]]
# All of them with each layout; together they would be a hundred of the same kind.
CASES = [(words, []) for words in WORDS] + [
    (WORDS[index % 3], tests) for index, tests in enumerate(TESTS[1:])
]


@pytest.fixture
def layout(pytester, monkeypatch):
    """Return a function that writes files and goes to the folder "here"; it returns the folder above."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def write(files):
        top = pytester.path
        every = {"other/file.toml": "", "here/sub/test_x.py": "def test_x(): pass", **files}
        for name, text in every.items():
            top.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            top.joinpath(name).write_text(text)
        monkeypatch.chdir(top / "here")
        return top

    return write


def parsed(pytester, words):
    config = pytester.parseconfig("-p", "tailgate", *words)
    return config, (config.inipath, config.rootpath)


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_what_is_refused_is_what_pytest_would_have_found_another_project_for(pytester, layout, files):
    top = layout(files)
    for options, tests in CASES:
        given = [word.format(top=top) for word in options]
        chosen = [word.format(top=top) for word in tests]
        pairs = zip(given[::2], given[1::2], strict=True)
        joined = [f"{name}={value}" for name, value in pairs]
        _, right = parsed(pytester, [*joined, *chosen])
        config, found = parsed(pytester, [*given, *chosen])
        misled = misleading_value(
            [*given, *chosen], config.option.file_or_dir, top / "here", found, VALUED.__contains__
        )
        assert (misled is not None) is (found != right), (given, chosen, found, right)
        assert misled is None or misled in zip(given[::2], given[1::2], strict=True)


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "{top}/here/pytest.ini", "--perf-output", "{top}/other"],
        ["--perf-output={top}/other"],
        ["--perf-output", "{top}/gone"],
        ["--perf-require-device", "sub"],
    ],
)
def test_what_is_said_outright_is_believed(pytester, layout, words):
    top = layout({"here/pytest.ini": "[pytest]"})
    config, _ = parsed(pytester, [word.format(top=top) for word in words])
    assert config.inipath == top / "here" / "pytest.ini"


def test_the_words_of_a_file_are_words_as_well(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "words").write_text("--perf-output\n/")
    found = None, tmp_path.root
    assert misleading_value(["@words"], [], tmp_path, found, VALUED.__contains__) == ("--perf-output", "/")


def test_a_file_that_cannot_be_read_is_no_ini_file(tmp_path):
    (tmp_path / "tox.ini").mkdir()
    (tmp_path / "setup.cfg").write_bytes(b"\xff\xfe[tool:pytest]")
    assert project_folder(tmp_path) == tmp_path
