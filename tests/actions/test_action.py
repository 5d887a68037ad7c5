"""action.yml on a toy repository: its own scripts, run as a runner would run them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml
from workflow_steps import ROOT, Job, comment_job

from tailgate.harness.results import file as results_file
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result, fake_server_spec, run_result

UPLOAD = "actions/upload-artifact"
BUDGETS = '"*" = { error_rate = 0.0 }\n"steady" = { rate = "20 /s", p95 = "100 ms" }\n'
# Stands for an interpreter: a gate that notes how it was asked and has this result; all else is Python's own. Reports are
# those of tailgate where a test looks at them.
STAND_IN = """#!/usr/bin/env bash
case "$*" in
  *"-m pytest"*)
    printf '%s\\n' "$@" >"{log}"
    for word; do [[ $word != --perf-output=* ]] || out=${{word#*=}}; done
    {leave}
    printf '%s\\n' {printed} >&2
    exit {status} ;;
  *"pip install"*) printf '%s\\n' "$@" >"{log}.pip" ;;
  *"import tailgate"*) exit {installed} ;;
  *tailgate.harness.cli*) {reports} ;;
  *) exec {python} "$@" ;;
esac
"""


def git(folder, *words):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def toy(tmp_path):
    """A repository with a base and a head, and a clone of it as checkout makes one."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    # As GitHub's servers do.
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    for text in ("first", "base", "head"):
        (origin / "budgets.toml").write_text(f"# {text}\n{BUDGETS}")
        git(origin, "add", "budgets.toml")
        git(origin, "commit", "-q", "-m", text)
    return origin


@pytest.fixture
def checkout(toy, tmp_path):
    """Return a function that clones the repository, as deep as asked, and gives the clone and its base's hash."""

    def clone(depth=None):
        there = tmp_path / "a clone"
        deep = [] if depth is None else [f"--depth={depth}"]
        git(tmp_path, "clone", "-q", *deep, toy.as_uri(), str(there))
        return there, git(toy, "rev-parse", "HEAD~1")

    return clone


@pytest.fixture
def job(tmp_path):
    """Return a function that makes a job whose gate comes to this result."""

    def make(workspace, result=None, *, status=0, installed=0, reports=False, printed="", **more):
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        log, kept, stand_in = tmp_path / "asked", tmp_path / "results.json", tmp_path / "python for tests"
        if result is not None:
            results_file.write(result, kept)
        leave = (
            ""
            if result is None
            else f'mkdir -p "$out/run"; cp {shlex.quote(str(kept))} "$out/run/results.json"'
        )
        python = shlex.quote(sys.executable)
        text = STAND_IN.format(
            log=log,
            leave=leave,
            status=status,
            installed=installed,
            python=python,
            printed=shlex.quote(printed),
            reports=f'exec {python} "$@"' if reports else "",
        )
        stand_in.write_text(text)
        stand_in.chmod(0o755)
        made = Job("action.yml", temporary, workspace, python=str(stand_in), **more)
        made.uses[UPLOAD] = lambda given: {"artifact-url": f"https://example.test/{given['name']}"}
        made.asked = lambda: log.read_text().splitlines()
        return made

    return make


def of_pull_request(base, *, fork=False):
    return {"pull_request": {"base": {"sha": base}, "head": {"repo": {"fork": fork}}}}


PASS = run_result()
FAIL = run_result(
    [criterion_result("p95", 0.2, verdict=Verdict.FAIL, reason="beyond: 50 % too slow: far, too")]
)


# What is compared with


def test_without_a_base_budgets_are_checked_and_git_is_not_asked(job, tmp_path):
    made = job(
        tmp_path, PASS, target="http://127.0.0.1:1/api", options='--perf-header="A: b c" --perf-seed=3'
    )
    assert made.run() == 0
    asked = made.asked()
    assert asked[:8] == ["-P", "-m", "pytest", "-p", "tailgate", "--pyargs", "tailgate.scenarios", "-m"]
    assert asked[-3:] == ["--perf-target=http://127.0.0.1:1/api", "--perf-header=A: b c", "--perf-seed=3"]
    assert not [word for word in asked if word.startswith("--perf-against")]


@pytest.mark.parametrize("depth", [None, 1])
def test_the_base_of_a_pull_request_is_found_and_fetched_into_a_shallow_clone(job, checkout, depth):
    clone, base = checkout(depth)
    made = job(clone, PASS, against="base", event=of_pull_request(base))
    assert made.run() == 0, made.out
    assert f"--perf-against={base}" in made.asked()
    # A revision without its history can be checked out beside the head.
    git(clone, "worktree", "add", "-q", "--detach", str(clone.parent / "tree"), base)


def test_a_push_is_compared_with_what_it_was_pushed_onto(job, checkout):
    clone, base = checkout()
    made = job(clone, PASS, against="base", event={"before": base}, event_name="push")
    assert made.run() == 0
    assert f"--perf-against={base}" in made.asked()


@pytest.mark.parametrize("depth", [None, 1])
def test_a_revision_may_be_a_branch_of_origin_or_one_that_only_origin_has(job, checkout, toy, depth):
    git(toy, "branch", "release", "HEAD~1")
    clone, base = checkout(depth)
    made = job(clone, PASS, against="release")
    assert made.run() == 0, made.out
    assert f"--perf-against={base}" in made.asked()


@pytest.mark.parametrize(
    ("event_name", "event", "inputs", "message"),
    [
        (
            "push",
            {"before": "0" * 40},
            {"against": "base"},
            "names no commit to compare with (the first push of a branch",
        ),
        (
            "workflow_dispatch",
            {},
            {"against": "base"},
            "The event workflow_dispatch names no commit to compare with",
        ),
        ("schedule", {}, {"against": "base"}, "Give against: a branch, tag or commit."),
        ("push", {}, {"against": "f" * 40}, "There is no commit ffffffffff"),
        (
            "push",
            {},
            {"against": "--upload-pack=touch x"},
            "There is no commit --upload-pack=touch x here or at origin.",
        ),
        ("pull_request_target", {}, {}, "with a token that may write. Run the gate on pull_request."),
        ("workflow_run", {}, {}, "with a token that may write"),
    ],
)
def test_what_cannot_be_compared_ends_the_job_with_words_before_anything_runs(
    job, checkout, event_name, event, inputs, message
):
    clone, _ = checkout()
    made = job(clone, PASS, event_name=event_name, event=event, **inputs)
    assert made.run() == 2
    assert [
        line
        for line in made.out.splitlines()
        if line.startswith("::error title=tailgate::") and message in line
    ]
    assert made.outcomes["gate"] == "skipped"


def test_a_shallow_clone_whose_base_cannot_be_fetched_says_how_to_get_it(job, checkout, toy):
    clone, base = checkout(depth=1)
    git(toy, "config", "uploadpack.allowAnySHA1InWant", "false")
    git(clone, "remote", "set-url", "origin", "file:///nowhere")
    made = job(clone, PASS, against="base", event=of_pull_request(base))
    assert made.run() == 2
    assert (
        f"The checkout is shallow and lacks {base}, which could not be fetched. Give actions/checkout fetch-depth: 0."
        in made.out
    )


def test_a_folder_that_is_no_checkout_says_so(job, tmp_path):
    made = job(tmp_path, PASS, against="base", event=of_pull_request("a" * 40))
    assert made.run() == 2
    assert "is not in a git checkout" in made.out


def test_a_fork_is_gated_like_any_other_and_told_who_may_comment(job, checkout):
    clone, base = checkout()
    made = job(clone, PASS, against="base", event=of_pull_request(base, fork=True))
    assert made.run() == 0
    assert "::notice title=tailgate::The pull request comes from a fork" in made.out
    assert f"--perf-against={base}" in made.asked()


# What it says


def test_a_failure_is_annotated_at_its_budget_uploaded_and_ends_the_job_last(job, checkout):
    clone, _ = checkout()
    made = job(clone, FAIL, status=1, reports=True)
    uploaded = []
    made.uses[UPLOAD] = lambda given: uploaded.append(given) or {"artifact-url": "https://example.test/a"}
    assert made.run() == 1
    assert (
        "::error file=budgets.toml,line=3,title=tailgate%3A FAIL::steady: p95 (client): beyond: 50 %25 too slow: far, too"
        in made.out.splitlines()
    )
    assert made.outputs["gate"]["verdict"] == "FAIL"
    (given,) = uploaded
    assert given["name"] == "tailgate"
    kept = {path.name for path in Path(given["path"]).iterdir()}
    assert kept >= {"results.json", "badge.json"}
    badge = orjson.loads((Path(given["path"]) / "badge.json").read_bytes())
    assert badge == {"schemaVersion": 1, "label": "tailgate", "message": "FAIL", "color": "red"}
    assert "[The whole report](https://example.test/a)" in made.summary.read_text()


def test_a_file_is_named_as_the_repository_sees_it(job, tmp_path):
    folder = tmp_path / "repository" / "services" / "one"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        "[tool.tailgate.budgets]\n\n[tool.tailgate.budgets.steady]\np95 = '1 s'\n"
    )
    made = job(tmp_path / "repository", FAIL, status=1, reports=True, **{"working-directory": "services/one"})
    made.run()
    assert "::error file=services/one/pyproject.toml,line=4,title=" in made.out


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("ERROR: 100 % wrong: expected this", "100 % wrong: expected this"),
        ("Killed", 'the log of the step "Run the gate" says why'),
    ],
)
def test_a_gate_that_measured_nothing_says_why_in_annotation_and_summary_and_uploads_nothing(
    job, tmp_path, printed, said
):
    made = job(tmp_path, None, status=4, printed=printed)
    made.uses[UPLOAD] = None
    assert made.run() == 4
    told = f"The gate measured nothing and ended with status 4: {said}"
    assert f"::error title=tailgate::{told.replace('%', '%25')}" in made.out.splitlines()
    assert made.summary.read_text().startswith("# tailgate: no result\n")
    assert said in made.summary.read_text()


def test_tailgate_is_installed_from_the_action_itself_where_the_interpreter_lacks_it(job, tmp_path):
    made = job(tmp_path, PASS, installed=1)
    made.path = "/usr/bin:/bin"  # without uv
    assert made.run() == 0, made.out
    assert (tmp_path / "asked.pip").read_text().splitlines()[-1] == str(ROOT)


def test_an_interpreter_that_is_too_old_is_refused(job, tmp_path):
    made = job(tmp_path, PASS)
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    made.context["inputs"]["python"] = str(old)
    assert made.run() == 2
    assert "is not Python 3.11 or newer. Run actions/setup-python before" in made.out


# With the gate itself

SCENARIO = """
from tailgate import Constant, Criterion, Phase, Scenario, hookimpl

@hookimpl
def tailgate_scenarios(profile):
    phase = Phase("load", Constant(100.0), requests=30)
    return [Scenario("tiny", "a few requests", (phase,), (Criterion("error_rate", 0.0, ("load",)),))]
"""


def test_a_pull_request_of_a_fork_goes_from_a_shallow_checkout_to_summary_badge_and_comment(
    checkout, tmp_path
):
    clone, base = checkout(depth=1)
    (clone / "tiny.py").write_text(SCENARIO)
    shutil.copy(ROOT / "tests" / "plants" / "unmeasured.py", clone / "conftest.py")
    (clone / "body.txt").write_text("x")
    (tmp_path / "temporary").mkdir()
    options = (
        "--perf-plugin=tiny.py --perf-scenario=tiny --perf-payloads=file:body.txt --perf-enforce=measurement"
    )
    made = Job(
        "action.yml",
        tmp_path / "temporary",
        clone,
        event=of_pull_request(base, fork=True),
        python=sys.executable,
        target=fake_server_spec(),
        options=options,
    )
    uploaded = []
    made.uses[UPLOAD] = lambda given: (
        uploaded.append(given["path"]) or {"artifact-url": "https://example.test/a"}
    )
    assert made.run() == 0, made.out
    verdict = made.outputs["gate"]["verdict"]
    assert verdict in {one.value for one in Verdict}
    summary = made.summary.read_text()
    assert "## tiny: " in summary
    assert summary.endswith("open report.html in it.\n")
    (artifact,) = uploaded
    assert (Path(artifact) / "report.html").is_file()
    assert orjson.loads((Path(artifact) / "badge.json").read_bytes())["message"] == verdict

    commenting = comment_job(
        tmp_path / "comment", lambda given: shutil.copytree(artifact, given["path"]) and {}
    )
    assert commenting.run() == 0, commenting.out
    mark, headline = commenting.body().splitlines()[:2]
    assert mark == "<!-- tailgate: tailgate -->"
    assert headline == summary.splitlines()[0]


def test_the_page_on_the_action_lists_every_input_and_shows_files_that_fit():
    page = (ROOT / "docs" / "how-to" / "github-action.md").read_text("utf-8")
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    listed = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert listed == list(action["inputs"])
    gate, comment = (
        yaml.safe_load(text)["jobs"] for text in re.findall(r"```yaml\n(# [.]github.*?)```", page, re.DOTALL)
    )
    called = yaml.safe_load((ROOT / ".github/workflows/gate.yml").read_text("utf-8"))
    # YAML 1.1 reads the key "on" as true.
    assert set(gate["gate"]["with"]) <= set(called[True]["workflow_call"]["inputs"])
    assert comment["comment"]["steps"][0]["uses"].startswith("OWNER/tailgate/.github/actions/comment@")
