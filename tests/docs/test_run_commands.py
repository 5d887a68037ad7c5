"""The commands that pages show run, as they are printed, in scratch folders; those that no test runs have a reason."""

from collections import Counter

import pytest
from rooms import ROOMS
from shown import PAGES, ROOT, bare, commands
from ways import WAYS, By, Not, Run, way_of

COMMANDS = list(dict.fromkeys(bare(command.text) for page in PAGES for command in commands(page)))
FOUND = {text: way_of(text) for text in COMMANDS}
REASONS = Counter(way.reason for way in FOUND.values() if isinstance(way, Not))
PLACES = {id(way): place for place, (_, way) in enumerate(WAYS)}


@pytest.mark.parametrize("name", ROOMS)
def test_the_commands_of_a_room_run_as_they_are_printed(name, tmp_path, subtests):
    mine = [(text, way) for text, way in FOUND.items() if isinstance(way, Run) and way.room == name]
    with ROOMS[name](tmp_path) as room:
        for text, way in sorted(mine, key=lambda pair: PLACES[id(pair[1])]):
            with subtests.test(text):
                room.check(text, way)


@pytest.mark.parametrize("reason", REASONS)
def test_a_command_that_no_test_runs_has_a_reason(reason):
    pytest.skip(f"{REASONS[reason]} of {len(COMMANDS)} commands are not run: {reason}")


def test_every_command_has_a_way_to_be_shown_and_no_way_is_left_over():
    assert [text for text, way in FOUND.items() if way is None] == []
    used = {id(way) for way in FOUND.values()}
    assert [pattern for pattern, way in WAYS if not isinstance(way, Not) and id(way) not in used] == []


def test_the_tests_that_run_the_others_are_there():
    assert [way.test for _, way in WAYS if isinstance(way, By) and not (ROOT / way.test).is_file()] == []
