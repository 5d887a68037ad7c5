"""``tailgate doctor``: what on this machine would make a run fail, or its figures worth less."""

import os
from collections import Counter

from rich.console import Console
from rich.text import Text

from tailgate.harness.cli import Status
from tailgate.harness.cli.runs.newest import output_folder
from tailgate.harness.cli.service import missing
from tailgate.harness.cli.told import as_json as tell
from tailgate.harness.doctor.check import Check, State
from tailgate.harness.doctor.checks import checked
from tailgate.harness.doctor.probe import find_facts
from tailgate.harness.report.escape import shown

STYLES = {State.OK: "green", State.REMARK: "yellow", State.FAIL: "bold red"}


def doctor(*, torch: bool, as_json: bool) -> Status:
    """Print each check; the status says whether something will fail."""
    found = checked(find_facts(output_folder(), missing(), os.environ, torch=torch))
    if as_json:
        tell(checks=found)
    else:
        _render(found, Console(highlight=False))
    return Status.FAIL if any(one.state is State.FAIL for one in found) else Status.PASS


def _render(found: tuple[Check, ...], console: Console) -> None:
    width = max(len(one.name) for one in found)
    for one in shown(found):
        state = Text(f"{one.state.value:7}", style=STYLES[one.state])
        console.print(Text.assemble(state, f"{one.name:{width}}  {one.found}"), soft_wrap=True)
        if one.mend:
            console.print(Text(f"{'':7}{'':{width}}  → {one.mend}"), soft_wrap=True)
    counts = Counter(one.state for one in found)
    failing, remarks = counts[State.FAIL], counts[State.REMARK]
    console.print(
        f"{failing} of {len(found)} checks say that something will fail, {remarks} have a remark"
        if failing or remarks
        else "nothing will make a run fail"
    )
