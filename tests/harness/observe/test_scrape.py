"""Parsing and subtracting scrapes: what rises, what must not, and which server it was."""

import dataclasses
import math

import httpx
import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import MeasurementError
from tailgate.harness.observe import histogram
from tailgate.harness.observe.delta import difference
from tailgate.harness.target.asking import exposition as scrape
from tailgate.harness.target.asking.exposition import Scrape
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import Series

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
    delta = difference(read(BEFORE, 1.0), read(AFTER, 3.5))
    assert delta.seconds == 2.5
    assert delta.total("tailgate_requests_total") == 15
    assert delta.total("tailgate_requests_total", outcome="error") == 0
    assert delta.by_label("tailgate_requests_total", "outcome") == {"ok": 15, "error": 0}
    assert delta.total("tailgate_queue_depth") is None
    assert delta.total("lag_count") == 0


def test_what_is_not_there_is_none_and_never_0():
    delta = difference(read(BEFORE, 1), read(AFTER, 2))
    assert delta.total("nothing") is None
    assert delta.total("tailgate_requests_total", outcome="shed") is None
    assert delta.by_label("nothing", "outcome") == {}
    assert read("up 1\n").gauge("down") is None
    assert read("up 1\n").start_time_s is None


def test_gauges_are_read_summed_over_their_labels():
    assert read('depth{m="a"} 2\ndepth{m="b"} 3\n').gauge("depth") == 5


def test_a_series_that_is_new_counts_from_0():
    after = AFTER.replace('outcome="ok"} 25', 'outcome="ok"} 10\ntailgate_requests_total{outcome="shed"} 7')
    delta = difference(read(BEFORE, 1), read(after, 2))
    assert delta.total("tailgate_requests_total", outcome="shed") == 7


def test_a_counter_that_its_server_does_not_call_total_is_found_by_its_own_name():
    text = "# TYPE answers counter\nanswers {}\n"
    delta = difference(read(text.replace("{}", "3"), 1), read(text.replace("{}", "5"), 2))
    assert delta.total("answers") == delta.total("answers_total") == 2


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (AFTER.replace("} 25", "} 9"), r'outcome="ok"\} fell, from 10 to 9'),
        (AFTER.replace("} 25", "} NaN"), r" is nan, which counts nothing"),
        (AFTER.replace("} 25", "} +Inf"), r" is inf, which counts nothing"),
        (AFTER.replace('tailgate_requests_total{outcome="ok"} 25\n', ""), r'outcome="ok"\} vanished'),
        (
            AFTER.replace("1.7e+09", "1.8e+09"),
            r"another server.*was 1700000000.0, is 1800000000.0: did the server restart",
        ),
        (AFTER.replace("process_start_time_seconds 1.7e+09\n", ""), r"another server.*is None"),
        (
            "up 1\nprocess_start_time_seconds 1.7e+09\n",
            r"and 1 more series vanished.*PROMETHEUS_MULTIPROC_DIR",
        ),
        (AFTER + 'tailgate_requests_total{outcome="ok"} 25\n', r'the metrics give .*outcome="ok"\} twice'),
    ],
)
def test_numbers_of_a_server_that_is_not_the_same_any_more_are_refused(after, message):
    with pytest.raises(MeasurementError, match=message):
        difference(read(BEFORE, 1), read(after, 2)).total("tailgate_requests_total")


def test_one_series_that_falls_is_seen_behind_another_that_rises():
    """The sum rises by 90; summed first, the restart of one worker would pass unseen."""
    text = '# TYPE c_total counter\nc_total{w="1"} %d\nc_total{w="2"} %d\n'
    with pytest.raises(MeasurementError, match=r'c_total\{w="1"\} fell'):
        difference(read(text % (10, 10), 1), read(text % (0, 110), 2)).total("c_total")


ODDITIES = {
    "falls": ("# TYPE c counter\nc_total 9\n", "# TYPE c counter\nc_total 8\n"),
    "vanishes": ('# TYPE c counter\nc_total{k="1"} 1\n', '# TYPE c counter\nc_total{k="2"} 1\n'),
    "is no number": ("c_total NaN\n", "c_total NaN\n"),
    "stands there twice": ('c_total{a="1"} 1\n' * 2, 'c_total{a="1"} 1\n' * 2),
    "is a sum of negative values": ("# TYPE t summary\nt_sum -2\nt_count 2\n", "# TYPE t summary\nt_sum -3\nt_count 3\n"),
    "was created again": ("c_total 1\nc_created 1.8e9\n", "c_total 1\nc_created 1.7e9\n"),
    "has a name of any characters": ('{"my.c",a="b"} 9\n', '{"my.c",a="b"} 8\n'),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), ODDITIES.values(), ids=ODDITIES)
def test_a_series_that_nobody_reads_may_be_what_it_likes(before, after):
    delta = difference(read(BEFORE + before, 1), read(AFTER + after, 2))
    assert delta.total("tailgate_requests_total") == 15


@pytest.mark.parametrize("start", ["NaN", "+Inf"])
def test_a_start_time_that_is_no_time_tells_of_no_restart(start):
    text = f"process_start_time_seconds {start}\nup 1\n"
    assert difference(read(text, 1), read(text, 2)).before.start_time_s is None


EXPOSITIONS = {
    "counter without a type": "{0}_total 3\n",
    "counter by its own name": "# TYPE {0} counter\n{0} 3\n",
    "counter in OpenMetrics style": "# TYPE {0} counter\n{0}_total 3\n",
    "counter by its whole name": "# TYPE {0}_total counter\n{0}_total 3\n",
    "OpenMetrics": '# TYPE {0} counter\n# UNIT {0} jobs\n{0}_total{{a="b"}} 3 # {{trace_id="z # y"}} 1.0 1.7e9\n'
    '{0}_created{{a="b"}} 1.7e9\n# EOF\n',
    "an exemplar without time": "# TYPE {0} counter\n{0}_total 3 # {{}} 1\n",
    "a timestamp": "# TYPE {0} counter\n{0}_total 3 1700000000000\n",
    "lines that end as on Windows": "# TYPE {0} counter\r\n{0}_total 3\r\n",
    "labels with marks in them": '# TYPE {0} counter\n{0}_total{{a="\\"# {{ \\n\\\\ }} ,"}} 3 # {{b="}}"}} 1\n',
    "a gauge of nearly that name": "# TYPE {0} gauge\n{0} 99\n{0}_total 3\n".replace("{0}_total", "# TYPE {0}_total counter\n{0}_total"),
}  # fmt: skip


@pytest.mark.parametrize("text", EXPOSITIONS.values(), ids=EXPOSITIONS)
@pytest.mark.parametrize("name", ["jobs", "jobs_total"])
def test_a_counter_is_found_however_it_is_written(text, name):
    before, after = read("up 1\n", 1), read(text.format("jobs"), 2)
    assert difference(before, after).total(name) == 3


def metric(field, name, text):
    delta = difference(read("up 1\n", 1), read(text, 2))
    delta.refuse_missing(MetricNames(**{field: name}))


@pytest.mark.parametrize(
    ("field", "name", "text", "message"),
    [
        ("requests_total", "jobs", "# TYPE jobs gauge\njobs 3\n", "no counter 'jobs', .*; jobs is a gauge"),
        (
            "requests_total",
            "job",
            "# TYPE jobs counter\njobs_total 3\n",
            "no counter 'job', .*nearest is jobs",
        ),
        ("requests_total", "h", '# TYPE h summary\nh{quantile="1"} 3\nh_count 3\n', "h is a summary"),
        ("requests_total", "h_count", '# TYPE h summary\nh{quantile="1"} 3\nh_count 3\n', None),
        ("requests_total", "jobs", "up 1\n", "which --perf-metric=requests_total=jobs names$"),
        ("request_seconds", "h", '# TYPE h histogram\nh_bucket{le="+Inf"} 3\n', None),
        ("request_seconds", "h", "# TYPE h summary\nh_count 3\n", "no histogram 'h', .*; h is a summary"),
        ("in_flight", "g", "up 1\n", "no gauge 'g'"),
        ("in_flight", "up", "up 1\n", None),
        ("in_flight", None, "up 1\n", None),
        ("in_flight", "tailgate_in_flight", "up 1\n", None),  # nobody named it
    ],
)
def test_a_metric_that_the_user_names_and_that_is_not_there_is_refused_by_name(field, name, text, message):
    if message is None:
        metric(field, name, text)
    else:
        with pytest.raises(MeasurementError, match=message):
            metric(field, name, text)


BY_HANDLER = """\
# TYPE c counter
c_total{handler="/score",code="200"} 3
c_total{handler="/metrics",code="200"} 4
# TYPE h histogram
h_bucket{handler="/score",le="+Inf"} 3
h_bucket{handler="/metrics",le="+Inf"} 4
# TYPE g gauge
g{handler="/score"} 3
g{handler="/metrics"} 4
"""


def test_conditions_on_labels_choose_what_is_summed():
    delta = difference(read("up 1\n", 1), read(BY_HANDLER, 2))
    assert (delta.total("c"), delta.total('c{handler="/score"}'), delta.total('c_total{code!="200"}')) == (
        7,
        3,
        None,
    )
    assert delta.by_label('c{handler!="/metrics"}', "code") == {"200": 3}
    assert (delta.after.gauge("g"), delta.after.gauge('g{handler=~"/s.*"}')) == (7, 3)
    assert [histogram.from_delta(delta, name).n for name in ("h", 'h{handler="/score"}')] == [7, 3]


def test_a_series_that_no_condition_chooses_may_be_what_it_likes():
    fallen = BY_HANDLER.replace(
        'c_total{handler="/metrics",code="200"} 4', 'c_total{handler="/metrics",code="200"} 1'
    )
    assert difference(read(BY_HANDLER, 1), read(fallen, 2)).total('c{handler="/score"}') == 0


@pytest.mark.parametrize(
    ("field", "name", "hint"),
    [
        ("request_seconds", 'h{handler="/scor"}', '; its handler is "/metrics", "/score"$'),
        ("request_seconds", 'h{path="/score"}', "; it has no label path; it has handler$"),
        ("requests_total", 'c{handler="/score",code="201"}', '; its handler is .*; its code is "200"$'),
        ("requests_total", 'c_total{handler="/"}', '; its handler is "/metrics", "/score"$'),
        ("requests_total", 'g{handler="/"}', "; g is a gauge$"),
        ("in_flight", 'g{handler="/"}', '; its handler is "/metrics", "/score"$'),
        ("in_flight", 'gg{handler="/"}', "; the nearest is g$"),
    ],
)
def test_a_selector_that_chooses_nothing_is_told_what_the_labels_are(field, name, hint):
    with pytest.raises(MeasurementError, match=hint):
        metric(field, name, BY_HANDLER)


def test_of_many_values_of_a_label_some_are_listed():
    text = "".join(f'c_total{{k="{value:02}"}} 1\n' for value in range(12))
    with pytest.raises(MeasurementError, match=r'"00", .*"09" and 2 more$'):
        metric("requests_total", 'c{k="x"}', text)


def test_scrapes_in_the_wrong_order_are_refused():
    with pytest.raises(MeasurementError, match="not taken after"):
        difference(read(BEFORE, 2), read(AFTER, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no series"),
        ("# just a comment\n", "no series"),
        ("<html>not metrics</html>", "not a Prometheus text exposition"),
        ('a{b="c} 1', "not a Prometheus text exposition"),
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
    delta = difference(*scrapes)
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
        got = scrape.find(client, "http://server/metrics").scrape
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
        scrape.find(client, "http://server/metrics")


def moving(places):
    """Return a client of a server that redirects from each place to another, and has metrics at any else."""

    def answer(request):
        location = places.get(str(request.url))
        return (
            httpx.Response(200, text=BEFORE)
            if location is None
            else httpx.Response(307, headers={"location": location})
        )

    return httpx.Client(transport=httpx.MockTransport(answer), trust_env=False)


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ({}, "http://server/metrics"),
        ({"http://server/metrics": "/metrics/"}, "http://server/metrics/"),
        ({"http://server/metrics": "metrics/?format=text"}, "http://server/metrics/?format=text"),
        ({"http://server/metrics": "http://server:9100/m"}, "http://server:9100/m"),
        ({"http://server/metrics": "//other/m"}, "http://other/m"),
        ({"http://server/metrics": "https://server/m", "https://server/m": "/m/"}, "https://server/m/"),
        ({f"http://server/{'metrics' if n == 0 else n}": f"/{n + 1}" for n in range(5)}, "http://server/5"),
    ],
)
def test_metrics_are_found_where_redirects_lead(places, found):
    with moving(places) as client:
        assert scrape.find(client, "http://server/metrics").url == found


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"http://server/metrics": "/metrics"}, "redirects more than 5 times"),
        ({"http://server/metrics": "/a", "http://server/a": "/metrics"}, "redirects more than 5 times"),
        ({"http://server/metrics": "http://[::1/"}, "Invalid URL in location header"),
    ],
)
def test_redirects_that_lead_nowhere_are_refused(places, message):
    with (
        moving(places) as client,
        pytest.raises(MeasurementError, match=rf"{message}.*--perf-metrics-path= \(empty\)"),
    ):
        scrape.find(client, "http://server/metrics")


def test_headers_that_are_for_one_host_do_not_follow_a_redirect_to_another():
    with (
        moving({"http://server/metrics": "http://other/m"}) as client,
        pytest.raises(
            MeasurementError, match="not for another host; --perf-metrics-path=http://other/m says"
        ),
    ):
        scrape.find(client, "http://server/metrics", elsewhere=False)
    with moving({"http://server/metrics": "http://server:9100/m"}) as client:
        assert scrape.find(client, "http://server/metrics", elsewhere=False).url == "http://server:9100/m"


def test_metrics_that_begin_to_redirect_later_are_not_followed():
    with (
        moving({"http://server/metrics": "/m"}) as client,
        pytest.raises(MeasurementError, match=r"status 307 to http://server/m, expected 200$"),
    ):
        scrape.get(client, "http://server/metrics")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            401,
            "status 401, expected 200; --perf-header='NAME: VALUE' is sent with this question too; --perf-metrics-path=PATH",
        ),
        (403, "status 403, expected 200; --perf-header"),
        (404, "status 404, expected 200; --perf-metrics-path=PATH names another path, and a target"),
        (300, "status 300, expected 200"),
    ],
)
def test_metrics_that_are_refused_are_told_by_the_option_that_mends_it(status, message):
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    with httpx.Client(transport=transport) as client, pytest.raises(MeasurementError, match=message):
        scrape.find(client, "http://server/metrics")


def test_a_scrape_cannot_be_changed():
    with pytest.raises(TypeError):
        read(BEFORE).values[Series("a")] = math.inf
