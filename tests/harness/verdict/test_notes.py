"""What a reader is told of a slot beside its faults."""

from types import SimpleNamespace

import pytest
from sample_records import delta, phase, samples, window

from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.target.settings import MetricNames
from tailgate.harness.verdict.judging import notes


def scraped(counted, own_scrapes=1, **options):
    made = PhaseRecord(phase(), samples([0.1] * 100), delta([0.1] * counted), own_scrapes=own_scrapes)
    return list(notes(window(made, made, **options)))


def test_own_requests_that_the_server_counts_are_told_with_their_number():
    (note,) = scraped(103, 3)
    assert "the harness's own scrapes and probes too, 6 in the measured phases: they are allowed for" in note


@pytest.mark.parametrize(
    ("at_once", "words"),
    [
        ((None, None), None),
        ((1, 1), "on one connection at a time"),
        ((3, None), "on 3 connections at a time"),
    ],
)
def test_a_server_that_answers_few_connections_is_told(at_once, words):
    reports = [SimpleNamespace(at_once=bound) for bound in at_once]
    told = list(notes(window(), reports))
    assert told == [] if words is None else words in told[0]


@pytest.mark.parametrize(
    ("counted", "options"),
    [(100, {}), (90, {}), (101, {"names": MetricNames(request_seconds="h", requests_total="c")})],
    ids=["not counted", "a fault", "no such metric"],
)
def test_where_none_is_counted_nothing_is_told(counted, options):
    assert scraped(counted, **options) == []
