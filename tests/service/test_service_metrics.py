"""What Prometheus reads: names, edges, and counts that add up."""

import asyncio
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from serving import metric_samples, running

from tailgate.service.errors import Outcome
from tailgate.service.metrics import Gauge, Histogram, Metrics, batch_edges, latency_edges

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
    assert [count for _, count in histogram.buckets()] == expected
    assert [name for name, _ in histogram.buckets()] == ["0.5", "1.0", "4.0", "+Inf"]
    assert histogram.sum == pytest.approx(sum(values) * times)


def test_everything_that_is_promised_is_rendered_and_parses():
    metrics = Metrics((0.05,), 8, lambda: [Gauge("queue_depth", "Waiting.", 3)])
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
