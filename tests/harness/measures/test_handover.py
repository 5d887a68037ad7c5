"""The ledger of a rollout: whatever happens to requests, each is found in its place; and books that do not close say so."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import MEASURES, samples

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES, Outcome
from tailgate.harness.load.settings import SETTINGS, LoadSettings, write_settings
from tailgate.harness.load.wire.request_id import request_id, request_of
from tailgate.harness.measures.handover import COUNTING_NS, PASSED, closed
from tailgate.harness.observe.window import PhaseRecord, Window
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.scenario import Criterion, Phase
from tailgate.harness.target.fleet import books
from tailgate.harness.target.fleet.books import FleetBook, ReplicaBook

SECOND_NS = 1_000_000_000
# What may become of a request: the client's outcome and status, the gateway's status, and whether a replica answered.
ANSWERED = (Outcome.OK, 200, 200, True)
REFUSED = (Outcome.SHED, 503, 503, True)
OWN_ERROR = (Outcome.SERVER_ERROR, 500, 500, True)
GATEWAYS_503 = (Outcome.SHED, 503, 503, False)
GATEWAYS_502 = (Outcome.SERVER_ERROR, 502, 502, False)
CUT = (Outcome.RESET, 200, 200, True)
GONE = (Outcome.RESET, 0, -1, False)
NEVER_THERE = (Outcome.REFUSED, 0, None, False)
FATES = (ANSWERED, REFUSED, OWN_ERROR, GATEWAYS_503, GATEWAYS_502, CUT, GONE, NEVER_THERE)
LOST = (GATEWAYS_503, GATEWAYS_502, CUT, GONE, NEVER_THERE)


def replica(place, *, counted=None, since=None, told=None, until=None, killed=False, read=None):
    at = [None if one is None else round(one * SECOND_NS) for one in (since, told, until)]
    read_ns = None if read is None else (round(read * SECOND_NS), round(read * SECOND_NS) + 1)
    return ReplicaBook(place, *at, killed, counted, read_ns)


def book(*replicas, act="replace"):
    return FleetBook("rollout", act, "haproxy", (1, 2, 3), 0, 9 * SECOND_NS, replicas)


def histories(fates=FATES):
    """Requests at whole seconds from 1 on, each with the place that the gateway chose."""
    return st.lists(st.tuples(st.sampled_from(fates), st.integers(0, 1)), min_size=1, max_size=30)


def client(history):
    """Return the client's records: each request is sent at its second, and over half a second later."""
    records = samples(np.full(len(history), 0.5), rate_per_s=1.0)
    records["sent_ns"] = records["intended_ns"] = (np.arange(len(history)) + 1) * SECOND_NS
    records["done_ns"] = records["sent_ns"] + SECOND_NS // 2
    records["outcome"] = [fate[0] for fate, _ in history]
    records["status"] = [fate[1] for fate, _ in history]
    return records


def gateway(history):
    rows = [
        (index, fate[2], place, fate[3]) for index, (fate, place) in enumerate(history) if fate[2] is not None
    ]
    return np.array(rows, PASSED)


def fleet(history, changed=0):
    """Two replicas that have counted what they answered, read after all is over."""
    end = len(history) + 5
    counts = [sum(fate[3] and at == place for fate, at in history) for place in (0, 1)]
    return book(*(replica(place, counted=counts[place] + changed, read=end) for place in (0, 1)))


@given(histories())
def test_lost_is_what_had_no_whole_answer_or_a_5xx_that_the_gateway_made(history):
    found = closed(client(history), gateway(history), fleet(history))
    assert found.lost.tolist() == [fate in LOST for fate, _ in history]
    assert found.refused.tolist() == [fate == REFUSED for fate, _ in history]
    assert (found.repeated, found.uncalled, found.untold) == (0, 0, 0)


@given(histories(), st.data())
def test_a_request_that_the_gateway_got_twice_is_told_and_costs_no_other_count(history, data):
    lines = gateway(history)
    again = data.draw(st.sets(st.integers(0, len(lines) - 1))) if len(lines) else set()
    found = closed(client(history), np.concatenate([lines, lines[sorted(again)]]), fleet(history))
    assert found.repeated == len(again)
    assert found.lost.sum() == sum(fate in LOST for fate, _ in history)


@given(histories((ANSWERED, REFUSED)), st.integers(1, 5))
def test_what_replicas_counted_beyond_what_they_were_sent_is_told(history, beyond):
    found = closed(client(history), gateway(history), fleet(history, beyond))
    assert found.uncalled == 2 * beyond


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1:], "1 requests were answered, but are not in the gateway's log"),
        (lambda lines: np.append(lines, np.array([(99, 200, 0, True)], PASSED)), "were not planned"),
        (
            lambda lines: np.array([(0, 404, 0, True), *lines[1:].tolist()], PASSED),
            "1 requests have another status in the gateway's log",
        ),
    ],
)
def test_books_of_client_and_gateway_that_do_not_close_are_no_result(change, said):
    history = [(ANSWERED, 0)] * 5
    with pytest.raises(MeasurementError, match=said):
        closed(client(history), change(gateway(history)), fleet(history))


@given(histories((ANSWERED,)))
def test_a_replica_that_has_not_counted_what_it_answered_is_no_result(history):
    with pytest.raises(MeasurementError, match="are not in its own counts"):
        closed(client(history), gateway(history), fleet(history, -1))


@given(histories((ANSWERED,)), st.data())
def test_of_a_replica_that_ended_only_what_was_over_before_its_last_reading_must_be_counted(history, data):
    history = [(fate, 0) for fate, _ in history]
    read = data.draw(st.integers(0, len(history))) + 0.9
    # Sent at whole seconds, over at the halves: so many were over when it was read, and none was on its way.
    over = int(read)
    ended = book(replica(0, counted=over, told=0.5, until=99, read=read))
    assert closed(client(history), gateway(history), ended).uncalled == 0
    more = dataclasses.replace(ended.replicas[0], counted=over + 1)
    assert closed(client(history), gateway(history), book(more)).uncalled == 1
    if over:
        fewer = dataclasses.replace(ended.replicas[0], counted=over - 1)
        with pytest.raises(MeasurementError, match="its own counts"):
            closed(client(history), gateway(history), book(fewer))


def test_what_was_answered_just_before_a_reading_may_be_counted_after_it():
    history = [(ANSWERED, 0)]
    records = client(history)
    just_before = (int(records["done_ns"][0]) + COUNTING_NS // 2) / SECOND_NS
    assert closed(records, gateway(history), book(replica(0, counted=0, read=just_before))).uncalled == 0


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_place_that_two_replicas_had_in_turn_has_two_books(first, second):
    history = [(ANSWERED, 0)] * (first + second)
    between = first + 0.8
    earlier = replica(0, counted=first, told=0.9, until=between, read=between)
    later = replica(0, counted=second, since=between, read=99)
    found = closed(client(history), gateway(history), book(earlier, later))
    assert (found.uncalled, found.replicas) == (0, 2)


@given(histories(), st.floats(0.6, 30))
def test_of_a_kill_only_requests_under_way_at_that_replica_are_set_apart(history, at):
    dead = replica(0, told=at, until=at + 0.01, killed=True)
    found = closed(client(history), gateway(history), book(dead, replica(1), act="kill"))
    records = client(history)
    under_way = (records["sent_ns"] <= dead.until_ns) & (records["done_ns"] >= dead.told_ns)
    there = [fate[2] is not None and place == 0 for fate, place in history]
    # HAProxy closes a connection without a line where that to a replica breaks.
    unwritten = [fate[2] is None for fate, _ in history] & (records["done_ns"] <= dead.until_ns + COUNTING_NS)
    assert found.in_flight.tolist() == (under_way & (there | unwritten)).tolist()


def test_replicas_without_metrics_leave_two_books_and_the_note_says_so():
    history = [(ANSWERED, 0)]
    found = closed(client(history), gateway(history), book(replica(0), replica(1)))
    assert "2 of 2 replicas have no counts; the books of client and gateway agree" in found.text


def kept(folder, history, act="replace"):
    """Return the record of a phase whose books lie in a folder, as a run keeps them."""
    records = client(history)
    prefix = "0123456789abcdef"
    (folder / SAMPLES).write_bytes(SAMPLE_FILE.header() + records.tobytes())
    write_settings(LoadSettings("localhost", 1, id_prefix=prefix), folder / SETTINGS)
    lines = "".join(
        f"passed {request_id(prefix, 0, row['request'])} {row['status']} {'--' if row['answered'] else 'SC'} p{row['place']}\n"
        for row in gateway(history)
    )
    other = f"passed {request_id(prefix, 1, 0)} 200 -- p0\npassed - 200 -- p0\nServer replicas/p0 is UP\n"
    own = fleet(history)
    if act == "kill":
        own = dataclasses.replace(own, act=act, replicas=(replica(0, told=1.2, until=1.3, killed=True),))
    books.keep(own, (other + lines).encode(), folder)
    phase = Phase("rollout", Poisson(1.0), requests=len(history), meanwhile=act)
    return PhaseRecord(phase, records, folder=folder)


def estimate(name, record):
    return MEASURES[name].estimate(Window((record,)), Criterion(name, 0.0, ("rollout",)))


def test_the_measures_read_the_books_that_a_run_keeps(tmp_path):
    record = kept(tmp_path, [(ANSWERED, 0), (GATEWAYS_503, 1), (REFUSED, 1)])
    lost = estimate("lost", record)
    assert (lost.value, lost.n) == (1, 3)
    assert lost.note == (
        "to replace took 9 s; 1 of 3 refused by replicas; the books of client, gateway and 2 replicas agree"
    )
    assert estimate("duplicated", record).value == 0


def test_a_kill_has_its_own_count(tmp_path):
    record = kept(tmp_path, [(GATEWAYS_502, 0), (GATEWAYS_502, 0)], "kill")
    found = estimate("lost_elsewhere", record)
    assert found.value == 1
    assert found.note.startswith("1 lost of 1 in flight at what was killed; to kill took")


def test_a_phase_without_an_act_has_no_books(tmp_path):
    with pytest.raises(MeasurementError, match="has no books"):
        estimate("lost", PhaseRecord(Phase("rollout", Poisson(1.0), requests=1), client([(ANSWERED, 0)])))


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_an_id_says_which_request_of_a_phase_it_is(phase, request):
    prefix = "00aa00aa00aa00aa"
    told = request_id(prefix, phase, request)
    assert request_of(told, prefix, phase) == request
    assert request_of(told, prefix, phase + 1) is None
    assert request_of(told, "11aa00aa00aa00aa", phase) is None
    assert request_of(told[:-1], prefix, phase) is None


@pytest.mark.parametrize(
    "told",
    ["", "-", "00aa00aa00aa00aa", "00aa00aa00aa00aa000000000000000g", "00aa00aa00aa00aa0000000000000000"],
)
def test_what_is_no_id_of_ours_is_of_no_request(told):
    assert request_of(told, "00aa00aa00aa00aa", 0) is None
