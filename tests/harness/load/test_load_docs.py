"""The page on load generation says of the record what the code does."""

import re
from pathlib import Path

from tailgate.harness.load import Scheduling, TimerMode
from tailgate.harness.load.records.events import EVENT
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, Outcome
from tailgate.harness.load.wire.stream import LINES, UNKNOWN_LAG, stream_of
from tailgate.harness.scenario import behaviour
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.verdict import faults

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "load-generation.md").read_text(encoding="utf-8")


def rows(header):
    """Return the cells of the table that starts with this line, marks taken off."""
    table = PAGE.split(f"{header}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]
    return [[cell.strip().strip("`").replace("\\|", "|") for cell in row] for row in cells]


def test_the_record_s_table_is_the_record():
    told = [
        (name, kind, int(offset)) for name, kind, offset, _ in rows("| field | type | offset | meaning |")
    ]
    assert told == [(name, SAMPLE[name].str, SAMPLE.fields[name][1]) for name in SAMPLE.names]
    assert f"one record of {SAMPLE.itemsize} bytes" in PAGE
    assert f"a header of {len(SAMPLE_FILE.header())} bytes" in PAGE


def test_the_table_of_an_event_is_its_record():
    told = [
        (name, kind, int(offset))
        for name, kind, offset, _ in rows("| event field | type | offset | meaning |")
    ]
    assert told == [(name, EVENT[name].str, EVENT.fields[name][1]) for name in EVENT.names]
    assert str(UNKNOWN_LAG) in PAGE


def test_the_types_of_streams_are_those_that_are_seen_as_such():
    told = [
        cell
        for row in rows("| the answer | an event is |")
        for cell in re.findall(r"[a-z]+/[-+.a-z]+", row[0])
    ]
    assert len(told) > 3
    assert all(stream_of(name.encode(), chunked=True) is not None for name in told)
    assert {name.encode() for name in told} > LINES


def test_every_outcome_is_told_by_its_value():
    told = [(int(value), name) for value, name, _ in rows("| value | outcome | meaning |")]
    assert told == [(outcome.value, outcome.name) for outcome in Outcome]


def test_every_timer_and_scheduling_is_told():
    assert [row[0] for row in rows("| timer | how it waits | for |")] == [mode.value for mode in TimerMode]
    assert f"SCHED_{Scheduling.FIFO.name}" in PAGE


def test_the_rules_are_those_of_the_checks():
    rules = dict(rows("| fault | rule |"))
    assert f"above {faults.LAG_SHARE:.0%}".replace("%", " %") in rules["generator late"]
    assert f"{faults.LAG_FLOOR_S * 1e3:g} ms" in rules["generator late"]
    reading = rules["generator reading late"]
    assert f"above {faults.LAG_SHARE:.0%}".replace("%", " %") in reading
    assert f"{faults.READING_FLOOR_S * 1e6:g} µs" in reading
    assert f"{faults.BUSY_SHARE:.0%}".replace("%", " %") in rules["generator the bottleneck"]
    assert f"{faults.yardstick.TOLERANCE:.0%}".replace("%", " %") in rules["machine changed"]


def test_every_behaviour_is_told_by_its_value_and_its_right_answer():
    told = [
        (int(value), name, due)
        for value, name, _, due in rows("| value | behaviour | the client | right answer |")
    ]
    due = {one: behaviour.DUE[one].value if one in behaviour.DUE else "none" for one in Behaviour}
    assert told == [(one.value, one.name, due[one]) for one in Behaviour]
    assert f"within {behaviour.LEAVES_WITHIN_S * 1e3:g} ms" in PAGE
    assert f"in {behaviour.DRIPS_PIECES} pieces, {behaviour.DRIPS_PAUSE_S * 1e3:g} ms apart" in PAGE
