"""The page of a run in progress: what it says, who may ask, and that the run's end is seen."""

import http.client
import socket
import struct
import threading
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from browser import Markup, leads_elsewhere

from tailgate import look
from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.errors import UsageError
from tailgate.harness.gate import options, run_page
from tailgate.harness.gate.run_page import MOST_SAID, Progress, RunServer
from tailgate.harness.observe.beside.under_way import PhaseLoad, Seen
from tailgate.harness.options.reading import parse_options
from tailgate.harness.report.html import REPORT
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.plan import PlannedPhase
from tailgate.harness.secrecy import Secrets
from tailgate.harness.session import reproduce
from tailgate.harness.testing import criterion_result, run_result

PATIENCE_S = 30


def load(folder, name="main"):
    phase = PlannedPhase(name, np.arange(10) * 10**9, np.zeros(10, np.uint16))
    return PhaseLoad("steady", 0, phase, 1.0, folder)


def seen(elapsed_s=3.0, **changes):
    told = {"quantiles_s": {"p50": 0.01, "p95": 0.02, "p99": 0.03}, "refused": 0, "failures": {}} | changes
    return Seen(elapsed_s, 2, 1.0, 0.9, **told)


@pytest.fixture
def progress():
    return Progress("command:serve", 3, Secrets.of([]))


@pytest.fixture
def server(progress):
    with RunServer(progress, 0) as server:
        yield server


def told(progress, known=0):
    return orjson.loads(progress.state(known))


def asked(server, target, host="127.0.0.1"):
    """Return status, headers and body of what the server says to a browser that calls it by this name."""
    connection = http.client.HTTPConnection(server.address.split("/")[2], timeout=PATIENCE_S)
    connection.request("GET", target, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def test_before_any_load_nothing_is_known_and_nothing_is_zero(progress):
    state = told(progress)
    assert (state["now"], state["ended"], state["rows"], state["verdicts"]) == (None, None, [], [])
    assert (state["number"], state["of"], state["target"]) == (1, 3, "command:serve")


def test_a_phase_is_told_while_it_is_sent_and_stays_as_a_span(progress, tmp_path):
    with progress.watching(load(tmp_path)):
        progress.note(load(tmp_path), seen(), 0.5, 0.25)
        during = told(progress)
    after = told(progress)
    assert during["now"] | {"left_s": None} == {
        "scenario": "steady", "phase": "main", "share": pytest.approx(1 / 3), "left_s": None, "refused": 0, "failures": {},
    }  # fmt: skip
    assert during["now"]["left_s"] == pytest.approx(6.0)
    assert during["rows"][-1][1:] == [1.0, 0.9, 0.01, 0.02, 0.03, 0.5, 0.25]
    assert during["phases"][0]["end_s"] is None
    assert (after["now"], after["phases"][0]["name"]) == (None, "main")
    assert after["phases"][0]["end_s"] >= after["phases"][0]["start_s"]


def test_a_phase_is_read_from_its_records_by_itself(progress, tmp_path, monkeypatch):
    noted = threading.Event()
    monkeypatch.setattr(progress, "note", lambda *_: noted.set())
    with progress.watching(load(tmp_path)):
        assert noted.wait(PATIENCE_S)


def test_what_came_since_the_last_reading_becomes_rates(progress, tmp_path, monkeypatch):
    rates, readings = (
        [],
        iter([seen(1.0, refused=2), seen(3.0, refused=6, failures={"500": 1, "timeout": 2})]),
    )
    monkeypatch.setattr(progress, "note", lambda *words: rates.append(words[2:]))
    note = run_page._Note(progress, load(tmp_path), SimpleNamespace(seen=lambda _: next(readings)))
    note.take()
    note.take()
    assert rates == [(2.0, 0.0), (2.0, 1.5)]


@pytest.mark.parametrize(("known", "rows"), [(0, 5), (3, 2), (5, 0), (99, 5)])
def test_a_browser_gets_the_rows_that_it_lacks_and_all_after_another_run(progress, tmp_path, known, rows):
    for _ in range(5):
        progress.note(load(tmp_path), seen(), 0.0, 0.0)
    state = told(progress, known)
    assert (len(state["rows"]), state["count"]) == (rows, 5)


def test_a_comparison_is_told_as_on_the_terminal(progress):
    with progress.comparing(Standing("compare", "starting both sides")):
        compared = told(progress)["compared"]
    assert (compared["title"], compared["share"]) == ("compare: starting both sides", None)
    assert told(progress)["compared"] is None


def test_of_a_long_run_the_last_rows_are_kept(progress, tmp_path, monkeypatch):
    monkeypatch.setattr(run_page, "MOST_ROWS", 3)
    short = Progress("t", 1, Secrets.of([]))
    for elapsed_s in range(1, 6):
        short.note(load(tmp_path), seen(float(elapsed_s)), float(elapsed_s), 0.0)
    assert [row[6] for row in told(short)["rows"]] == [3.0, 4.0, 5.0]
    assert [row[6] for row in told(short, 4)["rows"]] == [5.0]


def test_the_last_lines_are_kept_and_secrets_are_not(tmp_path):
    progress = Progress("http://me:opensesame@host/", 1, Secrets.of(["http://me:opensesame@host/"]))
    for number in range(20):
        progress.tell(f"{number}: opensesame")
    state = progress.state(0)
    assert b"opensesame" not in state
    assert len(orjson.loads(state)["said"]) == MOST_SAID


def test_a_line_that_is_no_utf_8_is_told(progress):
    progress.tell("a log's line: \udcff")
    assert b"udcff" in progress.state(0)


def test_a_browser_that_leaves_is_not_spoken_of(server, capfd):
    with socket.create_connection(server._server.server_address) as left:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert asked(server, "/state")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_verdict_is_told_with_its_reason_and_the_next_scenario_has_the_next_number(progress):
    progress.tell_verdict(run_result([criterion_result(value=0.3, verdict=Verdict.FAIL)]))
    state = told(progress)
    assert state["verdicts"] == [
        {"scenario": "steady", "verdict": "FAIL", "why": "p95 (client) is 300 ms, and the limit is 100 ms."}
    ]
    assert state["number"] == 2


def test_the_page_loads_nothing_from_elsewhere_and_runs_its_own_script_only(server):
    status, headers, body = asked(server, "/")
    (script,) = Markup(body.decode()).scripts
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert leads_elsewhere(body.decode()) == []
    assert f"script-src {look.hash_of(script)};" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_it_listens_on_this_machine_only(server):
    assert server.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:80", 200), ("localhost", 200), ("localhost:9", 200), ("evil.example", 421), ("127.0.0.1.evil.example", 421)],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/", "/state"])
def test_a_page_from_elsewhere_whose_name_leads_here_is_refused(server, host, status, target):
    assert asked(server, target, host)[0] == status


@pytest.mark.parametrize("target", ["/nowhere", "/report", "/../../etc/passwd", "/state/", "/results.json"])
def test_nothing_else_is_served(server, target):
    assert asked(server, target)[0] == 404


@pytest.mark.parametrize("query", ["", "?known=x", "?known=-1", "?known=", "?other=1"])
def test_a_question_that_means_nothing_gets_everything(server, progress, tmp_path, query):
    progress.note(load(tmp_path), seen(), 0.0, 0.0)
    assert len(orjson.loads(asked(server, f"/state{query}")[2])["rows"]) == 1


def test_a_port_that_is_taken_is_refused_with_what_to_do(server, progress):
    port = server.address.split(":")[2].strip("/")
    with pytest.raises(
        UsageError, match=f"--perf-live={port}: cannot listen on 127.0.0.1:{port}: .*give another port"
    ):
        RunServer(progress, int(port)).__enter__()


def test_a_browser_that_watches_gets_the_report_before_the_server_is_gone(progress, tmp_path, monkeypatch):
    monkeypatch.setattr(run_page, "LINGER_S", PATIENCE_S)
    (tmp_path / REPORT).write_text("the report")
    server, bodies = RunServer(progress, 0), []
    with server:
        asked(server, "/state")
        progress.finish(run_result([criterion_result(value=0.3, verdict=Verdict.FAIL)]), tmp_path)

        def watch():
            bodies.extend(asked(server, target)[2] for target in ("/state", "/report"))

        watching = threading.Thread(target=watch)
        watching.start()
    watching.join(PATIENCE_S)
    assert orjson.loads(bodies[0])["ended"] == {
        "verdict": "FAIL", "why": "p95 (client) is 300 ms, and the limit is 100 ms.", "folder": str(tmp_path), "report": True,
    }  # fmt: skip
    assert bodies[1] == b"the report"


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_that_nobody_watches_or_that_did_not_finish_waits_for_nobody(
    progress, tmp_path, monkeypatch, finished
):
    server = RunServer(progress, 0)
    monkeypatch.setattr(server._end_seen, "wait", lambda _: pytest.fail("it waits"))
    with server:
        if finished:
            progress.finish(run_result(), tmp_path)
        else:
            asked(server, "/state")


# The option


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["--perf-live", "tests"], ["--perf-live=0", "tests"]),
        (["--perf-live=8765"], ["--perf-live=8765"]),
        (["-m", "perf", "--perf-live"], ["-m", "perf", "--perf-live=0"]),
        (["--perf-live", "--perf-seed", "5"], ["--perf-live=0", "--perf-seed=5"]),
    ],
)
def test_without_a_value_the_page_takes_a_free_port_and_no_path(pytestconfig, words, read):
    class Parser:
        def parse_known_and_unknown_args(self, arguments):
            return None, arguments

        def parse_known_args(self, _):
            return SimpleNamespace(file_or_dir=[])

    args = list(words)
    options.join_values(SimpleNamespace(known_args_namespace=SimpleNamespace()), Parser(), args)
    assert args == read


@pytest.mark.parametrize("text", ["x", "-1", "65536", "80.0"])
def test_what_is_no_port_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match="--perf-live: expected a whole number from 0 to 65535"):
        parse_options(lambda option: text if option.name == "live" else None, tmp_path)


def test_a_command_that_runs_a_scenario_again_serves_no_page(tmp_path):
    settings = parse_options(lambda option: "0" if option.name == "live" else None, tmp_path)
    assert "live" not in reproduce.command(("t.py",), 1, settings, {})


def test_the_gate_says_where_it_can_be_watched_once_and_serves_it_until_its_end(project, monkeypatch):
    states = []

    def watched(self, *_, finish=Progress.finish):
        finish(self, *_)
        states.append(orjson.loads(self.state(0)))

    monkeypatch.setattr(Progress, "finish", watched)
    before = set(threading.enumerate())
    result = project.gate("--perf-live")
    result.assert_outcomes(passed=1)
    assert len([line for line in result.outlines if "perf: watch the run at http://127.0.0.1:" in line]) == 1
    (state,) = states
    assert (state["ended"]["verdict"], state["ended"]["report"], state["of"]) == ("PASS", True, 1)
    assert [one["scenario"] for one in state["verdicts"]] == ["tiny"]
    assert [one["name"] for one in state["phases"]] == ["warm-up", "load"]
    assert state["count"] >= 2
    assert set(threading.enumerate()) <= before


def test_without_the_option_nothing_listens(project, monkeypatch):
    monkeypatch.setattr(run_page, "_Server", lambda *_: pytest.fail("it listens"))
    project.gate().assert_outcomes(passed=1)
