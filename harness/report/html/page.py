"""The whole page, from a result and the folder of its run."""

from collections.abc import Sequence
from pathlib import Path

from tailgate.harness.errors import MeasurementError
from tailgate.harness.observe.trace import Trace, folder_of, read_trace
from tailgate.harness.report import summary
from tailgate.harness.report.drawing.markup import Element, document, facts, tag
from tailgate.harness.report.html import comparison, flow, latency, machine, overview, requests, trend
from tailgate.harness.results import file as results_file
from tailgate.harness.results import history
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import SEVERITY, Verdict


def render(result: RunResult, directory: Path) -> str:
    """Return the page; pictures of what the folder does not hold are left out, and it says so."""
    entries = history.alike(history.read(directory.parent / history.HISTORY), history.entry_of(result))
    before = _run_before(entries, directory.parent)
    ordered = sorted(result.scenarios, key=lambda one: SEVERITY.index(one.verdict))
    scenarios = [_scenario(result, one, directory, before, first=one is ordered[0]) for one in ordered]
    again = f"tailgate report {directory.name} --html"
    body = tag(
        "body",
        tag("a", "Skip to the scenarios", href="#scenarios", class_="skip"),
        overview.first_screen(result),
        tag(
            "main",
            overview.criteria(result),
            overview.contents(ordered),
            tag("div", scenarios, id="scenarios"),
            trend.over_runs(entries),
            _rest(result),
        ),
        tag("footer", f"tailgate {result.tailgate_version}. Make this page again: ", tag("code", again)),
    )
    return document(f"{result.verdict.value} – {result.run_id}", body)


def _run_before(entries: Sequence[history.Entry], output: Path) -> tuple[RunResult, Path] | None:
    """Return the newest of the earlier runs whose folder is still there."""
    for entry in reversed(entries[:-1]):
        folder = output / Path(entry.run).name
        try:
            return results_file.read(folder / results_file.RESULTS), folder
        except MeasurementError:
            continue
    return None


def _trace(result: RunResult, scenario: ScenarioResult, directory: Path) -> Trace | str:
    slot = next((one for one in result.slots if one.scenario == scenario.name), None)
    return read_trace(slot, folder_of(scenario.name, slot, directory))


def _scenario(
    result: RunResult,
    scenario: ScenarioResult,
    directory: Path,
    before: tuple[RunResult, Path] | None,
    *,
    first: bool,
) -> Element:
    """Return one scenario; it is open where it is the first, or did not pass."""
    said: Sequence[str] = ()
    if scenario.comparison is not None:
        parts = comparison.panels(result, scenario, scenario.comparison, directory)
    else:
        trace, said = _trace(result, scenario, directory), overview.remarks(scenario)
        parts = (
            [tag("p", trace, class_="how")] if isinstance(trace, str) else _pictures(trace, scenario, before)
        )
        parts += [requests.failures(scenario), None if isinstance(trace, str) else requests.slowest(trace)]
    load = summary.load(summary.measured_phases(result)[scenario.name])
    spent = f"{load.requests:,} measured requests, {summary.ends(load)}" if load.requests else ""
    return tag(
        "details",
        tag(
            "summary",
            overview.badge(scenario.verdict),
            tag("h2", scenario.name),
            tag("span", spent, class_="how"),
        ),
        tag("p", scenario.description, class_="description"),
        tag("ul", [tag("li", one) for one in said], class_="reasons") if said else None,
        tag("div", paired(parts), class_="panels"),
        tag("p", "Reproduce: ", tag("code", scenario.reproduce), class_="how"),
        open="" if first or scenario.verdict is not Verdict.PASS else None,
        class_="scenario",
        id=overview.anchor(scenario),
    )


def _pictures(
    trace: Trace, scenario: ScenarioResult, before: tuple[RunResult, Path] | None
) -> list[Element | None]:
    earlier = None if before is None else _same(before[0], scenario, before[1])
    return [
        latency.ramp(trace, scenario),
        latency.over_time(trace, scenario),
        latency.percentiles(trace, scenario, earlier),
        flow.stages(trace, scenario),
        flow.rates(trace, scenario),
        flow.under_way(trace),
        flow.probes(trace, scenario),
        flow.batches(trace, scenario),
        machine.processors(trace),
        machine.memory(trace),
        machine.believable(trace, scenario.faults),
    ]


def _same(result: RunResult, scenario: ScenarioResult, directory: Path) -> tuple[str, Trace] | None:
    same = next((one for one in result.scenarios if one.name == scenario.name), None)
    trace = "" if same is None else _trace(result, same, directory)
    return (result.run_id, trace) if isinstance(trace, Trace) else None


def paired(parts: Sequence[Element | None]) -> list[Element]:
    """Return the panels that are there; one that would stand alone in its row takes the whole of it."""
    there = [part for part in parts if part is not None]
    alone: Element | None = None
    for part in [*there, None]:
        wide = part is None or part.get("class") != "panel"
        if wide and alone is not None:
            alone.set("class", "panel wide")
        alone = part if not wide and alone is None else None
    return there


def _rest(result: RunResult) -> Element:
    hardware = facts((name, str(value)) for name, value in result.machine.items() if value is not None)
    settings = facts((name, str(value)) for name, value in result.settings.items() if value not in {None, ""})
    answers = tag("ul", [tag("li", one) for one in summary.first_answers(result)], class_="reasons")
    known = {"Machine": hardware, "Settings": settings, "First answers": answers}
    parts = [tag("details", tag("summary", name), content) for name, content in known.items()]
    return tag("section", tag("h2", "Everything else"), parts, class_="rest")
