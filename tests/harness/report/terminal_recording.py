"""A run and a comparison as a terminal shows them, from simulated requests and made-up times: always the same.

Make the pictures of the documentation again: ``PYTHONPATH=tests/harness python tests/harness/report/terminal_recording.py``.
"""

import dataclasses
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from compared_results import DESIGN, SEEN, compared, with_stages
from comparison_rows import rows
from rich.console import Console

from tailgate.harness.compare.blocks.run import Limits
from tailgate.harness.compare.blocks.standing import Standing, begun
from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES
from tailgate.harness.observe.beside.under_way import Following, PhaseLoad
from tailgate.harness.report import progress
from tailgate.harness.report.terminal import render, screen_of
from tailgate.harness.report.why import why_of_scenario
from tailgate.harness.results.verdict import Verdict, worst
from tailgate.harness.scenario.plan import PlannedPhase
from tailgate.harness.testing import criterion_result, run_result

WIDTH = 100
PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
EVERY_S = 10.0
COMMIT = {"revision": "4f2a9c1d30 with changes"}
# What rich's picture would load a font from, and where rich comes from.
_ADDRESSES = re.compile(r"(?:@font-face \{.*?\}|<!--.*?-->)\s*", re.DOTALL)


def gate(folder):
    """Return the text of a run of three scenarios, of which one fails."""
    from drawn_runs import failing, overload, steady

    scenarios = [steady(1_600), _called("burst", failing()), overload()]
    names = ", ".join(scenario.name for scenario, *_ in scenarios)
    said = [
        "$ pytest -m perf",
        f"perf: target command:python app.py --port {{port}}, profile default, scenarios {names}",
    ]
    for place, (scenario, phases, phase_names, warm) in enumerate(scenarios, start=1):
        for index, (made, name) in enumerate(zip(phases, phase_names, strict=True)):
            if name not in warm:
                said += _while_sent(
                    folder / f"{place}-{index}", scenario.name, name, made, (place, len(scenarios))
                )
        said.append(f"{scenario.name}: {scenario.verdict.value}: {why_of_scenario(scenario)}")
    result = _run(scenarios)
    return "\n".join([*said, "", *_block(result), ""])


def _called(name, drawn):
    scenario, phases, names, warm = drawn
    again = f"pytest -m perf --perf-scenario={name} --perf-seed=7"
    return dataclasses.replace(scenario, name=name, reproduce=again), phases, (names[0], "bursts"), warm


def _while_sent(folder, scenario, name, made, place):
    """Yield the line every ten seconds of a phase, whose records come as they did."""
    folder.mkdir(parents=True)
    made = made[np.argsort(made["done_ns"])]
    start_ns = int(made["intended_ns"].min())
    offsets_ns = np.sort(made["intended_ns"]) - start_ns
    load = PhaseLoad(
        scenario,
        int(made["phase"][0]),
        PlannedPhase(name, offsets_ns, np.zeros(len(made), np.uint16)),
        1.0,
        folder,
    )
    (folder / SAMPLES).write_bytes(b"")
    following = Following(load, start_ns)
    (folder / SAMPLES).write_bytes(SAMPLE_FILE.header())
    told = 0
    for seconds in np.arange(EVERY_S, offsets_ns[-1] / 1e9, EVERY_S):
        now_ns = start_ns + int(seconds * 1e9)
        ended = int(np.searchsorted(made["done_ns"], now_ns))
        with (folder / SAMPLES).open("ab") as file:
            file.write(made[told:ended].tobytes())
        told = ended
        yield progress.live(progress.of_phase(load, following.seen(now_ns)), place, WIDTH - 1)


def _run(scenarios):
    from drawn_runs import phase_result

    template = run_result().slots[0]
    slots, whole = [], []
    for scenario, phases, names, warm in scenarios:
        results = [
            phase_result(made, name, measured=name not in warm)
            for made, name in zip(phases, names, strict=True)
        ]
        slots.append(dataclasses.replace(template, scenario=scenario.name, phases=tuple(results)))
        whole.append(scenario)
    verdict = worst([one.verdict for one in whole])
    return dataclasses.replace(run_result(), slots=tuple(slots), scenarios=tuple(whole), verdict=verdict)


def comparison():
    """Return the text of a comparison whose head takes an eighth more."""
    made = [
        dataclasses.replace(row, wall_s=14.0, load_s=8.0)
        for row in with_stages(rows(12, worse=1.125, sigma=0.5), 0.0012)
    ]
    said, limits = ["$ tailgate compare main"], Limits(1_200.0)
    for doing in (
        "starting both sides once, to see what they are",
        "loading base once, to see how long a gap its answers need",
    ):
        line = progress.of_comparison(Standing("compare", doing, 0.0), 5.0)
        said.append(progress.live(line, (1, 1), WIDTH - 1))
    turns = "slot 1: both by turns"
    for index in range(len(made)):
        began_s = 14.0 * index
        block = begun(made[:index], DESIGN, SEEN, limits, 0.0, began_s)
        line = progress.of_comparison(Standing("compare", turns, -20.0, block), began_s + 7.0)
        said.append(progress.live(line, (1, 1), WIDTH - 1))
    result = compared(made)
    head, base = result.arms
    arms = (
        dataclasses.replace(head, facts=COMMIT),
        dataclasses.replace(base, facts={"revision": "main (88d01b7f52)"}),
    )
    (scenario,) = result.scenarios
    again = "pytest --pyargs tailgate.scenarios -m perf --perf-seed=7 --perf-against=main"
    result = dataclasses.replace(
        result, arms=arms, scenarios=(dataclasses.replace(scenario, reproduce=again),)
    )
    said.append(f"compare: {result.verdict.value}: {why_of_scenario(scenario)}")
    return "\n".join([*said, "", *_block(result), ""])


def _block(result):
    screen = screen_of(WIDTH, colours=False)
    with screen.capture() as captured:
        render(result, screen)
    title = " performance gate "
    return [f"{title:=^{WIDTH}}", *(line.rstrip() for line in captured.get().splitlines())]


def picture():
    """Return a drawing of a run that fails, in the colours of a terminal; it loads no font."""
    slow = criterion_result("p99", 0.131, verdict=Verdict.FAIL)
    result = run_result([slow, criterion_result(), criterion_result("p50", 0.041, limit=0.06)])
    with Path("/dev/null").open("w") as nowhere:
        screen = Console(
            width=88, height=25, record=True, file=nowhere, force_terminal=True, color_system="standard",
            no_color=False, highlight=False,
        )  # fmt: skip
        render(result, screen)
    drawn = screen.export_svg(title="pytest -m perf", unique_id="terminal")
    return _ADDRESSES.sub("", drawn).replace("Fira Code, ", "") + "\n"


def recordings():
    """Return every file of the documentation that is made here, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "terminal-gate.txt": gate(Path(folder)),
            "terminal-comparison.txt": comparison(),
            "terminal.svg": picture(),
        }


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, text in recordings().items():
        (PICTURES / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{PICTURES / name}\n")
