"""A runner of composite actions: their steps one after another, as a runner of GitHub Actions takes them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import orjson
import yaml

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
SHA = "a" * 40
DOWNLOAD = "actions/download-artifact"
# Stands for GitHub's program: notes what it is asked, and answers from files.
GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"{folder}/asked"
case "$*" in
  *"--method PATCH"*|*"--method POST"*)
    for word; do [[ $word != body=@* ]] || cp "${{word#body=@}}" "{folder}/body"; done ;;
  *"/comments") cat "{folder}/comments" ;;
  *"/pulls"*) cat "{folder}/pulls" ;;
  *) exit 1 ;;
esac
"""
_EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")
_NAME = re.compile(r"(?<![\w'.-])(?:inputs|github|steps|runner)(?:\.[\w-]+)+")


class Job:
    """Runs the steps of an action with these inputs for this event.

    Attributes:
        out: all that the steps have written to standard output and error.
        outputs: by step, what it wrote to GITHUB_OUTPUT.
        uses: by action, a function that stands for it: from its ``with`` to its outputs.
    """

    def __init__(
        self, action, temporary, workspace, *, event=None, event_name="pull_request", path=(), **inputs
    ):
        self.action = yaml.safe_load((ROOT / action).read_text("utf-8"))
        self.folder = (ROOT / action).parent
        self.workspace = workspace
        self.temporary = temporary
        self.summary = temporary / "summary.md"
        self.summary.touch()
        self.out = ""
        self.outputs = {}
        self.outcomes = {}
        self.uses = {}
        self.path = os.pathsep.join([*map(str, path), os.environ["PATH"]])
        defaults = {name: about.get("default", "") for name, about in self.action["inputs"].items()}
        assert set(inputs) <= set(defaults)
        self.context = {
            "inputs": defaults | inputs,
            "github": {"event_name": event_name, "event": event or {}, "token": "t"},
            "runner": {"temp": str(temporary)},
        }

    def run(self, until=None):
        """Run the steps, up to the one of this id; return the status of the first that failed, 0 for none."""
        status = 0
        for number, step in enumerate(self.action["runs"]["steps"]):
            name = step.get("id", str(number))
            condition = step.get("if", "")
            wanted = self.holds(condition) if condition else True
            if not wanted or (status and "cancelled()" not in condition):
                self.outcomes[name] = "skipped"
                continue
            ended = self._used(name, step) if "uses" in step else self._ran(name, step)
            self.outcomes[name] = "failure" if ended else "success"
            if not step.get("continue-on-error"):
                status = status or ended
            if name == until:
                break
        return status

    def _used(self, name, step):
        given = {key: self.filled(str(value)) for key, value in step["with"].items()}
        try:
            self.outputs[name] = self.uses[step["uses"].partition("@")[0]](given)
        except OSError:
            return 1
        return 0

    def _ran(self, name, step):
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "what varies reaches a script through env"
        output = self.temporary / f"output-{name}"
        output.touch()
        environment = {
            "PATH": self.path,
            "HOME": os.environ.get("HOME", "/"),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self.folder),
            "GITHUB_EVENT_NAME": self.context["github"]["event_name"],
            "GITHUB_OUTPUT": str(output),
            "GITHUB_REPOSITORY": "them/theirs",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temporary),
            "PERF_PLUGINS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a runner lacks the plugins of our tests
        }
        environment |= {key: self.filled(value) for key, value in step.get("env", {}).items()}
        script = self.temporary / f"script-{name}.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace / self.filled(step.get("working-directory", ".")),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.out += done.stdout
        self.outputs[name] = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode

    def filled(self, text):
        """Return a text with its expressions evaluated, each of which is a name."""
        return _EXPRESSION.sub(lambda found: self.value(found[1]), text)

    def value(self, name):
        """Return what a name stands for; what is not there is empty, as GitHub has it."""
        first, *rest = name.split(".")
        if first == "steps":
            step, part = rest[0], rest[1]
            if part == "outcome":
                return self.outcomes.get(step, "")
            return self.outputs.get(step, {}).get(rest[2], "")
        value = self.context[first]
        for part in rest:
            value = value.get(part, "") if isinstance(value, dict) else ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    def holds(self, condition):
        """Tell whether a condition of names, texts, ``&&``, ``==`` and ``!=`` holds, in a job that nobody has cancelled."""
        text = condition.strip().removeprefix("${{").removesuffix("}}").replace("!cancelled()", "True")
        return eval(_NAME.sub(lambda found: repr(self.value(found[0])), text).replace("&&", "and").strip())


def comment_job(
    folder,
    download,
    *,
    pulls=({"number": 7, "head": {"sha": SHA}},),
    comments=(),
    event_name="workflow_run",
    **changes,
):
    """Return the job that comments after a gate's run; ``download`` stands for the fetching of its artifact.

    ``body`` of the job returns the comment that was written, and ``asked`` what GitHub was asked.
    """
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "gh"
    program.write_text(GH.format(folder=folder))
    program.chmod(0o755)
    (folder / "pulls").write_bytes(orjson.dumps(list(pulls)))
    # As --paginate prints: an array per page.
    (folder / "comments").write_bytes(b"".join(orjson.dumps([one]) for one in comments) or b"[]")
    temporary = folder / "temporary"
    venv = temporary / "tailgate-venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (venv / "python").chmod(0o755)
    run = {
        "event": "pull_request",
        "head_repository": {"owner": {"login": "stranger"}},
        "head_branch": "my-branch",
        "head_sha": SHA,
        "html_url": "https://example.test/run/1",
        "id": 1,
    }
    made = Job(
        ".github/actions/comment/action.yml",
        temporary,
        folder,
        event={"workflow_run": run | changes},
        event_name=event_name,
        path=[folder / "bin"],
    )
    made.uses[DOWNLOAD] = download
    # What installs the very tailgate that these tests are of would need the network.
    made.action["runs"]["steps"] = [
        one for one in made.action["runs"]["steps"] if one["name"] != "Install tailgate"
    ]
    made.body = (folder / "body").read_text
    made.asked = lambda: (folder / "asked").read_text().splitlines()
    return made
