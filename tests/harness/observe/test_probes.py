"""Probes beside the load: what counts as an answer, and that each one comes by a connection of its own."""

import math

import pytest
from scripted_server import OK, ScriptedServer, status

from tailgate.harness.observe.beside.probes import Asked, gauge
from tailgate.harness.observe.beside.probes import ask as ask_once
from tailgate.harness.target.asking.client import asking_client


def ask(script, times=1):
    with ScriptedServer({"/up": script}) as server, asking_client(5) as client:
        url = f"http://127.0.0.1:{server.port}/up"
        records = [ask_once(Asked.HEALTH, url, client) for _ in range(times)]
        connections = server.connections
    return records, connections


def test_an_answer_is_timed_and_each_question_opens_a_connection():
    records, connections = ask([OK], times=3)
    assert [record.status for record in records] == [200] * 3
    assert all(0 < record.seconds < math.inf for record in records)
    assert connections == 3


def test_any_2xx_is_a_good_answer():
    ((record,), _) = ask([b"HTTP/1.1 204 No Content\r\n\r\n"])
    assert (record.status, record.seconds < math.inf) == (204, True)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([status(307)], 307),
        ([status(503)], 503),
        (["close"], None),
        (["reset"], None),
        ([b"nonsense\r\n\r\n"], None),
    ],
)
def test_what_is_no_good_answer_is_infinitely_late(script, code):
    ((record,), _) = ask(script)
    assert (record.status, record.seconds) == (code, math.inf)
    assert record.asked is Asked.HEALTH


TEXT = """# HELP queue waiting
# TYPE queue gauge
queue{pool="a"} 3
queue{pool="b"} 4
# TYPE queue_seconds histogram
queue_seconds_bucket{le="+Inf"} 7
queue_seconds_count 7
queue_seconds_sum 0.5
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [("queue", 7.0), ('queue{pool="b"}', 4.0), ('queue{pool="c"}', None), ("depth", None), (None, None)],
)
def test_a_gauge_is_read_by_its_selector_and_is_none_where_it_is_not_told(name, value):
    assert gauge(TEXT, name) == value


@pytest.mark.parametrize("text", ["", "queue", "queue one\n", "<html>queue</html>", "\x00queue 1"])
def test_an_answer_that_is_no_exposition_has_no_gauge(text):
    assert gauge(text, "queue") is None
