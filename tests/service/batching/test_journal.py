"""Which requests are logged, and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailgate.service.batching.requests.journal import PERIOD_S, Journal
from tailgate.service.errors import FAILED, Outcome

LOGGED = [Outcome.FULL, Outcome.LATE, Outcome.UNAVAILABLE, Outcome.EXPIRED, Outcome.ERROR]


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.now_s, self.timers = 0.0, []

    def later(self, delay_s, function):
        self.timers.append((self.now_s + delay_s, function))

    def wait(self, seconds):
        end_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer[0] <= end_s]:
            self.timers.remove(first := min(due, key=lambda timer: timer[0]))
            self.now_s = first[0]
            first[1]()
        self.now_s = end_s


def note(journal, outcome=Outcome.FULL, total_s=0.1, name="a", fault=None):
    journal.note(outcome, total_s, lambda: {"request_id": name}, fault)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_fails_or_is_refused_is_logged_and_a_mistake_of_the_client_is_not(outcome):
    with capture_logs() as lines:
        note(Journal(None, Clock().later), outcome)
    assert [line["outcome"] for line in lines] == ([outcome] if outcome in LOGGED else [])


@pytest.mark.parametrize(("slow_ms", "logged"), [(None, 0), (100.1, 0), (100, 1), (0, 1)])
@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.BAD_INPUT])
def test_a_request_is_slow_from_the_limit_on(slow_ms, logged, outcome):
    with capture_logs() as lines:
        note(Journal(slow_ms, Clock().later), outcome, 0.1)
    assert [(line["event"], line["total_ms"]) for line in lines] == [("a request was slow", 100.0)] * logged


def test_of_many_in_a_second_the_first_and_then_the_longest_are_logged():
    clock = Clock()
    journal = Journal(None, clock.later)
    with capture_logs() as lines:
        for name, total_s in (("first", 0.5), ("b", 0.1), ("longest", 0.3), ("d", 0.2)):
            note(journal, total_s=total_s, name=name)
        assert [line["request_id"] for line in lines] == ["first"]
        clock.wait(PERIOD_S)
    assert [(line["request_id"], line.get("others")) for line in lines] == [("first", None), ("longest", 2)]


def test_kinds_do_not_silence_each_other():
    journal = Journal(0, Clock().later)
    with capture_logs() as lines:
        for _ in range(2):
            note(journal, Outcome.OK)
            for outcome in LOGGED:
                note(journal, outcome)
            note(journal, Outcome.ERROR, fault=ValueError())
            note(journal, Outcome.ERROR, fault=KeyError())
    assert len(lines) == 1 + len(LOGGED) + 2
    assert {line["log_level"] for line in lines if line["event"] == FAILED} == {"error"}


def test_what_waits_for_the_end_of_its_second_is_logged_when_the_service_stops():
    journal = Journal(None, Clock().later)
    with capture_logs() as lines:
        for name in ("first", "second"):
            note(journal, name=name)
        journal.flush()
        journal.flush()
    assert [line["request_id"] for line in lines] == ["first", "second"]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_request_that_is_drawn_has_a_line_whatever_became_of_it(outcome):
    with capture_logs() as lines:
        Journal(None, Clock().later, 1.0).note(outcome, 0.1, lambda: {"request_id": "a"}, drawn=True)
    assert {"event": "a request ended", "outcome": outcome, "request_id": "a"}.items() <= lines[0].items()
    assert (lines[0]["log_level"], len(lines)) == ("info", 1 + (outcome in LOGGED))


@pytest.mark.parametrize("fault", [None, ValueError("x")])
def test_only_the_line_of_a_fault_has_its_traceback(fault):
    with capture_logs() as lines:
        Journal(None, Clock().later).note(Outcome.ERROR, 0.1, dict, fault, drawn=True)
    assert [line.get("exc_info") for line in lines] == [None, fault]


@given(st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_a_share_of_all_requests_is_drawn(share, number):
    assert Journal(None, share=share, draw=lambda: number).draws() == (number < share)


@given(st.lists(st.tuples(st.floats(0, 0.7), st.floats(0, 9), st.sampled_from([Outcome.FULL, Outcome.OK]))))
def test_each_kind_has_a_line_per_second_at_most_counts_all_and_never_misses_the_longest(steps):
    clock = Clock()
    journal = Journal(0, clock.later)
    with capture_logs() as lines:
        for pause_s, total_s, outcome in steps:
            clock.wait(pause_s)
            note(journal, outcome, total_s)
        clock.wait(3 * PERIOD_S)
    for outcome in (Outcome.FULL, Outcome.OK):
        noted = [total_s for _, total_s, each in steps if each is outcome]
        mine = [line for line in lines if line["outcome"] == outcome]
        assert sum(1 + line.get("others", 0) for line in mine) == len(noted)
        assert len(mine) <= clock.now_s / PERIOD_S + 1
        if noted:
            assert max(line["total_ms"] for line in mine) == round(max(noted) * 1e3, 3)
    assert not clock.timers
