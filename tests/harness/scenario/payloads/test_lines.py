"""One body per line: what a file's name says of its lines, and what is refused with the line's number."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.payloads.sources import built_in_payloads


def lines_of(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return built_in_payloads(f"lines:{file}")


def bodies(payloads):
    return [payload.body.decode() for payload in payloads]


@pytest.mark.parametrize("name", ["reqs.jsonl", "reqs.ndjson", "REQS.JSONL"])
def test_each_line_of_json_lines_is_a_body(tmp_path, name):
    made = lines_of(tmp_path, name, '\ufeff{"x": 1}\r\n\n  [2]\n"a\u2028b"')
    assert bodies(made) == ['{"x": 1}', "[2]", '"a\u2028b"']
    assert {payload.content_type for payload in made} == {"application/json"}
    assert [payload.name for payload in made] == [f"{name}:1", f"{name}:3", f"{name}:4"]


def test_each_line_of_any_other_file_is_a_text(tmp_path):
    made = lines_of(tmp_path, "words.txt", "one \r\n\n{x\nthree")
    assert bodies(made) == ["one ", "{x", "three"]
    assert {payload.content_type for payload in made} == {"text/plain; charset=utf-8"}


def test_each_row_of_csv_is_an_object_with_numbers_as_they_are_written(tmp_path):
    content = 'id,"the, name",x\r\n1,"a ""b""\nc",007\r\n\r\n-1.50e3,,12345678901234567890123\r\n'
    made = lines_of(tmp_path, "rows.csv", content)
    assert bodies(made) == [
        '{"id": 1, "the, name": "a \\"b\\"\\nc", "x": "007"}',
        '{"id": -1.50e3, "the, name": "", "x": 12345678901234567890123}',
    ]
    assert [payload.name for payload in made] == ["rows.csv:2", "rows.csv:5"]
    assert made[0].content_type == "application/json"


# A cell that is a number is one in JSON; any other is the text that it is.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5))
def test_every_cell_that_csv_can_hold_comes_back(tmp_path_factory, rows):
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(stream.getvalue().encode())
    made = [
        json.loads(body, parse_int=str, parse_float=str)
        for body in bodies(built_in_payloads(f"lines:{file}"))
    ]
    assert made == [{"a": a, "b": b} for a, b in rows]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"x": 1}\n\n{x}\n', "a.jsonl, line 3: expected JSON"),
        ("a.jsonl", "{}\nNaN", "line 2: expected JSON"),
        ("a.jsonl", "\n \n", "a.jsonl holds no line"),
        ("a.txt", "", "a.txt holds no line"),
        ("a.jsonl.gz", b"a\n\x1f\x8b\xff", "line 2: expected text in UTF-8"),
        ("a.csv", "x,y\n1,2\n3\n", "line 3: expected 2 cells, as the first row has, got 1"),
        ("a.csv", 'x,y\n"1\n2",2\n3,4,5\n', "line 4: expected 2 cells, as the first row has, got 3"),
        ("a.csv", "x,x\n1,2\n", "line 1: expected the names of the columns, each once"),
        ("a.csv", "x,\n1,2\n", "line 1: expected the names of the columns, each once"),
        ("a.csv", 'x\n"1" 2\n', "line 2: expected CSV"),
        ("a.csv", 'x\n1\n"2\n', "line 3: expected CSV"),
        ("a.csv", "x\n", "a.csv holds no line"),
    ],
)
def test_a_line_of_another_kind_is_refused_with_its_number(tmp_path, name, content, words):
    with pytest.raises(UsageError, match=words) as refused:
        lines_of(tmp_path, name, content)
    assert str(refused.value).startswith("payloads lines:PATH: ")


@pytest.mark.parametrize("name", ["gone.jsonl", "."])
def test_what_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="payloads lines:PATH: "):
        built_in_payloads(f"lines:{tmp_path / name}")
