"""A look at a finished run: its verdict for Prometheus, through node_exporter's textfile collector.

The variable ``PERF_TEXTFILE`` names the file, such as ``/var/lib/node_exporter/tailgate.prom``. Without it nothing is written.
"""

import os
from pathlib import Path

from tailgate import RunResult, Verdict, hookimpl


@hookimpl
def tailgate_finished(result: RunResult, directory: Path) -> None:
    """Write one gauge per scenario: 1 where it passed, 0 where not. The reports lie in ``directory`` by now."""
    place = os.environ.get("PERF_TEXTFILE")
    if not place:
        return
    lines = ["# HELP perf_passed Whether the newest run passed, by scenario.", "# TYPE perf_passed gauge"]
    lines += [
        f'perf_passed{{scenario="{one.name}",run="{directory.name}"}} {int(one.verdict is Verdict.PASS)}'
        for one in result.scenarios
    ]
    # The collector must not read half a file.
    draft = Path(f"{place}.{os.getpid()}")
    draft.write_text("\n".join([*lines, ""]), encoding="utf-8")
    draft.replace(place)
