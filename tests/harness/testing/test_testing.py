"""The test kit is a public interface, so it is tested like one."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tailgate.harness.load.records.samples import SAMPLE, Outcome
from tailgate.harness.observe.delta import difference
from tailgate.harness.target.asking.exposition import find
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import Series
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target
from tailgate.harness.testing import FakeClock, fake_server_spec, samples


def test_a_fake_clock_moves_only_when_told():
    clock = FakeClock(5)
    assert clock() == clock() == 5
    clock.sleep(2)
    clock.advance(1)
    assert clock() == 8
    assert clock.sleeps_s == [2]


def test_samples_have_the_latencies_that_were_asked_for():
    made = samples([0.1, 0.2, 0.3], interval_s=0.5, lag_s=0.001, phase=2)
    assert made.dtype == SAMPLE
    assert ((made["done_ns"] - made["intended_ns"]) / 1e9).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert np.diff(made["intended_ns"]).tolist() == [500_000_000, 500_000_000]
    assert (made["dispatched_ns"] - made["intended_ns"]).tolist() == [1_000_000] * 3
    assert made["status"].tolist() == [200] * 3
    assert made["phase"].tolist() == [2] * 3


def test_samples_without_an_answer_have_no_status_and_no_first_byte():
    made = samples([0.1, 0.2, 0.3], outcomes=[Outcome.OK, Outcome.SHED, Outcome.TIMEOUT])
    assert made["status"].tolist() == [200, 503, 0]
    assert (made["first_byte_ns"] > 0).tolist() == [True, True, False]


def test_the_fake_server_counts_what_it_served_by_the_names_of_the_service(tmp_path):
    with (
        parse_target(fake_server_spec(2), TargetSettings()).start(tmp_path) as target,
        httpx.Client(base_url=target.base_url, trust_env=False) as client,
    ):
        before = find(client, target.metrics_url).scrape
        answers = [client.post("/predict", content=b"x" * size) for size in (0, 10, 100_000)]
        change = difference(before, find(client, target.metrics_url).scrape)
        assert client.get("/nowhere").status_code == 404
        assert client.get("/predict").status_code == 404
    names = MetricNames()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert all('batch;desc="1"' in answer.headers["Server-Timing"] for answer in answers)
    assert change.total(names.requests_total, outcome="ok") == 3
    for histogram in (names.request_seconds, names.queue_seconds, names.compute_seconds, names.batch_size):
        assert change.total(f"{histogram}_count") == 3
    # Each was served for its time at the least: a timer is never early.
    assert change.total(f"{names.compute_seconds}_sum") >= 3 * 0.002


def test_a_fake_server_with_a_bound_refuses_what_would_wait_beyond_it(tmp_path):
    with parse_target(fake_server_spec(200, queue_capacity=2), TargetSettings()).start(tmp_path) as target:
        url = target.base_url + "/predict"
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.post(url, trust_env=False), range(8)))
        with httpx.Client(trust_env=False) as client:
            values = find(client, target.metrics_url).scrape.values
    refused = [answer for answer in answers if answer.status_code == 429]
    # One is served and two wait; the others come while they do.
    assert 1 <= len(refused) <= 5
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert values[Series("tailgate_requests_total", (("outcome", "full"),))] == len(refused)
    assert values[Series("tailgate_requests_total", (("outcome", "ok"),))] == 8 - len(refused)
