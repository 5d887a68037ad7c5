"""The tails of both witnesses: where they contradict each other, and where an answer's end comes late."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import delta, phase, record, samples, window

from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.fault import Cause
from tailgate.harness.verdict.witnesses import check_witnesses, late_ends


def single(faults, cause):
    """Return the text of the only fault, which must be of this cause."""
    assert [fault.cause for fault in faults] == [cause]
    return faults[0].text


def lose(records, indices, outcome=Outcome.TIMEOUT):
    records["outcome"][indices] = outcome
    records["status"][indices] = 0
    return records


SERVER_S = np.linspace(0.03, 0.19, 300)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.sampled_from([0.001, 30.0]))
def test_transport_and_lost_requests_are_no_contradiction(seed, lost, ended_s):
    """Whatever the transport of each request, whichever were lost, early or late, counted by the server or not."""
    rng = np.random.default_rng(seed)
    server_s = rng.permutation(SERVER_S)
    client_s = server_s + rng.uniform(0, 0.02, 300)
    client_s[:lost] = ended_s
    records = lose(samples(client_s), slice(0, lost))
    counted = server_s[rng.integers(lost + 1) :]
    assert check_witnesses(window(record(records, delta(counted)))) == []


def test_witnesses_are_compared_at_the_same_rank():
    """The 16 slowest of 300 are the p95 and what lies beyond: one rank further down, 1 ms would face 800 ms."""
    seconds = np.r_[np.full(284, 0.005), np.full(16, 0.8)]
    assert check_witnesses(window(record(samples(seconds), delta(seconds)))) == []


def test_requests_that_broke_off_early_may_be_the_servers_slowest():
    seconds = np.r_[np.full(270, 0.005), np.full(30, 0.8)]
    records = lose(samples(np.r_[np.full(270, 0.005), np.full(30, 0.001)]), slice(270, None), Outcome.RESET)
    assert check_witnesses(window(record(records, delta(seconds)))) == []


def test_the_clients_own_lag_is_no_contradiction():
    records = samples(SERVER_S + 0.5, lag_s=0.5)
    assert check_witnesses(window(record(records, delta(SERVER_S)))) == []


def test_a_client_that_waits_longer_than_server_and_transport_explain_is_a_contradiction():
    text = single(check_witnesses(window(record(samples(SERVER_S + 0.2), delta(SERVER_S)))), Cause.NOISE)
    assert text.startswith("phase 'load', p95: the client waited 382")
    assert "says at most 200 ms, and transport explains up to 220 ms" in text


def test_an_answer_before_the_server_had_it_is_a_contradiction():
    text = single(check_witnesses(window(record(samples(SERVER_S / 10), delta(SERVER_S)))), Cause.NOISE)
    assert "the client had the answer after 18" in text
    assert "not before 100 ms; is that histogram in seconds" in text


def test_refusals_hide_no_backlog():
    """Two in three are refused at once; the good answers alone are compared with the server's slow end."""
    records = samples(np.r_[SERVER_S + 0.2, np.full(600, 0.001)])
    records["outcome"][300:], records["status"][300:] = Outcome.SHED, 503
    server = delta(np.r_[SERVER_S, np.full(600, 0.001)])
    assert "client waited" in single(check_witnesses(window(record(records, server))), Cause.NOISE)


def test_beyond_the_servers_last_edge_no_wait_is_too_long():
    made = window(record(samples(np.full(300, 9.0)), delta(np.full(300, 2.0))))
    assert check_witnesses(made) == []


def test_too_few_requests_are_no_witness():
    assert check_witnesses(window(record(samples([5.0] * 199), delta([0.1] * 199)))) == []


def test_a_server_that_counted_next_to_nothing_is_left_to_the_count():
    assert check_witnesses(window(record(samples([5.0] * 300), delta([0.1])))) == []


def test_a_run_in_which_everything_was_lost_has_no_tail_to_compare():
    records = lose(samples([0.1] * 300), slice(None))
    assert check_witnesses(window(record(records, delta([0.1] * 300)))) == []


def test_a_disturber_that_takes_long_at_the_server_is_no_contradiction():
    """The server's histogram holds it; so must the client's side of the comparison."""
    slow = samples([0.9] * 20)
    slow["request"] += 300
    made = PhaseRecord(phase(), samples([0.04] * 300), delta([0.04] * 300 + [0.9] * 20), disturbers=slow)
    assert check_witnesses(window(made)) == []
    assert check_witnesses(window(record(made.samples, made.server))) != []


def in_two_pieces(gap_s, began_s=0.002, n=300, slow=300):
    """Return answers whose first byte comes after a while and whose last one later, in some of them."""
    ends = np.full(n, began_s)
    ends[:slow] += gap_s
    records = samples(ends)
    records["first_byte_ns"] = records["sent_ns"] + round(began_s * 1e9)
    return window(record(records, delta(np.full(n, began_s))))


@pytest.mark.parametrize(
    ("gap_s", "words"),
    [
        (0.040, "waits for the client's delayed ACK, about 40 ms"),
        (0.044, "set TCP_NODELAY on the server's connections, or write head and body at once"),
        (0.5, "the server's record ends before its answer has left"),
        (0.005, ""),
    ],
)
def test_an_answer_that_begins_in_time_and_ends_late_is_no_fault_and_is_said(gap_s, words):
    made = in_two_pieces(gap_s)
    assert check_witnesses(made) == []
    assert words in late_ends(made)
    assert bool(late_ends(made)) == bool(words)


def test_a_few_late_ends_are_not_spoken_of():
    assert late_ends(in_two_pieces(0.044, slow=1)) == ""


def test_an_answer_that_begins_late_is_a_fault_and_no_note():
    made = window(record(samples(SERVER_S + 0.2), delta(SERVER_S)))
    assert len(check_witnesses(made)) == 1
    assert late_ends(made) == ""


@pytest.mark.parametrize("server", [None, delta([])])
def test_without_a_histogram_nothing_is_said(server):
    assert late_ends(window(record(samples([0.1] * 300), server))) == ""
