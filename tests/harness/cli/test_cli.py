"""The command ``tailgate``: what it prints, and with which status it ends."""

import dataclasses
import importlib.util
import io
import os
import sys

import orjson
import pytest
from sample_records import write_samples

from tailgate import __version__
from tailgate.harness import cli
from tailgate.harness.load.records.samples import export_csv
from tailgate.harness.load.settings import LoadSettings, write_settings
from tailgate.harness.results import file as results_file
from tailgate.harness.testing import run_result, samples


@pytest.fixture
def tailgate(monkeypatch, capsys):
    """Return a function that runs the command and gives its status, standard output and standard error."""
    monkeypatch.setenv("PERF_PLUGINS", "scenarios")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tailgate", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


def test_the_version_is_printed(tailgate):
    assert tailgate("--version") == (0, f"tailgate {__version__}\n", "")


def test_plugins_are_listed_for_people_and_for_programs(tailgate):
    status, out, _ = tailgate("plugins")
    assert status == 0
    assert f"scenarios (tailgate {__version__}): tailgate_scenarios\n" in out
    _, out, _ = tailgate("plugins", "--json")
    assert orjson.loads(out)["plugins"][1] == {
        "name": "scenarios",
        "distribution": "tailgate",
        "version": __version__,
        "hooks": ["tailgate_scenarios"],
    }


def test_scenarios_are_listed_with_those_of_a_file(project, tailgate):
    status, out, _ = tailgate("scenarios", "--plugin", "tiny.py")
    assert status == 0
    assert "steady: Poisson arrivals at a constant mean rate\ntiny: a few requests\n" in out


def test_scenarios_are_listed_for_programs_with_the_budgets_that_they_ask_for(tailgate):
    said = orjson.loads(tailgate("scenarios", "--json")[1])
    assert said["tailgate_version"] == __version__
    steady = next(one for one in said["scenarios"] if one["name"] == "steady")
    assert {"rate", "p95"} <= set(steady["budgets"])


def test_a_plugin_that_does_not_load_is_a_wrong_command_line(tailgate):
    status, out, error = tailgate("scenarios", "--plugin", "gone.py")
    assert (status, out) == (2, "")
    assert error.startswith("tailgate: there is no plugin file ")


@pytest.fixture
def results(tmp_path):
    path = tmp_path / results_file.RESULTS
    results_file.write(run_result(), path)
    return path


def test_a_run_is_reported_again_from_its_file_or_its_folder(tailgate, results):
    status, out, _ = tailgate("report", results)
    assert (status, out.partition("\n")[0]) == (0, "PASS: p95 (client) holds, at 80 % of its limit.")
    status, out, _ = tailgate("report", results.parent, "--format", "markdown")
    assert (status, out.partition("\n")[0]) == (0, "# PASS: p95 (client) holds, at 80 % of its limit.")


def test_a_run_is_reported_for_programs_as_its_results_are(tailgate, results):
    status, out, _ = tailgate("report", results, "--json")
    said = orjson.loads(out)
    assert (status, said["run"], said["cut_short"]) == (0, orjson.loads(results.read_bytes()), None)
    assert said["directory"] == str(results.parent)
    assert tailgate("report", results, "--format=json")[1] == out


def test_a_run_is_reported_as_a_page_in_its_folder(tailgate, results):
    status, out, _ = tailgate("report", results.parent, "--html")
    assert (status, out) == (0, f"{results.parent / 'report.html'}\n")
    assert "<h1>PASS</h1>" in (results.parent / "report.html").read_text()


def test_a_page_that_cannot_be_written_is_told_in_one_line(tailgate, results):
    (results.parent / "report.html").mkdir()
    status, out, error = tailgate("report", results, "--html")
    assert (status, out) == (3, "")
    assert error == f"tailgate: cannot write the report into {results.parent}: Is a directory\n"


def test_a_report_in_markdown_holds_no_command_for_a_runner_of_ci(tailgate, results):
    hostile = "pytest\n::error::forged ##vso[task.complete]"
    made = run_result()
    scenario = dataclasses.replace(made.scenarios[0], reproduce=hostile)
    results_file.write(dataclasses.replace(made, scenarios=(scenario,)), results)
    status, out, _ = tailgate("report", results, "--format", "markdown")
    assert status == 0
    assert "\n:\\:error::forged #\\#vso[task.complete]\n" in out


@pytest.mark.parametrize("command", ["report", "judge"])
def test_results_that_are_not_there_cannot_be_asked_for(tailgate, tmp_path, command):
    status, _, error = tailgate(command, tmp_path / "gone.json")
    assert status == 2
    assert "does not exist" in error


@pytest.mark.parametrize("command", ["report", "judge"])
def test_a_folder_without_results_is_a_failure(tailgate, tmp_path, command):
    status, _, error = tailgate(command, tmp_path)
    assert status == 3
    assert (
        error == f"tailgate: cannot read the results {tmp_path / 'results.json'}: No such file or directory\n"
    )


def test_samples_are_exported_to_a_file_or_to_standard_output(tailgate, tmp_path):
    records = samples([0.1, 0.2])
    write_samples(tmp_path / "samples.bin", records)
    write_settings(LoadSettings("localhost", 80, id_prefix="ab" * 8), tmp_path / "load.json")
    expected = io.StringIO()
    export_csv(records, expected, "ab" * 8)
    assert tailgate("samples", tmp_path / "samples.bin") == (0, expected.getvalue(), "")
    assert tailgate("samples", tmp_path / "samples.bin", "--csv", tmp_path / "out.csv") == (
        0,
        "",
        "",
    )
    assert (tmp_path / "out.csv").read_text() == expected.getvalue()
    status, _, error = tailgate("samples", tmp_path / "samples.bin", "--csv", tmp_path / "no" / "out.csv")
    assert (status, error) == (
        3,
        f"tailgate: cannot write {tmp_path / 'no' / 'out.csv'}: No such file or directory\n",
    )


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["report", "x"], ["report", "x", "--format", "pdf"], ["--nonsense"]]
)
def test_a_wrong_command_line_ends_with_2(tailgate, arguments):
    assert tailgate(*arguments)[0] == 2


class Replaced(BaseException):
    """The process would be another program now."""


def test_serve_becomes_the_service_and_hands_all_arguments_on(tailgate, monkeypatch):
    def execv(program, words):
        assert (program, words[:4]) == (sys.executable, [sys.executable, "-P", "-m", "tailgate.service"])
        raise Replaced(words[4:])

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["tailgate", "serve", "--port", "0", "--help"])
    with pytest.raises(Replaced) as replaced:
        cli.main()
    assert replaced.value.args == (["--port", "0", "--help"],)


def test_compile_becomes_the_services_compiler(tailgate, monkeypatch):
    become = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: become.append((program, arguments)))
    tailgate("compile", "--threads", "1")
    assert become == [
        (sys.executable, [sys.executable, "-P", "-m", "tailgate.service.compile", "--threads", "1"])
    ]


def test_serve_without_the_services_packages_names_the_extra(tailgate, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    assert tailgate("serve") == (
        2,
        "",
        "tailgate: the service needs torch: pip install 'tailgate[service]'\n",
    )
