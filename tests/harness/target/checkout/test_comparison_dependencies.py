"""Dependencies that differ between two trees, wherever they are declared, and what is no difference."""

import subprocess

import pytest

from tailgate.harness.errors import UsageError
from tailgate.harness.target.checkout import dependencies
from tailgate.harness.target.checkout.dependencies import dependency_changes

PROJECT = """
[project]
name = "demo"
dependencies = ["numpy>=2", "orjson >= 3"]
[project.optional-dependencies]
service = ["torch>=2.11"]
ml = ["scikit-learn"]
[dependency-groups]
dev = ["ruff", {include-group = "test"}]
test = ["pytest"]
"""
UV = """
version = 1
[[package]]
name = "demo"
version = "1.0"
source = {editable = "."}
[[package]]
name = "torch"
version = "2.11"
source = {registry = "an index"}
"""
POETRY = """
[[package]]
name = "numpy"
version = "2.0"
[metadata]
content-hash = "a"
"""


OWN_BY_OTHER_NAME = """
[[package]]
name = "DEMO"
version = "1.0"
source = {registry = "an index"}
"""
MEMBER = """
[[package]]
name = "another-member"
version = "1.0"
source = {virtual = "packages/another"}
"""
POETRY_MEMBER = """
[[package]]
name = "another"
version = "1.0"
[package.source]
type = "directory"
url = "packages/another"
"""
POETRY_PROJECT = """
[tool.poetry]
name = "demo"
[tool.poetry.dependencies]
numpy = "^2"
torch = {version = "^2.11", extras = ["x"]}
[tool.poetry.group.dev.dependencies]
ruff = "*"
"""


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "base", "head", "changes"),
    [
        ("pyproject.toml", PROJECT, PROJECT.replace("orjson >= 3", "orjson  >=  3"), []),
        (
            "pyproject.toml",
            PROJECT,
            PROJECT.replace(', "orjson >= 3"', ""),
            ["pyproject.toml, dependencies: base has 'orjson >= 3', head has not"],
        ),
        (
            "pyproject.toml",
            PROJECT,
            PROJECT.replace('"scikit-learn"', '"scikit-learn<1"'),
            [
                "pyproject.toml, extra ml: base has 'scikit-learn', head has not",
                "pyproject.toml, extra ml: head has 'scikit-learn<1', base has not",
            ],
        ),
        (
            "pyproject.toml",
            PROJECT,
            PROJECT.replace('["pytest"]', '["pytest", "httpx"]'),
            ["pyproject.toml, group test: head has 'httpx', base has not"],
        ),
        (
            "pyproject.toml",
            PROJECT,
            PROJECT.replace('ml = ["scikit-learn"]', "ml = []"),
            ["pyproject.toml, extra ml: base has 'scikit-learn', head has not"],
        ),
        ("constraints.txt", "torch==2.11  # pinned\nnumpy==2\n", "# new\nnumpy==2\n\ntorch==2.11\n", []),
        (
            "constraints-gpu.txt",
            "torch==2.11\n",
            "torch==2.12\n",
            [
                "constraints-gpu.txt: base has 'torch==2.11', head has not",
                "constraints-gpu.txt: head has 'torch==2.12', base has not",
            ],
        ),
        ("requirements/base.txt", "a==1 \\\n  --hash=x\n", "a==1 --hash=x\n", []),
        ("requirements.txt", "a @ git+https://x/y#egg=a\n", "a @ git+https://x/y#egg=b\n", 2),
        # The project's own version is none of its dependencies, nor is what a lock file says of itself.
        ("uv.lock", UV, UV.replace('"1.0"', '"1.1"') + "# made anew", []),
        (
            "uv.lock",
            UV,
            UV.replace("2.11", "2.12"),
            [
                'uv.lock: base has \'torch 2.11 from {"registry": "an index"}\', head has not',
                'uv.lock: head has \'torch 2.12 from {"registry": "an index"}\', base has not',
            ],
        ),
        # Names are compared as indexes do, and what lies in the repository is no package of an environment.
        ("uv.lock", OWN_BY_OTHER_NAME, OWN_BY_OTHER_NAME.replace('"1.0"', '"1.1"'), []),
        ("uv.lock", MEMBER, MEMBER.replace('"1.0"', '"1.1"'), []),
        ("poetry.lock", POETRY_MEMBER, POETRY_MEMBER.replace('"1.0"', '"1.1"'), []),
        ("poetry.lock", POETRY, POETRY.replace('"a"', '"b"'), []),
        ("poetry.lock", POETRY, POETRY.replace('"2.0"', '"2.1"'), 2),
        ("pdm.lock", "not = toml = at all\n", "not = toml = at all, and other\n", 2),
        ("uv.lock", None, UV, ["uv.lock: head alone has it"]),
        ("requirements.txt", "# nothing\n", None, []),
    ],
)
def test_what_is_declared_or_pinned_differently_is_named(tmp_path, name, base, head, changes):
    for folder, text in ((tmp_path / "base", base), (tmp_path / "head", head)):
        write(folder, {"pyproject.toml": PROJECT} | ({} if text is None else {name: text}))
    found = dependency_changes(tmp_path / "base", tmp_path / "head")
    assert len(found) == changes if isinstance(changes, int) else list(found) == changes


def test_what_poetry_declares_in_its_own_tables_is_compared(tmp_path):
    head = POETRY_PROJECT.replace('"^2"', '"^1"').replace('"*"', '">=1"')
    write(tmp_path, {"base/pyproject.toml": POETRY_PROJECT, "head/pyproject.toml": head})
    assert dependency_changes(tmp_path / "base", tmp_path / "base") == ()
    assert dependency_changes(tmp_path / "base", tmp_path / "head") == (
        """pyproject.toml, poetry dependencies: base has '{"numpy": "^2"}', head has not""",
        """pyproject.toml, poetry dependencies: head has '{"numpy": "^1"}', base has not""",
        """pyproject.toml, poetry group dev: base has '{"ruff": "*"}', head has not""",
        """pyproject.toml, poetry group dev: head has '{"ruff": ">=1"}', base has not""",
    )


def test_files_that_git_does_not_track_have_no_say(tmp_path):
    write(tmp_path, {"base/requirements.txt": "a==1\n", "head/requirements.txt": "a==1\n"})
    subprocess.run(["git", "init", "--quiet", tmp_path / "head"], check=True)
    subprocess.run(["git", "-C", tmp_path / "head", "add", "."], check=True)
    write(tmp_path, {"head/requirements-mine.txt": "b==1\n", "head/uv.lock": UV})
    assert dependency_changes(tmp_path / "base", tmp_path / "head") == ()
    # A change that is not committed yet is head's all the same.
    write(tmp_path, {"head/requirements.txt": "a==2\n"})
    assert len(dependency_changes(tmp_path / "base", tmp_path / "head")) == 2


def test_a_file_that_is_no_text_is_compared_by_its_bytes(tmp_path):
    for folder, content in (("base", b"caf\xe9"), ("same", b"caf\xe9"), ("head", b"caf\xe8")):
        write(tmp_path, {f"{folder}/requirements.txt": ""})
        (tmp_path / folder / "requirements.txt").write_bytes(content)
    assert dependency_changes(tmp_path / "base", tmp_path / "same") == ()
    assert len(dependency_changes(tmp_path / "base", tmp_path / "head")) == 2
    (tmp_path / "head" / "pyproject.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(UsageError, match=r"head's pyproject.toml is not TOML"):
        dependency_changes(tmp_path / "base", tmp_path / "head")


def test_many_differences_are_cut_short(tmp_path):
    write(tmp_path, {"base/requirements.txt": "", "head/requirements.txt": ""})
    pins = "".join(f"a{number}==1\n" for number in range(20))
    write(tmp_path, {"base/constraints.txt": pins, "head/constraints.txt": "b==1\n"})
    found = dependency_changes(tmp_path / "base", tmp_path / "head")
    assert len(found) == dependencies.MOST_PHRASES + 1
    assert found[-1] == f"and {21 - dependencies.MOST_PHRASES} more"


def test_a_project_file_that_is_no_toml_is_refused_by_name(tmp_path):
    write(tmp_path, {"base/pyproject.toml": PROJECT, "head/pyproject.toml": "[project"})
    with pytest.raises(UsageError, match=r"head's pyproject.toml is not TOML"):
        dependency_changes(tmp_path / "base", tmp_path / "head")
