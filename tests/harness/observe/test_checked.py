"""Answers held against expectations: what each outcome becomes, what is told, and that a kept slot gives the same."""

import base64
import json

import numpy as np
import pytest
from sample_records import record, samples, window

from tailgate.harness.load.records.answers import ANSWERS
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.checked import Checked, check
from tailgate.harness.results.failure import Failure
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.scenario import Criterion

CAT, DOG = b'{"label": "cat"}', b'{"label": "dog"}'
WRONG_ANSWERS = next(one for one in built_in_measures() if one.name == "wrong_answers")


def payload(*expect, name="x"):
    return Payload(name, b"", "text/plain", expect=expect)


def keep(folder, *answers):
    """Keep answers, each a payload, a status and a body, as the generator does."""
    lines = [
        json.dumps(
            {
                "answer": number,
                "payload": asked,
                "status": status,
                "type": "application/json",
                "length": len(body),
                "crc": 0,
                "body": base64.b64encode(body).decode(),
            }
        )
        + "\n"
        for number, (asked, status, body) in enumerate(answers, start=1)
    ]
    (folder / ANSWERS).write_text("".join(lines))


def sent(*got):
    """Build samples, each a payload, an outcome, a status and the number of an answer."""
    made = samples([0.01] * len(got))
    for field, values in zip(("payload", "outcome", "status", "answer"), zip(*got, strict=True), strict=True):
        made[field] = values
    return made


@pytest.mark.parametrize(
    ("expect", "outcome", "status", "body", "becomes"),
    [
        (["json:$.label=cat"], Outcome.OK, 200, CAT, Outcome.OK),
        (["json:$.label=cat"], Outcome.OK, 200, DOG, Outcome.WRONG),
        (["status=200"], Outcome.OK, 201, CAT, Outcome.WRONG),
        (["status=404"], Outcome.CLIENT_ERROR, 404, b"", Outcome.OK),
        (["status=404", "contains:x"], Outcome.CLIENT_ERROR, 404, b"", Outcome.WRONG),
        (["status=404"], Outcome.OK, 200, b"", Outcome.WRONG),
        (["status=3xx"], Outcome.REDIRECT, 307, b"", Outcome.OK),
        (["status=503"], Outcome.SHED, 503, b"", Outcome.OK),
        # What nobody expects keeps its name.
        (["status=200"], Outcome.SHED, 503, b"", Outcome.SHED),
        (["json:$.label=cat"], Outcome.SERVER_ERROR, 500, b"", Outcome.SERVER_ERROR),
        (["status=200"], Outcome.SERVER_ERROR, 500, b"", Outcome.SERVER_ERROR),
        # It is no whole answer, whatever was kept.
        (["status=200"], Outcome.TIMEOUT, 0, b"", Outcome.TIMEOUT),
    ],
)
def test_an_outcome_goes_by_what_was_expected(tmp_path, expect, outcome, status, body, becomes):
    keep(tmp_path, (0, status, body))
    found, checked = check(sent((0, outcome, status, 1)), [payload(*expect)], tmp_path)
    assert found["outcome"].tolist() == [becomes]
    assert checked.payloads == {0}


def test_without_expectations_nothing_is_read_and_nothing_changes(tmp_path):
    made = sent((0, Outcome.OK, 200, 1))
    found, checked = check(made, [payload()], tmp_path)
    assert found is made
    assert checked == Checked()


def test_wrong_answers_are_counted_by_what_is_wrong_and_by_request(tmp_path):
    keep(tmp_path, (0, 200, CAT), (0, 200, DOG), (1, 200, DOG), (0, 200, b"{}"))
    got = [(0, Outcome.OK, 200, 1)] * 5 + [(0, Outcome.OK, 200, 2)] * 3 + [(1, Outcome.OK, 200, 3)] * 4
    found, checked = check(
        sent(*got, (0, Outcome.OK, 200, 4)), [payload("json:$.label=cat"), payload(name="y")], tmp_path
    )
    assert found["outcome"].tolist() == [Outcome.OK] * 5 + [Outcome.WRONG] * 3 + [Outcome.OK] * 4 + [
        Outcome.WRONG
    ]
    assert [str(one) for one in checked.wrong] == [
        "3 × wrong answer: $.label is 'dog', expected 'cat'",
        "1 × wrong answer: $.label is missing, expected 'cat'",
    ]


def test_an_expected_error_is_no_failure_any_more(tmp_path):
    keep(tmp_path, (0, 404, b"gone"), (1, 404, b"gone"))
    got = [(0, Outcome.CLIENT_ERROR, 404, 1)] * 3 + [(1, Outcome.CLIENT_ERROR, 404, 2)] * 2
    _, checked = check(sent(*got), [payload("status=404"), payload(name="y")], tmp_path)
    told = (Failure("client_error", 404, 5, "gone"), Failure("timeout", None, 1))
    assert checked.failures(told) == (Failure("client_error", 404, 2, "gone"), Failure("timeout", None, 1))


def test_the_same_answer_is_that_of_the_first_good_one(tmp_path):
    keep(tmp_path, (0, 503, b"wait"), (0, 200, CAT), (0, 200, b'{ "label" : "cat" }'), (0, 200, DOG))
    got = [(0, Outcome.SHED, 503, 1), *((0, Outcome.OK, 200, number) for number in (2, 3, 4))]
    found, _ = check(sent(*got), [payload("same")], tmp_path)
    assert found["outcome"].tolist() == [Outcome.SHED, Outcome.OK, Outcome.OK, Outcome.WRONG]


def test_many_distinct_answers_are_judged_once_each(tmp_path):
    bodies = [
        f'{{"id": {number}, "label": "{"dog" if number % 1_000 == 0 else "cat"}"}}'
        for number in range(20_000)
    ]
    keep(tmp_path, *((0, 200, body.encode()) for body in bodies))
    got = sent(*((0, Outcome.OK, 200, number) for number in range(1, len(bodies) + 1)))
    found, checked = check(got, [payload("json:$.label=cat")], tmp_path)
    assert np.flatnonzero(found["outcome"] == Outcome.WRONG).tolist() == list(range(0, 20_000, 1_000))
    assert [one.count for one in checked.wrong] == [20]


def estimated(checked, got, limit=0.0):
    made = window(record(got))
    phases = tuple(type(one)(one.phase, one.samples, checked=checked) for one in made.phases)
    return WRONG_ANSWERS.estimate(type(made)(phases), Criterion("wrong_answers", limit, ("load",)))


def test_the_share_of_wrong_answers_counts_whole_answers_of_payloads_that_expect_something():
    got = sent(
        *[(0, Outcome.OK, 200, 1)] * 6,
        (0, Outcome.WRONG, 200, 2),
        (0, Outcome.SERVER_ERROR, 500, 3),
        (0, Outcome.SHED, 503, 0),
        (0, Outcome.TIMEOUT, 0, 0),
        (0, Outcome.OK, 200, 0),
        (1, Outcome.CLIENT_ERROR, 404, 4),
    )
    found = estimated(Checked(frozenset({0})), got)
    assert (found.n, found.value) == (8, 0.25)
    assert found.note == "2 of 8 are wrong; 1 more were not kept for lack of room, and not examined"


def test_right_answers_say_what_they_can_show():
    found = estimated(Checked(frozenset({0})), sent(*[(0, Outcome.OK, 200, 1)] * 4_000))
    assert (found.n, found.value, found.high) == (4_000, 0.0, 0.0)
    assert found.note == "none of 4,000 is wrong, so that at most 0.0749 % are (one-sided 95 %)"
