"""What the clients do that do not simply wait, over real sockets: what reaches the server, and what is recorded."""

import time

import numpy as np
import pytest
from scripted_server import OK, ScriptedServer, status
from sent_phases import send

from tailgate.harness.errors import UsageError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.sending.disturber import pieces_of
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant
from tailgate.harness.scenario.behaviour import LEAVES_WITHIN_S, Behaviour, Disturbers, patience_s
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import DEADLINE_HEADER, draw_plan, read_plan, write_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

BODY = bytes(range(200))
REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 200\r\n\r\n" + BODY


def phase(behaviour, share=0.5, requests=40):
    return Phase("only", Constant(400.0), requests=requests, disturbers=(Disturbers(behaviour, share),))


def payload(path="/a"):
    return Payload("a", BODY, "text/plain", path=path)


def theirs(samples):
    return samples[samples["behaviour"] != Behaviour.WAITS]


@pytest.mark.parametrize(
    ("behaviour", "pieces"),
    [
        (Behaviour.LEAVES, [REQUEST]),
        (Behaviour.CORRUPT, [REQUEST]),  # its body is cut short in the plan
        (Behaviour.BREAKS_OFF, [REQUEST[:-100]]),
        (Behaviour.DRIPS, [REQUEST[:-200], *(BODY[at : at + 40] for at in range(0, 200, 40))]),
    ],
)
def test_a_client_sends_in_these_pieces(behaviour, pieces):
    assert pieces_of(REQUEST, behaviour) == pieces


def test_a_request_without_a_body_drips_as_one_piece():
    head = b"GET / HTTP/1.1\r\n\r\n"
    assert pieces_of(head, Behaviour.DRIPS) == [head]


def test_clients_leave_at_times_that_are_spread_over_all_that_they_may_take():
    times_s = np.sort([patience_s(request) for request in range(1_000)])
    assert 0 <= times_s[0] < times_s[-1] < LEAVES_WITHIN_S
    assert np.diff(times_s).max() < 3 * LEAVES_WITHIN_S / 1_000


def test_a_client_that_leaves_has_sent_all_and_gets_nothing(tmp_path):
    with ScriptedServer({"/a": ["hang"]}) as server:
        reports, samples = send(tmp_path, server.port, [phase(Behaviour.LEAVES, 0.999)], [payload()])
    gone = theirs(samples)
    assert len(gone) == len(samples) == 40
    assert set(gone["outcome"]) == {Outcome.LEFT}
    assert set(gone["status"]) == {0}
    assert (gone["sent_ns"] > 0).all()
    assert len(server.requests) == 40
    assert all(body == BODY for _, _, body in server.requests)
    assert reports[0].outcomes[Outcome.LEFT] == 40


def test_a_client_that_is_answered_before_it_leaves_was_answered(tmp_path, monkeypatch):
    monkeypatch.setattr("tailgate.harness.load.sending.disturber.patience_s", lambda _: 600.0)
    with ScriptedServer({"/a": [OK]}) as server:
        _, samples = send(tmp_path, server.port, [phase(Behaviour.LEAVES)], [payload()])
    assert set(theirs(samples)["outcome"]) == {Outcome.OK}


def test_a_client_that_breaks_off_has_sent_half_of_its_body(tmp_path):
    with ScriptedServer({"/a": [OK]}) as server:
        _, samples = send(tmp_path, server.port, [phase(Behaviour.BREAKS_OFF)], [payload()])
        deadline_s = time.monotonic() + 60
        # It reads what came after its client has gone.
        while len(server.requests) < 40 and time.monotonic() < deadline_s:
            time.sleep(0.01)
    bodies = sorted(len(body) for _, _, body in server.requests)
    broken = int((samples["behaviour"] == Behaviour.BREAKS_OFF).sum())
    assert bodies == [100] * broken + [200] * (40 - broken)
    assert 5 < broken < 35


def test_a_corrupt_body_is_half_of_it_with_a_length_that_fits(tmp_path):
    with ScriptedServer({"/a": [status(422)]}) as server:
        _, samples = send(tmp_path, server.port, [phase(Behaviour.CORRUPT)], [payload()])
    assert {(len(body), body == BODY[: len(body)]) for _, _, body in server.requests} == {
        (100, True),
        (200, True),
    }
    assert set(theirs(samples)["outcome"]) == {Outcome.CLIENT_ERROR}
    assert set(theirs(samples)["status"]) == {422}


def test_a_body_that_drips_arrives_whole_and_late(tmp_path):
    with ScriptedServer({"/a": [OK]}) as server:
        _, samples = send(tmp_path, server.port, [phase(Behaviour.DRIPS, 0.2, 20)], [payload()])
    assert all(body == BODY for _, _, body in server.requests)
    slow = theirs(samples)
    assert set(slow["outcome"]) == {Outcome.OK}
    # Five pauses, and a timer is never early.
    assert ((slow["done_ns"] - slow["sent_ns"]) >= 0.5e9).all()


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (["reset"], Outcome.RESET),
        (["close"], Outcome.RESET),
        ([b"nonsense\r\n\r\n"], Outcome.MALFORMED),
        ([status(503, "retry-after: 7")], Outcome.SHED),
        (["hang"], Outcome.TIMEOUT),
    ],
)
def test_what_a_server_does_to_a_disturber_is_recorded(tmp_path, script, outcome):
    with ScriptedServer({"/a": script}) as server:
        _, samples = send(
            tmp_path,
            server.port,
            [phase(Behaviour.CORRUPT, 0.9, 10)],
            [payload()],
            timeout_s=0.5 if outcome is Outcome.TIMEOUT else 600.0,
        )
    assert set(theirs(samples)["outcome"]) == {outcome}
    if outcome is Outcome.SHED:
        assert set(samples["retry_after_s"]) == {7.0}


def test_behaviours_are_drawn_from_the_seed_and_survive_the_disk(tmp_path):
    mixed = Phase(
        "mixed",
        Constant(10.0),
        requests=4_000,
        disturbers=(Disturbers(Behaviour.LEAVES, 0.1), Disturbers(Behaviour.DRIPS, 0.02)),
    )
    plain = Phase("mixed", Constant(10.0), requests=4_000)
    with_them, without = (draw_plan(Scenario("s", "d", (one,), ()), [payload()], 5) for one in (mixed, plain))
    counts = np.bincount(with_them.phases[0].behaviours, minlength=5)
    assert counts.tolist() == [pytest.approx(3_520, abs=100), pytest.approx(400, abs=80), 0, 0, counts[4]]
    assert without.phases[0].behaviours is None
    write_plan(with_them, tmp_path)
    assert read_plan(tmp_path).phases[0].behaviours.tolist() == with_them.phases[0].behaviours.tolist()


def test_a_deadline_goes_with_the_requests_of_its_phase_only():
    phases = (
        Phase("free", Constant(10.0), requests=3),
        Phase("bound", Constant(10.0), requests=3, deadline_s=0.25),
    )
    plan = draw_plan(Scenario("s", "d", phases, ()), [payload()], 1)
    free, bound = ({plan.payloads[index] for index in one.payloads} for one in plan.phases)
    assert [one.headers for one in free] == [()]
    assert [one.headers for one in bound] == [((DEADLINE_HEADER, "250.000"),)]


@pytest.mark.parametrize(
    ("behaviour", "share"), [(Behaviour.WAITS, 0.1), (Behaviour.DRIPS, 0.0), (Behaviour.DRIPS, 1.0)]
)
def test_what_is_no_disturbance_is_refused(behaviour, share):
    with pytest.raises(UsageError, match="disturbers: expected a behaviour other than WAITS"):
        Disturbers(behaviour, share)


def test_disturbers_need_clients_that_wait_and_an_open_loop():
    half = Disturbers(Behaviour.DRIPS, 0.5)
    with pytest.raises(UsageError, match="must leave clients that wait"):
        Phase("p", Constant(1.0), requests=1, disturbers=(half, half))
    with pytest.raises(UsageError, match="need an open loop"):
        Phase("p", ClosedLoop(1), requests=1, disturbers=(half,))
