"""What a reader is told of a slot beside its faults."""

import pytest
from sample_records import delta, phase, samples, window

from harness.notes import notes
from harness.scrape import MetricNames
from harness.window import PhaseRecord


def scraped(counted, own_scrapes=1, **options):
    made = PhaseRecord(phase(), samples([0.1] * 100), delta([0.1] * counted), own_scrapes=own_scrapes)
    return list(notes(window(made, made, **options)))


def test_own_requests_that_the_server_counts_are_told_with_their_number():
    (note,) = scraped(103, 3)
    assert "the harness's own scrapes and probes too, 6 in the measured phases: they are allowed for" in note


@pytest.mark.parametrize(
    ("counted", "options"),
    [(100, {}), (90, {}), (101, {"names": MetricNames(request_seconds="h", requests_total="c")})],
    ids=["not counted", "a fault", "no such metric"],
)
def test_where_none_is_counted_nothing_is_told(counted, options):
    assert scraped(counted, **options) == []
