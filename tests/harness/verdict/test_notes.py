"""What a reader is told of a slot beside its faults."""

import re
from types import SimpleNamespace

import pytest
from sample_records import delta, phase, samples, window

from tailgate.harness.observe.delta import difference
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.target.asking.exposition import parse
from tailgate.harness.target.asking.metric_names import MetricNames
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
    reports = [SimpleNamespace(at_once=bound, parts=()) for bound in at_once]
    told = list(notes(window(), reports))
    assert told == [] if words is None else words in told[0]


@pytest.mark.parametrize(
    ("counted", "options"),
    [(100, {}), (90, {}), (101, {"names": MetricNames(request_seconds="h", requests_total="c")})],
    ids=["not counted", "a fault", "no such metric"],
)
def test_where_none_is_counted_nothing_is_told(counted, options):
    assert scraped(counted, **options) == []


def labelled(*counts, name="h"):
    """Return a phase whose server counted so many requests under each handler."""
    handlers = [f"/{index}" for index in range(len(counts))]
    text = "".join(
        f'{name}_count{{handler="{one}"}} {count}\n' for one, count in zip(handlers, counts, strict=True)
    )
    server = difference(parse("up 1\n", 1), parse(f"up 1\n{text}", 2))
    return PhaseRecord(phase(), samples([0.1] * 100), server)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((1, 100), r"h is summed over handler \(/0, /1\).* such as {handler=\"/1\"}$"),
        ((1,) * 7, r"\(/0, /1, /2, /3, /4 and 2 more\)"),
    ],
)
def test_a_histogram_that_is_summed_over_a_label_is_told_with_the_values_and_how_to_choose(counts, words):
    assert re.search(
        words, "\n".join(notes(window(labelled(*counts), names=MetricNames(request_seconds="h"))))
    )


@pytest.mark.parametrize(
    ("counts", "options"),
    [
        ((100,), {"names": MetricNames(request_seconds="h")}),
        ((0, 100), {"names": MetricNames(request_seconds="h")}),
        ((1, 100), {"names": MetricNames(request_seconds='h{handler="/1"}')}),
        ((1, 100), {"names": MetricNames(request_seconds=None)}),
        ((1, 100), {}),
    ],
    ids=["one value", "one value that counts", "chosen", "not read", "this project's own"],
)
def test_a_histogram_of_one_kind_of_request_needs_no_word(counts, options):
    name = "h" if "names" in options else "tailgate_request_seconds"
    told = notes(window(labelled(*counts, name=name), **options))
    assert not any("summed over" in note for note in told)
