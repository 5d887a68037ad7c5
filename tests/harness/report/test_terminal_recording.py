"""The recordings of a terminal in the documentation are what tailgate prints."""

import re

from terminal_recording import PICTURES, WIDTH, recordings


def test_the_recordings_are_what_is_printed_today():
    for name, text in recordings().items():
        kept = (PICTURES / name).read_text(encoding="utf-8")
        assert kept == text, f"{name} shows something else; terminal_recording.py says how to make it again"


def test_no_line_of_a_recording_is_cut_or_too_long():
    for name in ("terminal-gate.txt", "terminal-comparison.txt"):
        for line in (PICTURES / name).read_text(encoding="utf-8").splitlines():
            assert len(line) <= WIDTH or line.startswith(("reproduce ", "perf: ", "compare: FAIL")), line


def test_the_drawing_loads_nothing_from_elsewhere():
    drawn = (PICTURES / "terminal.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"')]+", drawn)) <= {"http://www.w3.org/2000/svg"}
    assert "@font-face" not in drawn
