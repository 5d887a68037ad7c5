"""Print the table of docs/reference/open-inference.md: ``python -m benchmarks.serving.conformance NAME=URL NAME=URL``.

Each server is asked by ``pytest --pyargs tailgate.conformance``. A test with parameters is one row.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path

PATIENCE_S = 300
# The worst of a test's parameters decides.
WORDS = ("FAIL", "pass", "–")
Results = Mapping[tuple[str, str], str]


def asked(url: str) -> Results:
    """Return what each test of each module came to."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--pyargs",
            "tailgate.conformance",
            f"--oip-url={url}",
        ]
        subprocess.run(
            [sys.executable, *command, f"--junit-xml={report}"], cwd=folder, check=False, timeout=PATIENCE_S
        )
        cases = ET.parse(report).getroot().iter("testcase")
        return worst((key(case), word(case)) for case in cases)


def key(case: ET.Element) -> tuple[str, str]:
    """Return the module and the name of a test, without its parameters."""
    module = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
    return module, case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ").replace(
        " s ", "'s "
    )


def word(case: ET.Element) -> str:
    """Return what a test came to in a word."""
    kinds = {child.tag for child in case}
    return "FAIL" if kinds & {"failure", "error"} else "–" if "skipped" in kinds else "pass"


def worst(results: Iterable[tuple[tuple[str, str], str]]) -> Results:
    """Return one word per test: the worst of its parameters."""
    found: dict[tuple[str, str], str] = {}
    for name, got in results:
        found[name] = min(found.get(name, got), got, key=WORDS.index)
    return found


def table(servers: Mapping[str, Results]) -> str:
    """Return the results as Markdown."""
    names = dict.fromkeys(name for results in servers.values() for name in results)
    rows = [f"| about | test | {' | '.join(servers)} |", f"| --- | --- |{' --- |' * len(servers)}"]
    for name in names:
        words = " | ".join(results.get(name, "–") for results in servers.values())
        rows.append(f"| {name[0]} | {name[1]} | {words} |")
    return "\n".join(rows)


if __name__ == "__main__":
    given = [argument.partition("=") for argument in sys.argv[1:]]
    print(table({name: asked(url) for name, _, url in given}))
