"""The comment on a pull request: whose it is, what may stand in it, and that it is updated in place."""

import re
from pathlib import Path

import pytest
from workflow_steps import SHA, comment_job

from tailgate.harness.results import file as results_file
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.testing import run_result


@pytest.fixture
def job(tmp_path):
    """Return a function that makes a job after a gate's run that left this result."""

    def make(result, **changes):
        def download(given):
            if result is None:
                raise FileNotFoundError(given["name"])
            folder = Path(given["path"]) / "20261122T143705Z-0a1b2c"
            if isinstance(result, bytes):
                folder.mkdir(parents=True)
                (folder / "results.json").write_bytes(result)
            else:
                results_file.write(result, folder / "results.json")
            return {}

        return comment_job(tmp_path, download, **changes)

    return make


def test_the_first_comment_is_made_and_holds_the_verdict_and_the_way_to_the_run(job):
    made = job(run_result())
    assert made.run() == 0, made.out
    assert made.asked()[0].endswith("repos/them/theirs/pulls -f state=open -f head=stranger:my-branch")
    assert "--method POST repos/them/theirs/issues/7/comments" in made.asked()[-1]
    lines = made.body().splitlines()
    assert lines[0] == "<!-- tailgate: tailgate -->"
    assert lines[1].startswith("# PASS: ")
    assert lines[-1] == f"Commit {SHA}; [the run, with its report](https://example.test/run/1)."


def comment(number, body, kind="Bot"):
    return {"id": number, "body": body, "user": {"type": kind}}


def test_its_own_comment_is_updated_and_nobody_elses(job):
    others = (
        comment(1, "LGTM", "User"),
        comment(2, "<!-- tailgate: tailgate --> forged", "User"),
        comment(3, "<!-- tailgate: other -->"),
        comment(4, "<!-- tailgate: tailgate -->\nolder"),
    )
    made = job(run_result(), comments=others)
    assert made.run() == 0, made.out
    assert "--method PATCH repos/them/theirs/issues/comments/4" in made.asked()[-1]


@pytest.mark.parametrize(
    ("pulls", "changes", "said"),
    [
        ([], {}, f"No open pull request has {SHA} as its head"),
        ([{"number": 7, "head": {"sha": "b" * 40}}], {}, "or there is a newer commit"),
        ([], {"event": "push"}, "The run was of the event push, which has no pull request"),
    ],
)
def test_a_run_without_an_open_pull_request_is_commented_nowhere(job, pulls, changes, said):
    made = job(run_result(), pulls=pulls, **changes)
    assert made.run() == 0
    assert said in made.out
    assert "issues" not in made.out
    assert made.outcomes["result"] == "skipped"


def test_any_other_event_is_refused(job):
    made = job(run_result(), event_name="pull_request_target")
    assert made.run() == 2
    assert "This action is for a workflow on workflow_run, got pull_request_target" in made.out


@pytest.mark.parametrize(
    "result", [None, b"{}", b"not JSON", b'{"schema_version": "1.0", "verdict": "# PASS"}']
)
def test_a_result_that_is_not_there_or_is_none_is_said_to_be_missing(job, result):
    made = job(result)
    assert made.run() == 0, made.out
    assert "# tailgate: no result" in made.body()
    assert "PASS" not in made.body()


def test_what_a_pull_request_writes_into_its_result_is_text_and_nothing_else(job):
    said = "a | b\n# owned @everyone <img src=x> [click](https://evil.test) ![x](y) <!-- tailgate: x -->"
    made = job(run_result(faults=[Fault(Cause.NOISE, said)], command=said))
    assert made.run() == 0, made.out
    # Nothing in a block of code is a title, a name, an image or a link.
    outside = re.sub(r"^  (`{3,})\w*\n(?:  .*\n)*?  \1$", "", made.body(), flags=re.MULTILINE)
    body = outside.splitlines()
    text = "\n".join(body[1:-1])
    assert "\n# owned" not in text
    for mark in ("@everyone", "<img", "[click](", "![x]"):
        inside_code = [line for line in body if mark in line and "`" not in line]
        assert inside_code == []


def test_a_branch_name_is_an_argument_and_no_script(job):
    made = job(run_result(), head_branch="x$(touch owned);`touch owned`\"'")
    assert made.run() == 0, made.out
    assert "head=stranger:x$(touch owned);`touch owned`\"'" in made.asked()[0]
    assert not (made.workspace / "owned").exists()


def test_a_summary_that_is_too_long_for_a_comment_is_cut(job):
    faults = [Fault(Cause.NOISE, f"reason {number} " + "€" * 200) for number in range(400)]
    made = job(run_result(faults=faults))
    assert made.run() == 0, made.out
    assert len(made.body()) < 65_536
    assert "The rest is in the report." in made.body()
