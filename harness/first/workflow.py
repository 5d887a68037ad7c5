"""The workflow that ``tailgate init`` writes, and from where it installs tailgate: from where this one came."""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

WORKFLOW = Path(".github") / "workflows" / "perf.yml"
TEXT = """\
name: perf
on: pull_request
jobs:
  gate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
{install}
      # The speed of this machine is unknown, so only a broken measurement fails here. On a machine of your own, leave
      # --perf-enforce out.
      - run: pytest -m perf --perf-enforce=measurement
"""
ADDRESS = "ADDRESS"
UNKNOWN = f"""\
      # tailgate is not on PyPI yet. Replace {ADDRESS} with the URL of its repository, as you would give it to git clone, and
      # add @ and a commit.
"""


def workflow(requirement: str, project: str) -> str:
    """Return the text of the workflow, which installs tailgate by this requirement, and what pip needs for the project."""
    quoted = f"'{requirement}'" if " " in requirement else requirement
    said = UNKNOWN if requirement.endswith(ADDRESS) else ""
    return TEXT.format(install=f"{said}      - run: pip install {quoted} {project}".rstrip())


def own_requirement() -> str:
    """Return what pip installs this version of tailgate by, wherever it came from."""
    installed = metadata.distribution("tailgate")
    return requirement(installed.version, json.loads(installed.read_text("direct_url.json") or "null"))


def requirement(version: str, origin: Mapping[str, Any] | None) -> str:
    """Return a requirement from what pip noted of the origin (PEP 610): nothing for an index, else an address.

    A folder or a file of this machine is none that another one has.
    """
    if origin is None:
        return f"tailgate=={version}"
    if "vcs_info" not in origin:
        return f"tailgate @ git+{ADDRESS}"
    control = origin["vcs_info"]
    return f"tailgate @ {control['vcs']}+{origin['url']}@{control['commit_id']}"
