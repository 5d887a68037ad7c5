"""Head's answers against base's: what differs, what varies by itself, and how surely either is told."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from tailgate.harness.compare.answers.differences import Exchange, compare_answers
from tailgate.harness.compare.answers.kept import terms_of
from tailgate.harness.compare.decision.design import LOOKS
from tailgate.harness.compare.load import PAIRS, SLOT_REQUESTS
from tailgate.harness.load.records.answers import KeptAnswer
from tailgate.harness.options.table import Answers
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import percent

NAMES = [f"payload-{index}" for index in range(8)]
# Of head at the first look of a default comparison, which is the least that any has.
REQUESTS = LOOKS[0] * PAIRS * SLOT_REQUESTS


def exchange(payload, said, requests=1, *, status=200, content_type="application/json"):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Exchange(KeptAnswer(1, payload, status, content_type, len(body), 0, body), requests)


def compared(base, head, *, tolerance=None, ignore=()):
    return compare_answers(base, head, NAMES, terms_of(tolerance, ignore), Answers.GATE)


CAT = {"label": "cat", "score": 0.9, "top": [{"id": 1}, {"id": 2}]}


@pytest.mark.parametrize(
    ("changed", "place", "base", "head"),
    [
        ({"label": "dog"}, "$.label", '"cat"', '"dog"'),
        ({"label": None}, "$.label", '"cat"', "null"),
        ({"label": 1}, "$.label", '"cat"', "1"),
        ({"score": 0.901}, "$.score", "0.9", "0.901"),
        ({"score": "0.9"}, "$.score", "0.9", '"0.9"'),
        ({"score": True}, "$.score", "0.9", "true"),
        ({"score": float("nan")}, "$.score", "0.9", "nan"),
        ({"top": [{"id": 1}, {"id": 3}]}, "$.top[1].id", "2", "3"),
        ({"top": [{"id": 1}]}, "$.top[1].id", "2", "nothing"),
        ({"top": [{"id": 1}, {"id": 2}, {"id": 2}]}, "$.top[2].id", "nothing", "2"),
        ({"more": 1}, "$.more", "nothing", "1"),
    ],
)
def test_one_request_that_differs_is_found_and_told(changed, place, base, head):
    result = compared([exchange(0, CAT, 500)], [exchange(0, CAT, 499), exchange(0, CAT | changed)])
    assert (result.verdict, result.compared, result.differing, result.most) == (Verdict.FAIL, 500, 1, None)
    assert str(result.examples[0]) == f"{place} is {head}, and {base} in base (payload payload-0)"
    assert result.reason == f"head answers differently: 1 of 500, first: {result.examples[0]}"


@pytest.mark.parametrize("name", list(CAT))
def test_a_dropped_field_is_found(name):
    dropped = {key: value for key, value in CAT.items() if key != name}
    result = compared([exchange(0, CAT, 500)], [exchange(0, dropped, 500)])
    assert result.differing == 500
    assert result.examples[0].place.startswith(f"$.{name}")


def test_the_status_and_the_content_type_are_part_of_the_answer():
    result = compared(
        [exchange(0, CAT, 50)],
        [exchange(0, CAT, 25, status=201), exchange(0, CAT, 25, content_type="text/html")],
    )
    assert [one.place for one in result.examples] == ["status", "content type"]
    assert result.differing == 50


def test_the_order_of_members_and_white_space_are_no_difference():
    head = b'{"top":[{"id":1},{"id":2.0}], "score":0.90, "label":"cat"}'
    result = compared([exchange(0, CAT, 50)], [exchange(0, head.replace(b"2.0", b"2"), 50)])
    assert (result.verdict, result.differing) == (Verdict.PASS, 0)
    assert result.most == pytest.approx(1 - 0.05 ** (1 / 50))
    assert result.reason == (
        f"none of head's 50 answers differs from base's, so that at most {percent(result.most)} do (one-sided 95 %)"
    )


def varied(**more):
    """Answers of one arm in which each has an id, a time and a duration of its own."""
    rng = np.random.default_rng(more.pop("seed", 0))
    return [
        exchange(
            index % 8,
            CAT
            | {
                "id": f"{rng.integers(2**60):x}",
                "number": int(rng.integers(2**40)),
                "at": 1_764_000_000.0 + index * 0.01,
                "took_ms": float(rng.gamma(2.0, 3.0)),
                "trace": [{"span": f"{rng.integers(2**60):x}"}],
            }
            | more,
        )
        for index in range(800)
    ]


def test_what_varies_in_base_by_itself_is_not_compared_and_is_named():
    result = compared(varied(seed=1), varied(seed=2))
    assert result.verdict is Verdict.PASS
    assert result.not_compared == ("$.id", "$.number", "$.took_ms", "$.trace[*].span")


def test_beside_what_varies_the_rest_is_compared():
    result = compared(varied(seed=1), varied(seed=2, label="dog"))
    assert (result.differing, result.examples[0].place) == (800, "$.label")


def test_a_text_that_varies_by_itself_is_not_compared():
    base = [exchange(0, f"made at {at}".encode(), content_type="text/plain") for at in range(100)]
    result = compared(base, base)
    assert result.not_compared == ("text",)
    other = compared([exchange(0, b"a", 100)], [exchange(0, b"b", 100)])
    assert other.differing == 100


def test_what_base_never_answered_twice_cannot_be_compared():
    base = [exchange(index, CAT) for index in range(8)]
    result = compared(base, base)
    assert (result.verdict, result.compared) == (Verdict.INCONCLUSIVE, 0)
    assert result.reason.startswith("no answers were compared: base's own vary, or base answered no payload")


def test_a_payload_that_base_never_answered_is_counted_apart():
    result = compared([exchange(0, CAT, 50)], [exchange(0, CAT, 50), exchange(1, CAT, 7)])
    assert (result.compared, result.unanswered) == (50, 7)


def test_places_that_the_user_names_are_not_looked_at():
    head = CAT | {"label": "dog", "top": [{"id": 5}, {"id": 6}]}
    asked = [exchange(0, CAT, 50)], [exchange(0, head, 50)]
    assert compared(*asked, ignore=("$.label", "$.top[*].id")).verdict is Verdict.PASS
    assert compared(*asked, ignore=("$.label",)).examples[0].place == "$.top[0].id"
    vector = [exchange(0, {"v": [1, 2]}, 50)], [exchange(0, {"v": [1, 3]}, 50)]
    assert compared(*vector, ignore=("$.v[*]",)).differing == 0
    assert compared(*vector, ignore=("$.v[0]",)).differing == 50


def test_a_tolerance_that_the_user_gives_replaces_the_one_that_is_learnt():
    asked = [exchange(0, CAT, 50)], [exchange(0, CAT | {"score": 0.93}, 50)]
    assert compared(*asked, tolerance=0.05).verdict is Verdict.PASS
    assert compared(*asked, tolerance=0.01).verdict is Verdict.FAIL


def test_what_base_deviates_by_at_times_fails_only_where_head_does_so_more_often():
    base = [exchange(0, CAT, 3_980), exchange(0, CAT | {"label": "dog"}, 20)]

    def head(often):
        return compared(base, [exchange(0, CAT, 4_000 - often), exchange(0, CAT | {"label": "wolf"}, often)])

    assert [head(often).verdict for often in (0, 20, 30, 60)] == [Verdict.PASS] * 3 + [Verdict.FAIL]


def test_several_places_of_one_request_count_as_one_request():
    result = compared([exchange(0, CAT, 50)], [exchange(0, {"error": "no model"}, 50)])
    assert (result.differing, len(result.examples)) == (50, 3)


# A classifier's softmax over ten labels, for eight photographs.
PROBABILITIES = special.softmax(np.random.default_rng(7).normal(0, 3, (8, 10)), axis=1).astype(np.float32)


def predictions(payload, probabilities):
    order = np.argsort(-probabilities)[:5]
    return {
        "label": f"label-{order[0]}",
        "predictions": [{"label": f"label-{at}", "probability": float(probabilities[at])} for at in order],
    }


def served(seed, answer, requests=REQUESTS):
    """Return an arm's exchanges: each request is of one payload and in one of 16 batch compositions.

    ``answer`` gives the probabilities by payload and composition.
    """
    rng = np.random.default_rng(seed)
    asked = Counter(
        zip(rng.integers(8, size=requests).tolist(), rng.integers(16, size=requests).tolist(), strict=True)
    )
    return [
        exchange(payload, predictions(payload, answer(payload, batch)), count)
        for (payload, batch), count in asked.items()
    ]


def noisy(size):
    """Return a model whose last digits go by the composition of its batch."""

    def answer(payload, batch):
        rng = np.random.default_rng([payload, batch])
        return PROBABILITIES[payload].astype(np.float64) * (1 + size * rng.uniform(-1, 1, 10))

    return answer


def bf16(values):
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize("size", [0.0, 1e-7, 1e-4, 1e-2])
def test_unchanged_code_raises_no_alarm_in_20_runs_however_large_its_own_noise_is(size):
    for run in range(20):
        result = compared(served([run, 0], noisy(size)), served([run, 1], noisy(size)))
        assert result.verdict is Verdict.PASS, result.reason
        assert result.compared == REQUESTS


def test_another_precision_is_found():
    for run in range(20):
        result = compared(
            served([run, 0], noisy(1e-7)), served([run, 1], lambda payload, _: bf16(PROBABILITIES[payload]))
        )
        assert result.verdict is Verdict.FAIL
        assert result.examples[0].place.endswith("probability")


def test_one_wrong_label_in_1000_requests_is_found_in_99_of_100_default_runs():
    assert 1 - 0.999**REQUESTS > 0.99
    base, (first, *others) = served(0, noisy(1e-7)), served(1, noisy(1e-7))
    wrong_label = exchange(0, predictions(0, PROBABILITIES[0]) | {"label": "label-9"})
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        wrong = int(rng.binomial(REQUESTS, 0.001))
        # Each wrong answer stands in place of one of the first kind.
        head = [
            replace(first, requests=first.requests - wrong),
            *others,
            replace(wrong_label, requests=wrong),
        ]
        result = compared(base, head if wrong else [first, *others])
        assert result.differing == wrong
        found += result.verdict is Verdict.FAIL
    assert found >= 99


def test_a_hundred_thousand_answers_that_all_differ_by_an_id_are_compared():
    def arm(first, label):
        body = b'{"id": "%x", "label": "%s", "score": 0.5}'
        for index in range(50_000):
            yield exchange(index % 8, body % (first + index, b"dog" if index in label else b"cat"))

    result = compared(arm(0, ()), arm(10**9, {17, 40_000}))
    assert (result.differing, result.compared, result.not_compared) == (2, 50_000, ("$.id",))
