"""When a new request would be done, by a table and by what must hold for any queue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.service.batching.forecast import MOST_SLOWDOWN, Decoding, Forecast, Outlook, Running


def batch_s(size):
    return 2.0 * size + 1.0


@pytest.mark.parametrize(
    ("waiting", "running", "likely_s", "latest_s", "drain_s"),
    [
        (0, None, 3.0, 9.0, 0.0),  # alone at a free executor
        (1, None, 5.0, 9.0, 3.0),
        (3, None, 9.0, 9.0, 7.0),  # the last of a full batch
        (4, None, 9.0 + 3.0, 9.0 + 9.0, 9.0),  # the first behind it
        (9, None, 2 * 9.0 + 5.0, 3 * 9.0, 2 * 9.0 + 3.0),
        (0, Running(4, 10.0), 9.0 + 9.0, 9.0 + 9.0, 9.0),  # it has just begun, and is full
        (0, Running(2, 10.0), 5.0 + 5.0, 5.0 + 9.0, 5.0),  # as large as that one
        (3, Running(2, 10.0), 5.0 + 9.0, 5.0 + 9.0, 5.0 + 7.0),  # or larger
        (0, Running(4, 5.0), 4.0 + 9.0, 4.0 + 9.0, 4.0),
        (0, Running(1, 5.0), 3.0, 9.0, 0.0),  # it should have ended already
        (0, Running(4, 5.0, behind=2), 4.0 + 5.0 + 9.0, 4.0 + 5.0 + 9.0, 4.0 + 5.0),
        (2, Running(1, 9.0), 2.0 + 7.0, 2.0 + 9.0, 2.0 + 5.0),
    ],
)
def test_a_request_is_done_after_those_before_it(waiting, running, likely_s, latest_s, drain_s):
    forecast = Forecast(batch_s, cap=4, doubt=0.0)
    assert forecast.outlook(waiting, running, 10.0) == Outlook(likely_s, latest_s)
    assert forecast.drain_s(waiting, running, 10.0) == drain_s


ITEM_S = 6.0


def forecast_of(item_s=ITEM_S, **options):
    forecast = Forecast(batch_s, cap=4, **{"doubt": 0.0} | options)
    if item_s is not None:
        forecast.learn_decoding(item_s)
    return forecast


@pytest.mark.parametrize(
    ("decoding", "waiting", "running", "likely_s", "latest_s", "drain_s"),
    [
        (Decoding(2), 0, None, 6.0 + 3.0, 6.0 + 9.0, 0.0),  # alone: its own decoding and batch
        (Decoding(2, running=1), 1, None, 6.0 + 3.0, 6.0 + 9.0, 3.0 + 3.0),  # a thread is free
        (Decoding(2, running=2), 2, None, 6.0 + 6.0 + 3.0, 6.0 + 6.0 + 9.0, 6.0 + 3.0),
        (Decoding(2, running=2, spent_s=8.0), 2, None, 2.0 + 6.0 + 3.0, 2.0 + 6.0 + 9.0, 2.0 + 3.0),
        (Decoding(2, running=2, spent_s=99.0), 2, None, 6.0 + 3.0, 6.0 + 9.0, 5.0),  # they should have ended
        (Decoding(2, 4, 2), 6, None, 18.0 + 6.0 + 3.0, 18.0 + 6.0 + 9.0, 18.0 + 3.0),
        # Behind a batch like the one that runs, which may begin just before its input is there.
        (
            Decoding(2, 4, 2),
            6,
            Running(2, 10.0),
            18.0 + 5.0 + 6.0 + 5.0,
            18.0 + 5.0 + 6.0 + 9.0,
            18.0 + 3.0,
        ),
        # Of two items in twelve threads nobody waits for decoding; the batches of 19 others take longer.
        (Decoding(12, running=2), 19, None, 4 * 9.0 + 9.0, 4 * 9.0 + 9.0, 4 * 9.0 + 7.0),
    ],
)
def test_a_request_that_is_decoded_is_done_after_the_slower_of_the_two_stages(
    decoding, waiting, running, likely_s, latest_s, drain_s
):
    forecast = forecast_of()
    assert forecast.outlook(waiting, running, 10.0, decoding) == Outlook(likely_s, latest_s)
    assert forecast.drain_s(waiting, running, 10.0, decoding) == drain_s


def test_before_anything_was_decoded_nothing_is_known_of_it_and_nobody_waits_for_it():
    forecast = forecast_of(None)
    assert forecast.decode_s is None
    assert forecast.outlook(8, None, 0.0, Decoding(2, 8, 2)) == forecast.outlook(8, None, 0.0)


def test_doubt_is_about_the_items_ahead_and_not_about_ones_own():
    forecast = forecast_of(doubt=0.5)
    assert forecast.outlook(2, None, 0.0, Decoding(1, 1, 1)).likely_s == 1.5 * 12.0 + 6.0 + 3.0


def test_decoding_is_learned_from_all_of_the_first_items_and_later_from_the_newest():
    forecast = forecast_of(None)
    seen = []
    for item_s in (1.0, 3.0, 5.0):
        forecast.learn_decoding(item_s)
        seen.append(forecast.decode_s)
    assert seen == pytest.approx([1.0, 2.0, 3.0])
    for _ in range(200):
        forecast.learn_decoding(0.5)
    assert forecast.decode_s == pytest.approx(0.5)
    forecast.learn_decoding(1e6)  # a single giant
    assert forecast.decode_s == pytest.approx(0.5 * (1 + (MOST_SLOWDOWN - 1) / 10))


def test_doubt_is_about_what_is_ahead_and_never_about_the_request_itself():
    forecast = Forecast(batch_s, cap=4, doubt=0.5)
    assert forecast.outlook(0, None, 10.0) == Outlook(3.0, 9.0)
    assert forecast.outlook(4, None, 10.0) == Outlook(1.5 * 9.0 + 3.0, 1.5 * 9.0 + 9.0)
    assert forecast.drain_s(4, None, 10.0) == 9.0


def test_batches_that_take_longer_than_at_warm_up_are_learned_from_and_forgotten():
    forecast = Forecast(batch_s, cap=4)
    for _ in range(100):
        forecast.learn(4, 3 * batch_s(4))
    assert forecast.outlook(0, None, 0.0).likely_s == pytest.approx(3 * batch_s(1), rel=1e-3)
    for _ in range(100):
        forecast.learn(2, batch_s(2))
    assert forecast.outlook(0, None, 0.0).likely_s == pytest.approx(batch_s(1), rel=1e-3)


def test_a_batch_that_stalls_counts_for_a_bounded_time():
    forecast = Forecast(batch_s, cap=4)
    forecast.learn(1, 1e6)
    assert forecast.slowdown == pytest.approx(1 + (MOST_SLOWDOWN - 1) / 10)


@given(
    st.integers(0, 50),
    st.integers(1, 8),
    st.none() | st.builds(Running, st.integers(1, 8), st.floats(0, 100)),
)
def test_nobody_is_done_before_those_who_came_first(waiting, cap, running):
    forecast = Forecast(batch_s, cap)
    outlook = forecast.outlook(waiting, running, 100.0)
    assert forecast.drain_s(waiting, running, 100.0) < outlook.likely_s <= outlook.latest_s
    assert outlook.likely_s <= forecast.outlook(waiting + 1, running, 100.0).likely_s


@given(
    st.integers(0, 50),
    st.builds(Decoding, st.integers(1, 8), st.integers(0, 50), st.integers(0, 8), st.floats(0, 100)),
    st.none() | st.builds(Running, st.integers(1, 4), st.floats(0, 100)),
    st.floats(0, 10),
)
def test_nobody_is_decoded_and_done_before_those_who_came_first(waiting, decoding, running, item_s):
    forecast = forecast_of(item_s, doubt=0.15)

    def outlook(more):
        behind = Decoding(decoding.threads, decoding.waiting + more, decoding.running, decoding.spent_s)
        return forecast.outlook(waiting + decoding.waiting + more, running, 100.0, behind)

    now = outlook(0)
    assert now.likely_s <= now.latest_s
    assert now.likely_s <= outlook(1).likely_s + 1e-9
    assert now.likely_s >= item_s
    assert now.likely_s >= forecast.outlook(waiting, running, 100.0).likely_s - 1e-9
