"""The replay of recordings: that order and names stay as they were, and what may be replayed at all."""

import dataclasses

import numpy as np
import pytest
from comparison_rows import arm, row, rows

from benchmarks.gate import recording
from benchmarks.gate.rows import swapped
from benchmarks.gate.simulation.disturbances import (
    DISTURBANCES,
    NOTHING,
    Disturbance,
    block_levels,
    drawn_order,
)
from benchmarks.gate.simulation.effects import GATES
from benchmarks.gate.simulation.replay import (
    apart,
    complete,
    disturb,
    drawn,
    in_turn,
    named_anew,
    places,
    recordings,
    replay,
)
from benchmarks.gate.simulation.tally import Tally, markdown, worst
from tailgate.harness.compare.blocks.row import append_rows, read_rows
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.errors import UsageError
from tailgate.harness.results.verdict import Verdict

DESIGN = plan_design(GATES)
ENOUGH = complete(DESIGN)
ORDER = "bhhb hbbh"


def recorded(count, run="a", **changes):
    return rows(count, run=run, order=ORDER, **changes)


# What may be replayed


def test_a_recording_shorter_than_one_run_is_refused_even_beside_longer_ones():
    with pytest.raises(UsageError, match=r"1 of 2 recordings are shorter than one run .*'b' has 12 blocks"):
        recordings([*recorded(40), *recorded(12, run="b")], ENOUGH, "36 good blocks")
    with pytest.raises(UsageError, match="there are no blocks"):
        recordings([], ENOUGH, "36 good blocks")


def test_void_blocks_do_not_count_towards_a_run_until_they_end_it():
    good, void = row(), row(void="steal")
    assert not ENOUGH([good] * 35 + [void] * 12)
    assert ENOUGH([good] * 36 + [void] * 12)
    assert ENOUGH([void] * 13)


# Order and names


def test_windows_are_neighbours_of_one_session_and_never_cross_into_another():
    runs = [recorded(50), recorded(40, run="b", seed=1)]
    found = places(runs, 48, ENOUGH)
    for window in found:
        assert len({one.run for one in window}) == 1
        assert [one.index for one in window] == list(range(window[0].index, window[0].index + len(window)))
    # Every block at which a whole run can begin, and none later.
    assert [(window[0].run, window[0].index) for window in found] == [
        *(("a", start) for start in range(15)),
        *(("b", start) for start in range(5)),
    ]


def test_one_coin_names_the_arms_of_a_whole_window():
    window = recorded(40)
    seen = list(drawn([window], 200, np.random.default_rng(0)))
    anew = [swapped(one) for one in window]
    assert all(list(one) in (window, anew) for one in seen)
    assert 60 < sum(list(one) == anew for one in seen) < 140


def test_windows_apart_share_no_block():
    found = apart([recorded(100), recorded(40, run="b")], ENOUGH)
    assert [(window[0].run, window[0].index, len(window)) for window in found] == [
        ("a", 0, 36),
        ("a", 36, 36),
        ("b", 0, 36),
    ]


def test_comparisons_one_after_another_begin_where_the_one_before_ended():
    sessions = {"a": recorded(100), "b": recorded(60, run="b", seed=1)}
    found = in_turn(list(sessions.values()), DESIGN, GATES)
    assert len({len(window) for window in found}) > 1
    for run, session in sessions.items():
        mine = [window for window in found if window[0].run == run]
        begun = np.cumsum([0, *map(len, mine)])
        assert [window[0].index for window in mine] == list(begun[:-1])
        # None begins where fewer are left than a run may take, and none that could is missing.
        assert all(len(session) - start >= DESIGN.blocks for start in begun[:-1])
        assert len(session) - begun[-1] < DESIGN.blocks
        for window in mine:
            decision = judge(session[window[0].index :], DESIGN, GATES)
            assert (decision.blocks, decision.verdict) == (len(window), Verdict.PASS)


def test_a_comparison_that_void_blocks_end_takes_its_blocks_with_it():
    void = [dataclasses.replace(one, void="steal") for one in recorded(DESIGN.max_void_blocks + 1)]
    found = in_turn([[*void, *recorded(40)]], DESIGN, GATES)
    assert [len(window) for window in found] == [DESIGN.max_void_blocks + 1, DESIGN.looks[0].blocks]
    assert judge(found[0], DESIGN, GATES).verdict is Verdict.INVALID


# What a coin a block would have hidden


def tallies(shown, **options):
    return {tally.name: tally for part in replay(shown, DESIGN, **options).values() for tally in part}


def test_an_arm_that_is_favoured_throughout_is_seen_as_it_was_recorded():
    found = tallies(recorded(80, worse=1.1), runs=2, effects={})
    assert found["one after another, as recorded"].share(Verdict.FAIL)[0] == 1
    assert found["every place, as recorded"].share(Verdict.FAIL)[0] == 1
    # Every window once against either arm: half of them FAIL, whoever is favoured.
    assert found["every place, either naming"].share(Verdict.FAIL)[0] == 0.5


def test_neighbours_that_are_alike_break_the_level_and_the_replay_shows_it():
    # The favoured arm changes every 40 blocks: each block by itself is fair, and no run is.
    shown = [
        one if index // 40 % 2 else swapped(one)
        for index, one in enumerate(recorded(320, worse=1.08, sigma=0.5))
    ]
    found = tallies(shown, runs=2, effects={})
    assert found["every place, either naming"].share(Verdict.FAIL)[0] > 0.2


def test_replay_finds_no_change_where_there_is_none_and_what_was_planted():
    found = tallies(recorded(90), runs=10)
    assert found["every place, as recorded"].share(Verdict.FAIL)[1] <= DESIGN.alpha
    assert found["all +10 %"].share(Verdict.FAIL)[0] == 1
    assert set(DISTURBANCES) <= set(found)
    assert sum(found["steal"].verdicts.values()) == 10


# Disturbances


def test_nothing_disturbs_nothing():
    window = recorded(3)
    assert disturb(window, NOTHING, np.random.default_rng(0)) == window


def test_a_start_moves_all_lenses_of_one_arm_in_one_block():
    random = np.random.default_rng(0)
    levels = block_levels(Disturbance(start=0.03), [ORDER] * 2000, random)
    assert np.ptp(levels, axis=2).max() == pytest.approx(0, abs=1e-12)
    assert np.std(levels[:, 0, 0]) == pytest.approx(0.03, rel=0.1)
    assert abs(np.corrcoef(levels[:, 0, 0], levels[:, 1, 0])[0, 1]) < 0.1


def test_drift_goes_on_through_all_blocks_and_mostly_cancels_between_the_arms():
    levels = block_levels(Disturbance(drift=0.02), [ORDER] * 400, np.random.default_rng(0))[..., 0]
    both, ratio = levels.mean(axis=1), levels[:, 1] - levels[:, 0]
    assert np.std(ratio) < 0.02 < 0.2 < np.std(both)


def test_a_burst_hits_the_arm_whose_window_it_was_and_the_tail_most():
    levels = block_levels(Disturbance(burst_share=0.05), [ORDER] * 400, np.random.default_rng(0))
    alone = (levels[:, 0, 0] > 0) & (levels[:, 1, 0] == 0)
    assert alone.any()
    assert (np.diff(levels[alone, 0]) > 0).all()


def test_stolen_time_reaches_the_arms_by_the_turns_they_had():
    for window in (recorded(40), named_anew(recorded(40))):
        plain = disturb(window, NOTHING, np.random.default_rng(3))
        shown = disturb(window, Disturbance(steal_share=0.1), np.random.default_rng(3))
        grown = [(two.base.p50_s / one.base.p50_s) for one, two in zip(plain, shown, strict=True)]
        assert max(grown) > 1.1
        assert all(two.base.requests == one.base.requests for one, two in zip(plain, shown, strict=True))
    mirrored = disturb(named_anew(window), Disturbance(steal_share=0.1), np.random.default_rng(3))
    # The same coins in time, other names: the ratio of what is added is turned round.
    added = [two.base.p50_s / one.base.p50_s for one, two in zip(window, shown, strict=True)]
    assert [
        two.head.p50_s / one.base.p50_s for one, two in zip(window, mirrored, strict=True)
    ] == pytest.approx(added)


def test_what_was_not_seen_stays_so():
    window = [row(base=arm(p99_s=None), order=ORDER)]
    assert disturb(window, Disturbance(start=0.1), np.random.default_rng(0))[0].base.p99_s is None


def test_a_block_of_one_arm_cannot_be_disturbed():
    with pytest.raises(UsageError, match="no order"):
        block_levels(NOTHING, ["bb hb"], np.random.default_rng(0))


def test_drawn_turns_have_as_many_windows_of_each_arm():
    pairs = drawn_order(2, 5, np.random.default_rng(0)).split()
    assert [(pair.count("b"), pair.count("h")) for pair in pairs] == [(5, 5), (5, 5)]


# Bounds


def test_comparisons_that_share_blocks_are_bounded_as_those_that_share_none():
    overlapping = Tally("x", independent=5)
    overlapping.verdicts.update({Verdict.PASS: 190, Verdict.FAIL: 10})
    share, low, high = overlapping.share(Verdict.FAIL)
    alone = Tally("y")
    alone.verdicts.update({Verdict.PASS: 4, Verdict.FAIL: 1})
    assert share == 0.05
    assert (low, high) == (0.0, alone.share(Verdict.FAIL)[2])
    assert "worst: x" in worst([overlapping.document()])
    assert markdown([overlapping.document()]).count("\n") == 2


# Recording


def written(folder, shown):
    path = folder / recording.ROWS
    path.unlink(missing_ok=True)
    append_rows(path, shown)
    return path


def test_sessions_are_appended_under_their_labels(tmp_path):
    into = tmp_path / "recording.jsonl"
    for label in ("morning", "evening"):
        assert recording.append(written(tmp_path, recorded(40, run=f"id of {label}")), label, into) == 40
    kept = read_rows(into)
    assert [(one.run, one.index) for one in kept] == [
        (label, index) for label in ("morning", "evening") for index in range(40)
    ]
    assert kept[0].base.p95_s == pytest.approx(recorded(1)[0].base.p95_s, rel=1e-5)
    assert len(recordings(kept, ENOUGH, "36")) == 2


def test_a_session_that_is_short_mixed_or_there_already_is_refused(tmp_path):
    into = tmp_path / "recording.jsonl"
    with pytest.raises(UsageError, match="has 20 blocks, and the replay needs 36 good ones in a row"):
        recording.append(written(tmp_path, recorded(20)), "a", into)
    mixed = [*recorded(40), *(dataclasses.replace(one, run="other") for one in recorded(2))]
    with pytest.raises(UsageError, match="several runs"):
        recording.append(written(tmp_path, mixed), "a", into)
    recording.append(written(tmp_path, recorded(40)), "a", into)
    with pytest.raises(UsageError, match="already"):
        recording.append(written(tmp_path, recorded(40)), "a", into)
