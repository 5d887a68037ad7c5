"""Where a plan's times come from: by hand, from a running service, from a kept run."""

import kept_runs
import numpy as np
import orjson
import pytest
from scripted_server import ScriptedServer, status

from tailgate.harness.errors import HarnessError, MeasurementError, TargetError, UsageError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.sizing.sources import by_hand, by_run, by_service


@pytest.mark.parametrize(
    ("text", "cap", "found"),
    [
        ("1:5ms,8:12ms", None, {1: 0.005, 2: 0.006, 8: 0.012}),
        (" 8 : 12 ms , 1 : 5 ms ", None, {1: 0.005, 8: 0.012}),
        ("1:5ms,8:12ms", 15, {15: 0.019}),
        ("1:5ms,8:12ms", 2, {2: 0.006}),
        ("1:5ms", None, {1: 0.005}),
        ("4096:1.5s,1:500us", None, {4096: 1.5}),
    ],
)
def test_times_by_hand_are_a_line_between_and_beyond_them(text, cap, found):
    source = by_hand(text, cap)
    assert source.replica.cap == (cap or max(found))
    assert {size: source.replica.batch_s[size] for size in found} == pytest.approx(found)
    assert not source.whole


@pytest.mark.parametrize(
    ("text", "cap"),
    [
        (text, None)
        for text in (
            "",
            "5ms",
            "1:5ms,",
            "1:5",
            "1:5 /s",
            "1:5 yd",
            "1:soon",
            ":5ms",
            "0:5ms",
            "-1:5ms",
            "1.5:5ms",
            "one:5ms",
            "²:5ms",
            "9999:5ms",
            "1" * 5000 + ":5ms",
            "1:5ms,1:6ms",
            "1:0ms",
            "1:1e9s",
            "1:1e999s",
            "1;5ms",
        )
    ]
    + [("1:5ms", 8), ("1:5ms,2:6ms", 5000)],
)
def test_times_by_hand_that_mean_nothing_are_refused_with_what_was_expected(text, cap):
    with pytest.raises(UsageError, match=r"^--batch-times: .*(expected|say t\()"):
        by_hand(text, cap)


def page(**changes):
    """Return the first page of a service, as an answer."""
    times = {"per_item_s": 0.001, "fixed_s": 0.004, "measured_s": {"1": 0.005, "8": 0.012}}
    about = {"name": "tailgate", "batch_times": times, "engine": {"max_batch_size": "8"}} | changes
    return answer(orjson.dumps(about))


def answer(body):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def test_a_running_service_tells_its_batch_times_and_its_largest_batch():
    with ScriptedServer({"/": [page()]}) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert by_service(url, None).replica.batch_s[[1, 8]].tolist() == [0.005, 0.012]
        assert by_service(url + "/", 16).replica.cap == 16


@pytest.mark.parametrize(
    "said",
    [
        status(404),
        status(401),
        status(302, "location: /elsewhere"),
        answer(b"<html>"),
        answer(b"[]"),
        answer(b"{}"),
        page(batch_times=None),
        page(engine=None),
        page(engine={"max_batch_size": "many"}),
        page(engine={"max_batch_size": "1000000000"}),
        page(batch_times={"measured_s": {}}),
        page(batch_times={"measured_s": {"1": None}}),
        page(batch_times={"measured_s": {"1": -1, "2": 0.1}}),
        page(batch_times={"measured_s": {"0": 0.1, "2": 0.1}}),
        page(batch_times={"measured_s": {"1": 0.1}}),
    ],
)
def test_a_server_that_does_not_tell_its_batch_times_is_named_with_what_to_do(said):
    with ScriptedServer({"/": [said]}) as server, pytest.raises(HarnessError) as refused:
        by_service(f"http://127.0.0.1:{server.port}", None)
    assert str(server.port) in str(refused.value)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(TargetError, match=r"cannot ask http://127\.0\.0\.1:9/"):
        by_service("http://127.0.0.1:9", None)


def test_a_kept_run_tells_what_batches_and_requests_took(tmp_path):
    source = by_run(kept_runs.keep(tmp_path / "run"), None)
    replica = source.replica
    assert source.whole
    assert replica.cap == kept_runs.CAP
    for size in (2, 4, 8):
        assert replica.batch_s[size] == pytest.approx(kept_runs.batch_s(size), rel=0.05)
    # The event loop reads each request and answers it, and those of its batch before it.
    assert 100e-6 < replica.rest_s[1] < replica.rest_s[8] < 1e-3
    assert source.largest_known == kept_runs.records()["batch_size"].max()


def test_of_two_sides_the_head_counts(tmp_path):
    run = kept_runs.keep(tmp_path / "run")
    kept_runs.keep(run, arm="base", changed={"compute_s": 1.0})
    assert by_run(run, None).replica.batch_s[1] < 0.02


@pytest.mark.parametrize(
    "kept",
    [
        {"law": kept_runs.CLOSED},
        {"measured": False},
        {"arm": "base"},
        {"changed": {"batch_size": 0}},
        {"changed": {"compute_s": np.nan}},
        {"changed": {"outcome": Outcome.SHED}},
    ],
    ids=str,
)
def test_a_run_of_which_no_open_load_tells_its_batches_is_refused_with_what_to_do(tmp_path, kept):
    with pytest.raises(MeasurementError, match="a plan needs 1,000"):
        by_run(kept_runs.keep(tmp_path / "run", **kept), None)


def test_a_run_without_records_and_one_that_does_not_name_the_largest_batch_say_so(tmp_path):
    with pytest.raises(MeasurementError, match="holds no raw records"):
        by_run(tmp_path, None)
    run = kept_runs.keep(tmp_path / "run", cap=None)
    with pytest.raises(UsageError, match="Say it by --max-batch=N"):
        by_run(run, None)
    assert by_run(run, 16).replica.cap == 16
