"""The HTML report: what each kind of run shows, what it is without its files, and what strangers cannot do with it."""

import dataclasses
import itertools
import math
import shutil

import drawn_runs
import kinds
import numpy as np
import pytest
from compared_results import compared
from comparison_rows import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from page_checks import check, titles

from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES, Outcome
from tailgate.harness.report.html import HtmlReporter
from tailgate.harness.report.html.flow import most_under_way
from tailgate.harness.report.html.latency import Curve
from tailgate.harness.report.html.page import paired, render
from tailgate.harness.results import history
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.preflight import Preflight
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result, run_result

MOST_BYTES = 500 * 1024
EVERYDAY = [
    "Every request over time",
    "Latency by percentile",
    "Where the time goes",
    "Requests in flight",
    "Batch sizes",
    "Processors",
    "Memory, files, threads",
    "Can this be believed?",
    "The slowest 20 requests",
]
HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e&amp;\"'\ud800"


def pictures(page):
    return [one for one in page.all("div") if (one.get("class") or "").startswith("chart")]


KINDS = {
    "steady": ((drawn_runs.steady,), [*EVERYDAY, "Offered and achieved"]),
    "failing": ((drawn_runs.failing,), [*EVERYDAY, "Offered and achieved", "Requests without a good answer"]),
    "ramp": ((drawn_runs.ramp,), [*EVERYDAY, "Offered and achieved", "How much load it takes"]),
    "overload": (
        (drawn_runs.overload,),
        [
            *EVERYDAY,
            "Under overload",
            "Is it still there for its operators?",
            "Requests without a good answer",
        ],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_scenario_has_its_panels(tmp_path, kind):
    made, expected = KINDS[kind]
    page = check(render(*drawn_runs.write_run(tmp_path, [one() for one in made])))
    assert sorted(titles(page)) == sorted(expected)
    # Each panel has its numbers beside it; a table is its numbers itself.
    tables = {"The slowest 20 requests", "Requests without a good answer"} & set(expected)
    assert page.said("summary").count("Numbers") == len(expected) - len(tables)
    assert len(pictures(page)) >= 8


def test_a_whole_run_is_one_small_file_that_begins_with_its_verdict(tmp_path):
    scenarios = [drawn_runs.failing(), drawn_runs.ramp(), drawn_runs.overload()]
    result, run = drawn_runs.write_run(tmp_path, scenarios)
    path = HtmlReporter().write(result, run)
    assert path == run / "report.html"
    assert path.stat().st_size <= MOST_BYTES
    page = check(path.read_text(encoding="utf-8"))
    assert page.said("h1") == ["FAIL"]
    (why,) = [text for text in page.said("p") if "and the limit is" in text]
    assert why.startswith("error_rate (client) of steady is ")
    assert "pytest -m perf" in page.said("code")
    assert {"0123456789", " on faster-decoding, with uncommitted changes"} <= set(page.said())
    assert page.said("h2")[-5:] == ["steady", "ramp", "overload", "Everything else"] or "ramp" in page.said(
        "h2"
    )
    # What failed is open, and all else is closed.
    opened = [one["id"] for one in page.all("details") if one.get("class") == "scenario" and "open" in one]
    assert opened == ["scenario-steady"]


def test_criteria_are_sorted_by_how_near_their_limits_are(tmp_path):
    shares = {"a": 0.2, "b": 1.4, "c": 0.9}
    criteria = [
        criterion_result(name, share * 0.1, verdict=Verdict.FAIL if share > 1 else Verdict.PASS)
        for name, share in shares.items()
    ]
    unlimited = dataclasses.replace(criterion_result("d"), limit=None)
    page = check(render(run_result([*criteria, unlimited]), tmp_path))
    names = [text for text in page.said("b") if text.endswith("(client)")]
    assert names == ["b (client)", "c (client)", "a (client)", "d (client)"]


@pytest.mark.parametrize("end", [0.5, 0.999, 1.001, 1.6, 40.0])
def test_a_bar_never_leaves_its_track(tmp_path, end):
    one = criterion_result(value=end * 0.1, low=end * 0.05, high=None, verdict=Verdict.INCONCLUSIVE)
    page = check(render(run_result([one]), tmp_path))
    for element in page.all("i"):
        places = dict(part.split(":") for part in (element.get("style") or "").split(";") if part)
        left, width = (float(places.get(name, "0%")[:-1]) for name in ("left", "width"))
        assert 0 <= left <= 100
        assert left + width <= 100.5


@pytest.mark.parametrize("ends", [(None, None), (0.2, None), (0.2, math.inf), (math.inf, math.inf)])
@pytest.mark.parametrize("value", [None, math.inf, 0.3])
def test_a_latency_without_an_end_has_a_bar(tmp_path, value, ends):
    """As a run has it before it is written, when what failed is infinitely late, and as its file has it."""
    one = criterion_result(value=0.3, verdict=Verdict.FAIL)
    made = dataclasses.replace(one, value=value, low=ends[0], high=ends[1])
    page = check(render(run_result([made]), tmp_path))
    assert not any("inf" in text or "nan" in text for text in page.said("td", "em", "b", "h1"))


def test_a_comparison_shows_its_blocks_its_quantiles_its_turns_and_its_stages(tmp_path):
    result, run = drawn_runs.compared_run(tmp_path)
    page = check(render(result, run))
    assert titles(page) == [
        "What changed",
        "Quantile by quantile",
        "Which stage moved",
        "Order of turns",
        "In words",
    ]
    assert page.said("h1") == ["FAIL"]
    assert "14 blocks, 1 of them void." in page.said("p")
    assert any("void: block 4: other programs" in text for text in page.said("li"))
    assert len(page.text.encode()) <= MOST_BYTES


def test_a_comparison_before_its_first_look_and_one_without_its_files_still_have_a_page(tmp_path):
    page = check(render(compared(rows(2)), tmp_path))
    assert "What changed" in titles(page)
    assert "Quantile by quantile" not in titles(page)
    assert check(render(compared([]), tmp_path)).said("h1") == ["INCONCLUSIVE"]


def test_a_run_without_its_folder_says_that_it_has_no_pictures(tmp_path):
    page = check(render(run_result(), tmp_path / "gone"))
    assert any("No raw records" in text for text in page.said("p"))
    assert pictures(page) == []
    assert page.said("h1") == ["PASS"]


def test_a_run_that_measured_nothing_has_a_page(tmp_path):
    empty = run_result([], slots=(), scenarios=(), arms=(), machine={}, settings={}, duration_s=None)
    assert check(render(empty, tmp_path)).said("h1") == ["INVALID"]


def test_an_invalid_run_says_that_nothing_is_said_of_the_service(tmp_path):
    faults = [Fault(Cause.NOISE, "the machine changed: its yardstick took 17 ms before and 12 ms after")]
    page = check(render(run_result(faults=faults), tmp_path))
    assert "The measurement itself went wrong. It says nothing about the service." in page.said("p")
    assert "The machine changed: its yardstick took 17 ms before and 12 ms after." in page.said("p")


def test_of_several_scenarios_that_could_not_be_judged_each_tells_its_reason_at_once(tmp_path):
    first = run_result(faults=[Fault(Cause.NOISE, "x")])
    second = run_result(faults=[Fault(Cause.NOISE, "y")], scenario="ramp").scenarios[0]
    reasons = ("steady: the machine changed\nlog", "ramp: cut short", "burst: undecided: p95")
    several = dataclasses.replace(first, scenarios=(*first.scenarios, second), reasons=reasons)
    page = check(render(several, tmp_path))
    assert {"steady: the machine changed", "ramp: cut short"} <= set(page.said("li"))
    assert not any("undecided" in text for text in page.said("li"))
    assert "steady: x. 1 further scenario could not be judged." in page.said("p")


def test_what_a_waiver_accepts_has_neither_the_colour_nor_the_mark_of_a_failure(tmp_path):
    page = check(render(*kinds.waived(tmp_path)))
    assert page.said("h1") == ["PASS with waiver"]
    assert any(one.get("class") == "verdict inconclusive" for one in page.all("div"))
    assert "A reviewed waiver accepts what does not hold, so the test passes." in page.said("p")


def test_a_run_that_a_key_ended_says_so_and_names_what_ran_to_the_end(tmp_path):
    page = check(render(*kinds.interrupted(tmp_path)))
    assert "The run ended before it had measured all. What it had is below." in page.said("p")
    assert any("of 4 scenarios, only steady ran to the end" in text for text in page.said("li"))


def test_an_interrupted_run_shows_what_there_was(tmp_path):
    """A scenario that was cut short has no slot in the results, and its records lie in the folder all the same."""
    result, run = drawn_runs.write_run(tmp_path, [drawn_runs.steady(400)])
    cut = run / f"steady-head-0/{SAMPLES}"
    cut.write_bytes(cut.read_bytes()[:20_011])
    fault = Fault(Cause.INTEGRITY, "cut short by KeyboardInterrupt")
    scenario = dataclasses.replace(result.scenarios[0], verdict=Verdict.INVALID, faults=(fault,), criteria=())
    interrupted = dataclasses.replace(result, slots=(), scenarios=(scenario,), verdict=Verdict.INVALID)
    page = check(render(interrupted, run))
    assert "Every request over time" in titles(page)
    assert "Cut short by KeyboardInterrupt." in page.said("p")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_missing_or_cut_off_in_the_folder_leaves_a_page(tmp_path_factory, data):
    run = tmp_path_factory.mktemp("runs") / "run"
    result, whole = _whole_run(tmp_path_factory)
    shutil.copytree(whole, run)
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        content = path.read_bytes()
        match data.draw(st.sampled_from(["keep", "keep", "gone", "cut", "other"]), label=path.name):
            case "gone":
                path.unlink()
            case "cut":
                path.write_bytes(content[: data.draw(st.integers(0, len(content)), label="length")])
            case "other":
                path.write_bytes(data.draw(st.binary(max_size=20)) + content[:200])
    check(render(result, run))


_WHOLE = []


def _whole_run(factory):
    if not _WHOLE:
        _WHOLE.append(drawn_runs.write_run(factory.mktemp("whole"), [drawn_runs.steady(60)]))
    return _WHOLE[0]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.SERVER_ERROR, 500),
        (Outcome.TIMEOUT, 0),
        (Outcome.SHED, 429),
        (Outcome.REFUSED, 0),
        (Outcome.WRONG, 200),
    ],
)
def test_a_run_in_which_every_request_failed_has_pictures(tmp_path, outcome, status):
    scenario, phases, names, warm = drawn_runs.steady(200)
    for made in phases:
        drawn_runs.spoil(made, 1, outcome, status)
    page = check(render(*drawn_runs.write_run(tmp_path, [(scenario, phases, names, warm)])))
    assert "Every request over time" in titles(page)
    assert "Latency by percentile" not in titles(page)


def test_a_single_request_has_pictures(tmp_path):
    scenario, phases, names, _ = drawn_runs.steady(50)
    alone = (scenario, (phases[1][:1],), names[1:], set())
    assert "Every request over time" in titles(check(render(*drawn_runs.write_run(tmp_path, [alone]))))


def test_a_server_that_tells_nothing_of_itself_has_no_panels_on_that(tmp_path):
    scenario, phases, names, warm = drawn_runs.steady(100)
    for made in phases:
        made["batch_size"] = 0
        for name in ("queue_s", "decode_s", "compute_s", "encode_s", "server_s"):
            made[name] = np.nan
    result, run = drawn_runs.write_run(tmp_path, [(scenario, phases, names, warm)])
    for name in ("moments.jsonl", "resources.jsonl", "probes.jsonl"):
        (run / "steady-head-0" / name).unlink()
    absent = {"Where the time goes", "Batch sizes", "Processors", "Memory, files, threads"}
    assert not absent & set(titles(check(render(result, run))))


def test_two_hundred_thousand_requests_are_a_small_file_and_the_slowest_stays(tmp_path):
    scenario, phases, names, warm = drawn_runs.steady(200_000)
    phases[1]["done_ns"][123_456] += 60 * 10**9
    page = check(render(*drawn_runs.write_run(tmp_path, [(scenario, phases, names, warm)])))
    assert len(page.text.encode()) <= MOST_BYTES / 2
    (finding,) = [text for text in page.said("p") if "the slowest good answer took 60" in text]
    assert finding.startswith("200,050 requests")
    assert page.said("b").count("60.0 s") + page.said("b").count("60.1 s") == 1


TEXTS = ("run_id", "command", "tailgate_version")


def test_texts_of_strangers_are_texts_and_nothing_else(tmp_path):
    scenario, phases, names, warm = drawn_runs.failing()
    hostile = dataclasses.replace(
        scenario,
        name="steady",
        description=HOSTILE,
        reproduce=HOSTILE,
        criteria=tuple(
            dataclasses.replace(one, name=HOSTILE, reason=HOSTILE, note=HOSTILE) for one in scenario.criteria
        ),
        failures={HOSTILE: (Failure(HOSTILE, None, 3, HOSTILE), Failure("server_error", 500, 2, HOSTILE))},
        notes=(HOSTILE,),
    )
    result, run = drawn_runs.write_run(
        tmp_path, [(hostile, phases, [names[0], HOSTILE.encode("utf-8", "replace").decode()], warm)]
    )
    arm = dataclasses.replace(result.arms[0], target=HOSTILE, facts={HOSTILE: HOSTILE})
    first = Preflight(HOSTILE, HOSTILE, 200, HOSTILE, 3, HOSTILE, 0.1)
    result = dataclasses.replace(
        result,
        **dict.fromkeys(TEXTS, HOSTILE),
        reasons=(HOSTILE,),
        arms=(dataclasses.replace(arm, preflight=(first,)),),
        machine={"processor": HOSTILE[:-1], HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        code=dataclasses.replace(result.code, branch=HOSTILE, commit=HOSTILE),
    )
    text = render(result, run)
    page = check(text)
    assert not page.all("img")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert any("<script>alert(1)</script>" in told for told in page.said("code"))
    text.encode("utf-8")


def test_a_scenario_named_by_a_stranger_reads_no_other_folder(tmp_path):
    result, run = drawn_runs.write_run(tmp_path, [drawn_runs.steady(50)])
    named = dataclasses.replace(result.scenarios[0], name="../../steady")
    page = check(render(dataclasses.replace(result, scenarios=(named,), slots=()), run))
    assert pictures(page) == []


def test_the_run_before_stands_behind_the_percentiles_and_in_the_trend(tmp_path):
    output, runs = tmp_path / ".perf", []
    for day in (1, 2, 3):
        result, run = drawn_runs.write_run(
            tmp_path / f"{day}", [drawn_runs.steady(300)], started_at=f"2026-11-{day:02}T10:00:00Z"
        )
        kept = output / f"2026110{day}T100000Z-00000{day}"
        shutil.copytree(run, kept)
        made = dataclasses.replace(result, run_id=kept.name)
        drawn_runs.results_file.write(made, kept / "results.json")
        history.record(made, output / history.HISTORY)
        runs.append((made, kept))
    page = check(render(*runs[2]))
    assert "run before, 20261102T100000Z-000002" in page.said("li")
    assert {"steady: p95 (client)", "steady: p99 (client)"} <= set(titles(page))
    assert "3 runs of the same load on this machine, the newest at the right." in page.said("p")
    first = check(render(*runs[0]))
    assert not any("run before" in text for text in first.said("li"))
    assert "Over the last runs" not in first.said("h2")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), min_size=1, max_size=40), st.integers(1, 7)
)
def test_the_most_requests_under_way_are_those_of_any_moment_in_the_stretch(spans, width):
    starts = np.array([start for start, _ in spans], dtype=float)
    ends = starts + np.array([length for _, length in spans]) + 0.5
    edges = np.arange(0.0, 90.0 + width, width)
    seen = most_under_way(starts, ends, edges)
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        moments = [low, *(start for start in starts if low <= start < high)]
        assert seen[place] == max(int(((starts <= at) & (ends > at)).sum()) for at in moments)


@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=300), st.integers(0, 50))
def test_a_curve_ends_with_the_longest_latency_and_never_falls(latencies, failed):
    curve = Curve.of(np.array(latencies), failed)
    line = curve.series("client", "s1")
    assert np.asarray(line.y)[-1] == max(latencies)
    assert (np.diff(np.asarray(line.y)) >= 0).all()
    assert (np.diff(np.asarray(line.x)) > 0).all()
    assert curve.at(1.0) == (None if failed else max(latencies))


@pytest.mark.parametrize("kinds", ["", "n", "nn", "nnn", "wn", "wnnwn", "nwnnn", "nnnnw"])
def test_no_narrow_panel_stands_alone_in_its_row(kinds):
    from tailgate.harness.report.drawing.markup import tag

    parts = [tag("section", class_="panel wide" if kind == "w" else "panel") for kind in kinds]
    rows_of = "".join("w" if one.get("class") == "panel wide" else "n" for one in paired([None, *parts]))
    assert len(rows_of) == len(kinds)
    assert all(len(run) % 2 == 0 for run in rows_of.split("w"))


def test_a_file_of_an_older_version_of_the_records_is_named(tmp_path):
    result, run = drawn_runs.write_run(tmp_path, [drawn_runs.steady(50)])
    path = run / f"steady-head-0/{SAMPLES}"
    header = SAMPLE_FILE.header()
    path.write_bytes(header[:8] + (1).to_bytes(4, "little") + path.read_bytes()[12:])
    page = check(render(result, run))
    assert any("cannot be read, so there are no pictures of it" in text for text in page.said("p"))


@pytest.mark.parametrize(
    ("lag_s", "after_s", "said"),
    [
        (0.0001, 0.0131, "Yes: 99 % of the requests left within 0.100 ms of their intended moment."),
        (0.02, 0.0131, "With doubt: 100 % of the requests left more than 10.0 ms late."),
        (0.0001, 0.03, "With doubt: the machine's speed changed in steady."),
    ],
)
def test_a_late_generator_and_a_machine_that_changed_are_doubted(tmp_path, lag_s, after_s, said):
    scenario, phases, names, warm = drawn_runs.steady(100)
    for made in phases:
        made["dispatched_ns"] = made["intended_ns"] + int(lag_s * 1e9)
    result, run = drawn_runs.write_run(tmp_path, [(scenario, phases, names, warm)])
    slot = result.slots[0]
    before, after = slot.phases[1].yardsticks
    changed = dataclasses.replace(
        slot.phases[1], yardsticks=(before, dataclasses.replace(after, seconds=after_s))
    )
    slots = (dataclasses.replace(slot, phases=(slot.phases[0], changed)),)
    assert said in check(render(dataclasses.replace(result, slots=slots), run)).said("p")


def test_a_scenario_that_is_void_is_not_said_to_be_believed_and_refusals_are_told_beside_failures(tmp_path):
    pages = {}
    for kind in ("invalid", "interrupted", "overload"):
        (tmp_path / kind).mkdir()
        pages[kind] = check(render(*kinds.KINDS[kind](tmp_path / kind)))
    said = {kind: page.said("p") for kind, page in pages.items()}
    assert (
        "No: the machine changed: its yardstick took 17.0 ms before the run and 25.0 ms after it."
        in said["invalid"]
    )
    assert "No: interrupted (Ctrl-C)." in said["interrupted"]
    assert any(text.startswith("Yes: ") for text in said["overload"])
    assert "2,820 measured requests, 0 failed, 1,076 refused" in pages["overload"].said("span")
