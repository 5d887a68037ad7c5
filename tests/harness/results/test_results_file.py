"""The JSON file: a round trip, a schema that fits the dataclasses, and files that are refused."""

import dataclasses
import io
import math

import msgspec
import numpy as np
import orjson
import pytest
from compared_results import compared, with_stages
from comparison_rows import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rich.console import Console

from tailgate.harness.errors import MeasurementError
from tailgate.harness.report import junit, markdown, terminal
from tailgate.harness.results.file import contradiction, read, schema, to_json, write
from tailgate.harness.results.run import RunResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.outcome import explain
from tailgate.harness.testing import criterion_result, run_result


def test_a_result_is_the_same_after_writing_and_reading(tmp_path):
    path = tmp_path / "new" / "results.json"
    result = run_result()
    write(result, path)
    assert read(path) == result
    assert [found.name for found in path.parent.iterdir()] == ["results.json"]


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    value=st.none() | finite,
    limit=finite,
    verdict=st.sampled_from(Verdict),
    facts=st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | finite | st.integers(0, 2**53)),
    seed=st.integers(0, 2**63),
)
def test_any_valid_result_survives_the_round_trip(value, limit, verdict, facts, seed):
    result = run_result(
        [criterion_result(value=value, limit=limit, verdict=verdict, margin=None)], machine=facts
    )
    result = dataclasses.replace(
        result, scenarios=tuple(dataclasses.replace(one, seed=seed) for one in result.scenarios)
    )
    document = orjson.loads(orjson.dumps(to_json(result)))
    # An interval 10 % wide may overflow, which to_json says as None.
    low, high = (document["scenarios"][0]["criteria"][0][end] for end in ("low", "high"))
    criterion = dataclasses.replace(result.scenarios[0].criteria[0], low=low, high=high)
    result = dataclasses.replace(
        result, scenarios=(dataclasses.replace(result.scenarios[0], criteria=(criterion,)),)
    )
    assert msgspec.convert(document, RunResult) == result


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, np.float64("inf")])
def test_what_is_not_finite_is_null_in_the_file(number, tmp_path):
    write(run_result([criterion_result(high=number)]), tmp_path / "results.json")
    assert read(tmp_path / "results.json").scenarios[0].criteria[0].high is None


def test_an_argument_that_is_no_utf_8_can_be_written(tmp_path):
    write(run_result(command="pytest \udcff", machine={"\udcfe": "x"}), tmp_path / "results.json")
    back = read(tmp_path / "results.json")
    assert (back.command, dict(back.machine)) == ("pytest \\udcff", {"\\udcfe": "x"})


def test_numbers_of_numpy_are_numbers(tmp_path):
    write(run_result([criterion_result(value=np.float64(0.25))]), tmp_path / "results.json")
    assert read(tmp_path / "results.json").scenarios[0].criteria[0].value == 0.25


def test_a_number_that_must_be_there_and_is_not_is_refused_by_its_path(tmp_path):
    result = run_result([criterion_result(fail_confidence=math.nan)])
    with pytest.raises(
        MeasurementError,
        match=r"the result of this run: Expected `float`, got `null` - at `\$\.scenarios.*\.fail_confidence`",
    ):
        write(result, tmp_path / "results.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read the results .*: No such file"),
        ("", "are not JSON"),
        ("[]", "schema version None"),
        ('{"schema_version": 1}', "schema version 1, and this tailgate reads 1.x"),
        ('{"schema_version": "2.0"}', "schema version '2.0', and this tailgate reads 1.x"),
        ('{"schema_version": "1.0"}', "Object missing required field `run_id`"),
    ],
)
def test_a_file_that_is_no_result_is_refused(text, words, tmp_path):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MeasurementError, match=words):
        read(path)


@pytest.mark.parametrize("edge", ["abc", "", "nan", "-1", "inf", "1_0", "1e999", "+Inf ", "\u0661"])
def test_a_batch_size_that_is_no_edge_is_refused(tmp_path, edge):
    document = to_json(run_result())
    document["slots"][0]["phases"][1]["batch_sizes"] = {edge: 1}
    path = tmp_path / "results.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(MeasurementError, match="batch_sizes"):
        read(path)


@pytest.mark.parametrize("edge", ["1.0", "2", "+Inf", "0.5", "1e+06", "1e-05"])
def test_a_batch_size_may_be_any_edge(tmp_path, edge):
    assert float(edge) >= 0
    document = to_json(run_result())
    document["slots"][0]["phases"][1]["batch_sizes"] = {edge: 1}
    Draft202012Validator(schema()).validate(document)


def leaves(document, path=()):
    """Yield the path of every value in a document that is no list and no object, and of every object."""
    if isinstance(document, dict | list):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from leaves(value, (*path, key))
    else:
        yield path


DOCUMENTS = [
    to_json(run_result([criterion_result(), criterion_result("p99", None, verdict=Verdict.FAIL)])),
    to_json(compared(with_stages(rows(12, worse=1.25, sigma=0.2), 0.002), notes=("a note",))),
]
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | finite
    | st.sampled_from([0, -1, 1e308, 5e-324, 2**63])
    | st.text()
)


@settings(deadline=None)
@given(st.data())
def test_whatever_is_taken_is_reported_without_a_traceback(data):
    document = orjson.loads(orjson.dumps(DOCUMENTS[data.draw(st.integers(0, len(DOCUMENTS) - 1))]))
    for path in data.draw(st.lists(st.sampled_from(list(leaves(document))), min_size=1, max_size=4)):
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = data.draw(ODD)
    try:
        result = msgspec.convert(document, RunResult)
    except msgspec.ValidationError:
        return
    if contradiction(result):
        return
    terminal.render(result, Console(file=io.StringIO(), width=80))
    markdown.render(result)
    for scenario in result.scenarios:
        junit.properties(result, scenario)
        explain(scenario)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda made: made["decision"]["results"][0].update(look=99),
            "a result of look 99, and its design has",
        ),
        (lambda made: made["decision"]["results"][0].update(look=0), "a result of look 0"),
        (
            lambda made: made["attributions"][0]["lens"].update(name="p42"),
            "tells the stages of 'p42', and has no",
        ),
    ],
)
def test_parts_of_a_result_that_do_not_fit_together_are_refused(tmp_path, change, words):
    document = orjson.loads(orjson.dumps(DOCUMENTS[1]))
    change(document["scenarios"][0]["comparison"])
    path = tmp_path / "results.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(MeasurementError, match=words):
        read(path)


def test_a_field_that_this_version_does_not_know_is_left_alone(tmp_path):
    path = tmp_path / "results.json"
    write(run_result(), path)
    document = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps(document | {"colour": "red", "schema_version": "1.999"}))
    assert read(path) == dataclasses.replace(run_result(), schema_version="1.999")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_schema_is_made_of_the_dataclasses_and_describes_what_is_written(document):
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(document)
    described = schema()["$defs"]["CriterionResult"]["properties"]
    assert all("description" in field for field in described.values())
