"""Parsing and subtracting scrapes: what rises, what must not, and which server it was."""

import dataclasses
import math

import httpx
import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import scrape
from harness.errors import MeasurementError
from harness.scrape import MetricNames, Scrape, Series

BEFORE = """\
# HELP process_start_time_seconds Start time.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE tailgate_requests_total counter
tailgate_requests_total{outcome="ok"} 10
tailgate_requests_total{outcome="error",reason="a \\"b\\""} 1
# TYPE tailgate_queue_depth gauge
tailgate_queue_depth 3
# TYPE lag summary
lag{quantile="0.5"} 9
lag_count 2
lag_sum 4
"""
AFTER = (
    BEFORE.replace('outcome="ok"} 10', 'outcome="ok"} 25')
    .replace("depth 3", "depth 0")
    .replace('quantile="0.5"} 9', 'quantile="0.5"} 1')
)


def read(text: str, time_s: float = 0.0) -> Scrape:
    return scrape.parse(text, int(time_s * 1e9))


def test_a_difference_holds_what_each_counter_rose_by_and_ignores_gauges():
    delta = scrape.difference(read(BEFORE, 1.0), read(AFTER, 3.5))
    assert delta.seconds == 2.5
    assert delta.total("tailgate_requests_total") == 15
    assert delta.total("tailgate_requests_total", outcome="error") == 0
    assert delta.by_label("tailgate_requests_total", "outcome") == {"ok": 15, "error": 0}
    assert delta.total("tailgate_queue_depth") is None
    assert delta.total("lag_count") == 0


def test_what_is_not_there_is_none_and_never_0():
    delta = scrape.difference(read(BEFORE, 1), read(AFTER, 2))
    assert delta.total("nothing") is None
    assert delta.total("tailgate_requests_total", outcome="shed") is None
    assert delta.by_label("nothing", "outcome") == {}
    assert read("up 1\n").gauge("down") is None
    assert read("up 1\n").start_time_s is None


def test_gauges_are_read_summed_over_their_labels():
    assert read('depth{m="a"} 2\ndepth{m="b"} 3\n').gauge("depth") == 5


def test_a_series_that_is_new_counts_from_0():
    after = AFTER.replace('outcome="ok"} 25', 'outcome="ok"} 10\ntailgate_requests_total{outcome="shed"} 7')
    delta = scrape.difference(read(BEFORE, 1), read(after, 2))
    assert delta.total("tailgate_requests_total", outcome="shed") == 7


def test_a_counter_that_its_server_does_not_call_total_is_found_by_its_own_name():
    text = "# TYPE answers counter\nanswers {}\n"
    delta = scrape.difference(read(text.replace("{}", "3"), 1), read(text.replace("{}", "5"), 2))
    assert delta.total("answers") == delta.total("answers_total") == 2


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (AFTER.replace("} 25", "} 9"), r'outcome="ok"\} fell, from 10 to 9'),
        (AFTER.replace("} 25", "} NaN"), r"fell, from 10 to nan"),
        (AFTER.replace('tailgate_requests_total{outcome="ok"} 25\n', ""), r'outcome="ok"\} vanished'),
        (AFTER.replace("1.7e+09", "1.8e+09"), r"restarted.*was 1700000000.0, is 1800000000.0"),
        (AFTER.replace("process_start_time_seconds 1.7e+09\n", ""), r"restarted.*is None"),
        ("up 1\nprocess_start_time_seconds 1.7e+09\n", r"and 3 more series vanished"),
    ],
)
def test_numbers_of_a_server_that_is_not_the_same_any_more_are_refused(after, message):
    with pytest.raises(MeasurementError, match=message):
        scrape.difference(read(BEFORE, 1), read(after, 2))


def test_one_series_that_falls_is_seen_behind_another_that_rises():
    """The sum rises by 90; summed first, the restart of one worker would pass unseen."""
    text = '# TYPE c_total counter\nc_total{w="1"} %d\nc_total{w="2"} %d\n'
    with pytest.raises(MeasurementError, match=r'c_total\{w="1"\} fell'):
        scrape.difference(read(text % (10, 10), 1), read(text % (0, 110), 2))


def test_scrapes_in_the_wrong_order_are_refused():
    with pytest.raises(MeasurementError, match="not taken after"):
        scrape.difference(read(BEFORE, 2), read(AFTER, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no series"),
        ("# just a comment\n", "no series"),
        ("<html>not metrics</html>", "not a Prometheus text exposition"),
        ('a{b="c} 1', "not a Prometheus text exposition"),
        ("a 1\na 2\n", "gives? a twice"),
    ],
)
def test_what_is_no_exposition_is_refused(text, message):
    with pytest.raises(MeasurementError, match=message):
        read(text)


@given(st.text(max_size=200) | st.text(alphabet='a_{}="\\, \n1#TYPE counter+Inf', max_size=200))
def test_any_text_is_read_or_refused_as_a_measurement_error(text):
    try:
        got = read(text)
    except MeasurementError:
        return
    assert got.values


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20),
        st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)),
        min_size=1,
        max_size=5,
    )
)
def test_a_difference_of_what_prometheus_client_writes_is_what_was_counted(counts):
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("seen", "Seen.", ["who"], registry=registry)
    scrapes = []
    for turn in (0, 1):
        for who, increments in counts.items():
            counter.labels(who).inc(increments[turn])
        scrapes.append(read(prometheus_client.generate_latest(registry).decode(), turn + 1))
    delta = scrape.difference(*scrapes)
    assert delta.by_label("seen_total", "who") == {who: second for who, (_, second) in counts.items()}
    assert delta.total("seen_total") == sum(second for _, second in counts.values())


def test_a_series_prints_as_in_the_exposition():
    assert str(Series("a", (("b", "c"), ("d", "e")))) == 'a{b="c",d="e"}'
    assert str(Series("a")) == "a"


def test_every_default_name_is_tailgates_own():
    names = dataclasses.asdict(MetricNames())
    assert all(value == f"tailgate_{field}" for field, value in names.items())


def test_fetch_parses_what_the_server_answers():
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept"].startswith("text/plain")
        return httpx.Response(200, text=BEFORE)

    with httpx.Client(transport=httpx.MockTransport(handler)) as client:
        got = scrape.fetch(client, "http://server/metrics")
    assert got.start_time_s == 1.7e9
    assert got.time_ns > 0


def _refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.mark.parametrize(
    ("handler", "message"),
    [(lambda request: httpx.Response(404), "status 404, expected 200"), (_refuse, "connection refused")],
)
def test_fetch_says_which_address_gave_no_metrics(handler, message):
    with (
        httpx.Client(transport=httpx.MockTransport(handler)) as client,
        pytest.raises(MeasurementError, match=f"http://server/metrics: .*{message}"),
    ):
        scrape.fetch(client, "http://server/metrics")


def test_a_scrape_cannot_be_changed():
    with pytest.raises(TypeError):
        read(BEFORE).values[Series("a")] = math.inf
