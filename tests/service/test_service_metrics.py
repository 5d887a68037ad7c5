"""What Prometheus reads: names, edges, and counts that add up."""

import asyncio
import itertools
import re
import shutil
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from serving import metric_samples, running

from tailgate.service.errors import Outcome
from tailgate.service.families import FAMILIES
from tailgate.service.metrics import (
    OPENMETRICS,
    TEXT,
    Histogram,
    Metrics,
    Reading,
    batch_edges,
    latency_edges,
)

# What dashboards, rules and the harness read.
HISTOGRAMS = ("request", "queue", "decode", "compute", "encode")


def test_neighbouring_edges_are_a_factor_of_12_apart_from_100_microseconds_to_a_minute():
    edges = latency_edges()
    ratios = [high / low for low, high in itertools.pairwise(edges)]
    assert (edges[0], edges[-1]) == (100e-6, 60.0)
    assert max(ratios) <= 1.2 * 1.005  # three digits are kept


@given(st.lists(st.floats(1e-5, 100), max_size=4))
def test_each_objective_is_an_edge_itself_and_edges_ascend(objectives_s):
    edges = latency_edges(objectives_s)
    assert set(objectives_s) <= set(edges)
    assert list(edges) == sorted(set(edges))


@pytest.mark.parametrize(
    ("cap", "edges"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (32, (1, 2, 4, 8, 16, 32))]
)
def test_batch_sizes_have_edges_at_the_powers_of_two_and_at_the_cap(cap, edges):
    assert batch_edges(cap) == edges


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 5))
def test_a_bucket_counts_what_is_at_most_its_edge(values, times):
    histogram = Histogram((0.5, 1.0, 4.0))
    for value in values:
        histogram.observe(value, times)
    expected = [sum(value <= edge for value in values) * times for edge in (0.5, 1.0, 4.0, float("inf"))]
    assert [count for _, count, _ in histogram.buckets()] == expected
    assert [name for name, _, _ in histogram.buckets()] == ["0.5", "1.0", "4.0", "+Inf"]
    assert histogram.sum == pytest.approx(sum(values) * times)


def test_everything_that_is_promised_is_rendered_and_parses():
    metrics = Metrics((0.05,), 8, lambda: [Reading("tailgate_queue_depth", 3)])
    metrics.info = {"model": 'a "quoted"\nname'}
    metrics.count(Outcome.OK, 0.04)
    text = metrics.render().decode()
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert {f"tailgate_{name}_seconds" for name in HISTOGRAMS} | {"tailgate_batch_size"} == {
        name for name, kind in families.items() if kind == "histogram" and name.startswith("tailgate")
    }
    assert families["tailgate_requests"] == families["tailgate_executor_busy_seconds"] == "counter"
    assert families["tailgate_queue_depth"] == "gauge"
    assert "process_start_time_seconds" in families  # tells a restart from a reset
    samples = metric_samples(text)
    assert samples[("tailgate_info", (("model", 'a "quoted"\nname'),))] == 1
    for outcome in Outcome:
        assert samples[("tailgate_requests_total", (("outcome", outcome.value),))] == (outcome is Outcome.OK)
    at_objective = ("tailgate_request_seconds_bucket", (("le", "0.05"), ("outcome", "ok")))
    assert samples[at_objective] == 1


def test_every_name_is_of_prometheus_form_and_no_label_is_unbounded():
    metrics = Metrics((), 8, list)
    for outcome in Outcome:
        metrics.count(outcome, 0.1)
    labels = {"tailgate_info": set()}
    for name, pairs in metric_samples(metrics.render().decode()):
        assert re.fullmatch("[a-z_]+", name)
        if name.startswith("tailgate"):
            labels.setdefault(name, set()).update(key for key, _ in pairs)
    assert set().union(*labels.values()) == {"outcome", "le", "reason"}


def test_a_request_of_unknown_duration_is_counted_and_not_observed():
    metrics = Metrics((), 8, list)
    metrics.count(Outcome.UNKNOWN_PATH)
    assert metrics.requests[Outcome.UNKNOWN_PATH] == 1
    assert sum(metrics.request[Outcome.UNKNOWN_PATH].counts) == 0


def everything():
    """Return metrics that hold every family, and a request of every outcome with an id."""
    readings = [Reading(name, 0.5) for name, family in FAMILIES.items() if name not in OWN]
    metrics = Metrics((), 8, lambda: readings, objective_s=0.05)
    for outcome in Outcome:
        metrics.count(outcome, 0.04, b"id")
    return metrics


OWN = {
    "tailgate",
    "tailgate_requests",
    "tailgate_good_requests",
    "tailgate_executor_busy_seconds",
    "tailgate_connections",
    "tailgate_connections_cut",
} | {name for name, family in FAMILIES.items() if family.kind == "histogram"}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_name_ends_in_its_unit_and_never_in_what_its_type_appends(family):
    last = family.name.rpartition("_")[2]
    assert last == family.unit or (family.unit is None and last not in {"seconds", "bytes", "ratio"})
    assert not family.name.endswith(("_total", "_info", "_created", "_bucket", "_count", "_sum"))
    assert re.fullmatch("tailgate(_[a-z0-9]+)*", family.name)


def test_each_declared_metric_is_rendered_once_and_as_declared_in_both_formats():
    metrics = everything()
    told = list(metrics.collect())
    assert {(each.name, each.type, each.documentation, each.unit or None) for each in told} == {
        (family.name, family.kind, family.help, family.unit) for family in FAMILIES.values()
    }
    assert len(told) == len(FAMILIES)
    for family in told:
        assert {label for sample in family.samples for label in sample.labels} - {"le"} == set(
            FAMILIES[family.name].labels
        )
    of_text, of_openmetrics = metric_samples(metrics.render().decode()), openmetrics_samples(metrics)
    assert {name for name, _ in of_text} == {name for name, _ in of_openmetrics}


def openmetrics_samples(metrics):
    """Return what a strict parser reads: each sample's value and exemplar by its name and labels."""
    families = openmetrics_families(metrics.render(OPENMETRICS).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): (sample.value, sample.exemplar)
        for family in families
        for sample in family.samples
    }


# What codec.request_id takes for an id.
IDS = st.binary(min_size=1, max_size=128).map(lambda raw: bytes(33 + byte % 94 for byte in raw))
USUAL_IDS = st.from_regex(r"[\w.-]{1,128}", fullmatch=True).map(
    lambda text: text.encode("ascii", "ignore") or b"-"
)


@given(st.lists(st.tuples(st.floats(1e-6, 90), st.none() | IDS | USUAL_IDS), max_size=20))
def test_each_bucket_tells_the_last_request_with_an_id_and_no_id_breaks_a_scrape(requests):
    metrics, expected = Metrics((), 8, list), {}
    edges = [*metrics.queue.edges, float("inf")]
    for seconds, request_id in requests:
        metrics.count(Outcome.OK, seconds, request_id)
        if request_id is not None:
            edge = next(edge for edge in edges if seconds <= edge)
            expected[edge] = (request_id.decode(), seconds)
    found = {
        float(dict(labels)["le"]): (exemplar.labels["request_id"], exemplar.value)
        for (name, labels), (_, exemplar) in openmetrics_samples(metrics).items()
        if exemplar is not None and name == "tailgate_request_seconds_bucket"
    }
    assert found.items() <= expected.items()
    # "the combined length of the label names and values of an exemplar's label set MUST NOT exceed 128" characters
    usual = {edge for edge, (told, _) in expected.items() if re.fullmatch(r"[\w.-]{1,118}", told)}
    assert usual <= found.keys()
    assert all(len("request_id" + told) <= 128 for told, _ in found.values())
    assert " # {" not in metrics.render().decode()


@given(st.lists(st.floats(0.001, 1), max_size=20), st.none() | st.floats(0.002, 0.5))
def test_good_requests_are_those_with_a_result_within_the_objective(seconds, objective_s):
    metrics = Metrics((), 8, list, objective_s)
    for each_s in seconds:
        metrics.count(Outcome.OK, each_s)
        metrics.count(Outcome.ERROR, each_s)
    good = metric_samples(metrics.render().decode())[("tailgate_good_requests_total", ())]
    assert good == sum(objective_s is None or each_s <= objective_s for each_s in seconds)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_own_linter_finds_nothing():
    linted = subprocess.run(
        ["promtool", "check", "metrics"],
        input=everything().render(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (linted.returncode, linted.stderr.decode()) == (0, "")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    {
        None: False,
        "*/*": False,
        "text/plain; version=0.0.4": False,
        "text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0;q=0.75": True,
        "application/openmetrics-text": True,
        "Application/OpenMetrics-Text; version=2.0.0": True,
        "application/openmetrics-text;q=0": False,
        "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.3,*/*;q=0.1": False,
        "application/openmetrics-text; version=x'\"; q=nonsense, text/html": False,
        # What Prometheus 2 and 3 send.
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;"
        "q=0.5,*/*;q=0.1": True,
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2": True,
    }.items(),
)
async def test_a_scraper_gets_the_format_that_it_likes_best(accept, openmetrics):
    async with running() as server:
        await server.predict([1, 2, 3, 4], **{"x-request-id": "said"})
        answer = await server.client.get("/metrics", headers=[] if accept is None else [("accept", accept)])
    kind, version = (OPENMETRICS, "1.0.0") if openmetrics else (TEXT, "0.0.4")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{kind}; version={version}; charset=utf-8"
    assert answer.text.endswith("# EOF\n") is openmetrics
    assert ('# {request_id="said"}' in answer.text) is openmetrics


@pytest.mark.asyncio
async def test_every_stage_of_a_request_with_an_id_has_it_for_an_example(gate):
    async with running("gated:factory") as server:
        await server.predict([1, 2, 3, 4], **{"x-request-id": "mine"})
        await server.predict([1, 2, 3, 4])
        samples = openmetrics_samples(server.service.metrics)
    exemplars = {name: exemplar for (name, _), (_, exemplar) in samples.items() if exemplar}
    told = {name: exemplar.labels["request_id"] for name, exemplar in exemplars.items()}
    # Since the epoch: a minute is far less than the two clocks differ by.
    assert all(abs(float(exemplar.timestamp) - time.time()) < 60 for exemplar in exemplars.values())
    assert told == {f"tailgate_{stage}_seconds_bucket": "mine" for stage in HISTOGRAMS}


@pytest.mark.asyncio
async def test_a_slow_request_without_an_id_is_an_example_by_the_id_that_its_answer_tells(gate):
    async with running("gated:factory", slow_request_ms=0) as server:
        answer = await server.predict([1, 2, 3, 4])
        samples = openmetrics_samples(server.service.metrics)
    (of_request,) = [
        exemplar
        for (name, _), (_, exemplar) in samples.items()
        if exemplar and name == "tailgate_request_seconds_bucket"
    ]
    assert of_request.labels == {"request_id": answer.headers["x-request-id"]}


@pytest.mark.asyncio
async def test_every_stage_of_several_items_has_the_id_of_their_request():
    body = {"inputs": [{"name": "input", "shape": [2, 4], "datatype": "FP32", "data": [1.0] * 8}]}
    async with running() as server:
        answer = await server.client.post(
            "/v2/models/doubler/infer", json=body, headers={"x-request-id": "mine"}
        )
        samples = openmetrics_samples(server.service.metrics)
    assert answer.status_code == 200, answer.text
    told = {name: exemplar.labels["request_id"] for (name, _), (_, exemplar) in samples.items() if exemplar}
    assert told == {f"tailgate_{stage}_seconds_bucket": "mine" for stage in HISTOGRAMS}


@pytest.mark.asyncio
async def test_counts_add_up_to_what_was_sent(gate):
    async with running("gated:factory", max_batch_size=4) as server:
        gate.opened.clear()
        held = asyncio.create_task(server.predict([1, 2, 3, 4]))
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        during = metric_samples((await server.client.get("/metrics")).text)
        gate.opened.set()
        await held
        await asyncio.gather(*(server.predict([number] * 4) for number in range(20)))
        await server.predict([1])
        await server.client.get("/nowhere")
        samples = metric_samples((await server.client.get("/metrics")).text)

    def total(name, **labels):
        return samples[(f"tailgate_{name}", tuple(sorted(labels.items())))]

    assert during[("tailgate_in_flight", ())] == 1
    assert during[("tailgate_ready", ())] == 1
    assert total("in_flight") == total("queue_depth") == 0
    assert total("requests_total", outcome="ok") == 21
    assert total("requests_total", outcome="bad_input") == 1
    assert total("requests_total", outcome="unknown_path") == 1
    assert total("request_seconds_count", outcome="ok") == 21
    assert total("request_seconds_bucket", outcome="ok", le="+Inf") == 21
    for stage in ("queue", "compute", "encode", "decode"):
        assert total(f"{stage}_seconds_count") == 21
    assert total("batch_size_sum") == 21
    assert total("batch_size_bucket", le="4.0") == total("batch_size_count") >= 6
    assert 0 < total("executor_busy_seconds_total") <= total("compute_seconds_sum")
    assert total("precision_largest_error") == 0


@pytest.mark.asyncio
async def test_a_replica_says_what_its_requests_need_and_whether_there_is_a_queue(gate):
    async with running("gated:factory", max_batch_size=4, latency_objective_ms=1000) as server:
        idle = metric_samples((await server.client.get("/metrics")).text)
        gate.opened.clear()
        held = [asyncio.create_task(server.predict([number] * 4)) for number in range(9)]
        assert await asyncio.to_thread(gate.entered.acquire, timeout=30)
        busy = metric_samples((await server.client.get("/metrics")).text)
        gate.opened.set()
        await asyncio.gather(*held)
    wait, spare, replicas = (
        (f"tailgate_{name}", ())
        for name in ("predicted_wait_seconds", "spare_requests_per_second", "desired_replicas")
    )
    assert idle[wait] == idle[replicas] == 0 < idle[spare]
    assert busy[wait] > 0 < busy[replicas]
    assert busy[spare] < idle[spare]
