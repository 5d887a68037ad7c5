import pytest

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.trace import Trace, read_trace


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", "time_s,payload\n0.0,cat\n0.25,dog\n", Trace((0.0, 0.25), ("cat", "dog"))),
        ("t.csv", "time_s\n0\n1e-3\n", Trace((0.0, 0.001))),
        ("t.jsonl", '{"time_s": 0, "payload": "cat"}\n', Trace((0.0,), ("cat",))),
        ("t.jsonl", '{"time_s": 0}\n{"time_s": 2.5}\n', Trace((0.0, 2.5))),
    ],
)
def test_a_trace_is_read_from_either_format(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert read_trace(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "when\n1\n", "line 2: expected time_s as a number"),
        ("t.csv", "time_s\nsoon\n", "line 2: expected time_s as a number"),
        ("t.jsonl", "[1]\n", "line 1: expected time_s as a number"),
        ("t.jsonl", '{"time_s": 0}\n{', "line 2: "),
        ("t.csv", "time_s,payload\n0,cat\n1,\n", "line 3: payload must be given in every line or in none"),
        ("t.csv", "time_s,payload\n0,\n1,cat\n", "line 3: payload must be given in every line or in none"),
        ("t.txt", "", r"the name must end in \.csv or \.jsonl"),
    ],
)
def test_what_is_no_trace_is_refused_by_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_trace(tmp_path / name)


def test_a_missing_trace_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.csv.*No such file"):
        read_trace(tmp_path / "nowhere.csv")
