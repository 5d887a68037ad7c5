"""The reports that are files or properties: JSON, Markdown, JUnit."""

from tailgate.harness.report import JsonReporter, junit, markdown
from tailgate.harness.report.markdown import MarkdownReporter
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.file import read
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result, run_result


def test_the_json_report_is_the_result(tmp_path):
    path = JsonReporter().write(run_result(), tmp_path)
    assert path == tmp_path / "results.json"
    assert read(path) == run_result()


def test_a_report_can_be_made_again_from_the_file_alone(tmp_path):
    again = read(JsonReporter().write(run_result(), tmp_path))
    assert markdown.render(again) == markdown.render(run_result())


def test_the_markdown_report_begins_with_the_verdict_and_holds_the_table(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    path = MarkdownReporter().write(run_result(), tmp_path)
    assert path == tmp_path / "summary.md"
    text = path.read_text().splitlines()
    assert text[0] == "# PASS: p95 (client) holds, at 80 % of its limit."
    assert "| criterion | value | interval | limit | of limit | verdict |" in text
    assert "| p95 (client) | 80.0 ms | [72.0, 88.0] ms | 100 ms | 80 % | PASS |" in text
    assert "pytest -m perf --perf-scenario=steady --perf-seed=7" in text
    assert "| processor | Example 9000 |" in text
    assert not any("governor" in line for line in text)


def test_the_step_summary_is_appended_to(tmp_path, monkeypatch):
    step = tmp_path / "step"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    MarkdownReporter().write(run_result(), tmp_path)
    assert step.read_text() == "before\n" + (tmp_path / "summary.md").read_text()


def test_what_comes_from_outside_cannot_leave_its_cell_or_its_line():
    result = run_result(faults=[Fault(Cause.NOISE, "a | b\n# <script>")])
    text = markdown.render(result)
    assert "- noise: a `|` b\n\n  ```text\n  # <script>\n  ```\n" in text


def test_the_end_of_a_log_stands_as_it_is_below_the_fault_and_not_in_the_verdict():
    fault = Fault(Cause.INTEGRITY, "the server is gone\nits log ends:\n# not a title\n```\n* a_b_c")
    text = markdown.render(run_result(faults=[fault]))
    assert text.splitlines()[0].endswith("The server is gone.")
    assert "- integrity: the server is gone\n\n  ````text\n  its log ends:\n  # not a title\n  ```\n" in text
    assert "  * a_b_c\n  ````\n" in text


def test_settings_that_nobody_made_are_left_out_of_the_summary():
    text = markdown.render(
        run_result(settings={"target": "service", "env": "", "insecure": False, "seed": None})
    )
    assert "- settings: target=service, insecure=False\n" in text


def test_a_run_that_measured_nothing_still_has_a_summary():
    result = run_result([], slots=(), arms=(), machine={}, settings={}, duration_s=None)
    assert markdown.render(result).startswith("# INVALID: Nothing was judged.\n")


def test_junit_properties_hold_each_number_in_full_and_leave_out_what_is_missing():
    criteria = [criterion_result(value=1 / 3, high=None), criterion_result("p99", None, verdict=Verdict.FAIL)]
    result = run_result(criteria, faults=[Fault(Cause.NOISE, "late")])
    told = dict(junit.properties(result, result.scenarios[0]))
    assert told["perf.verdict"] == "INVALID"
    assert told["perf.seed"] == "7"
    assert told["perf.fault.1"] == "noise: late"
    assert float(told["perf.p95 (client).value"]) == 1 / 3
    assert told["perf.p95 (client).unit"] == "s"
    assert told["perf.p99 (client).verdict"] == "FAIL"
    assert "perf.p95 (client).high" not in told
    assert "perf.p99 (client).value" not in told
