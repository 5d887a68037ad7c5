"""Series chosen by labels, as PromQL chooses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import UsageError
from tailgate.harness.target.asking.metric_names import metric_names
from tailgate.harness.target.asking.selector import Selector, Series, equal, read_selector

SCORE = Series("h", (("code", "200"), ("handler", "/score")))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("h", True),
        (" h ", True),
        ("h{}", True),
        ("h { }", True),
        ("other", False),
        ('h{handler="/score"}', True),
        ("h{handler='/score'}", True),
        ("h{handler=`/score`}", True),
        ('h{ handler = "/score" , code = "200" , }', True),
        ('h{handler="/score",code="500"}', False),
        ('h{handler!="/metrics"}', True),
        ('h{handler!="/score"}', False),
        ('h{code=~"2.."}', True),
        ('h{code=~"2."}', False),  # anchored at both ends
        ('h{code=~"20|200"}', True),
        ('h{code!~"2..|3.."}', False),
        ('h{code!~"5.."}', True),
        ('h{absent=""}', True),
        ('h{absent!=""}', False),
        ('h{absent=~".*"}', True),
        ('h{absent=~".+"}', False),
        ('h{handler=~"/\\\\w+"}', True),
        ("h{handler=~`/\\w+`}", True),
        ('h{handler="\\x2fscore"}', True),
        ('h{handler="\\u002fscore"}', True),
        ('h{handler="\\057score"}', True),
    ],
)
def test_a_selector_means_the_series_that_promql_would_choose(text, meant):
    assert read_selector(text).matches(SCORE) is meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it begins with no name"),
        ('{handler="/"}', "it begins with no name"),
        ("h{", "behind the name stands '{'"),
        ("h x", "behind the name stands 'x'"),
        ('h{a="b"', "behind the name stands"),
        ('h{a="b"}[5m]', "behind the name stands"),
        ("h{a=b}", "'a=b' is no condition"),
        ('h{a=="b"}', "is no condition"),
        ('h{a"b"}', "is no condition"),
        ('h{"a"="b"}', "is no condition"),
        ('h{a="b}', "is no condition"),
        ('h{,a="b"}', "is no condition"),
        ('h{a="b" c="d"}', "follows a condition"),
        ('h{a=~"("}', r"is not a regular expression \("),
        ('h{a=~"\\."}', r"'\\\\\.' is not an escape|is not an escape"),
        ('h{a="\\U00110000"}', "is not an escape"),
    ],
)
def test_a_selector_that_is_none_is_refused_with_what_is_wrong(text, why):
    with pytest.raises(UsageError, match=f"names no series: .*{why}.*; expected NAME"):
        read_selector(text)
    if text:
        with pytest.raises(UsageError, match="--perf-metric=request_seconds: "):
            metric_names({"request_seconds": text})


@given(st.text(max_size=30))
def test_a_value_of_any_characters_is_chosen_by_its_quoted_form(value):
    written = str(Selector("h", (equal("a", value),)))
    assert read_selector(written).matches(Series("h", (("a", value),)))
    assert str(read_selector(written)) == written
    assert not read_selector(written).matches(Series("h", (("a", value + "x"),)))


@given(st.text(max_size=40) | st.text(alphabet="h{}=~!\"'`\\a, \n", max_size=40))
def test_any_text_is_read_or_refused_as_a_usage_error(text):
    try:
        read = read_selector(text)
    except UsageError:
        return
    assert read_selector(str(read)) == read


def test_the_buckets_of_a_histogram_cannot_be_chosen_among():
    with pytest.raises(UsageError, match=r"request_seconds: .*leave le out"):
        metric_names({"request_seconds": 'h{le="0.5"}'})
    assert metric_names({"requests_total": 'c{le="0.5"}'}).requests_total == 'c{le="0.5"}'


def test_a_selector_of_one_metric_chooses_the_same_of_another_of_its_family():
    assert str(read_selector('h{a="b"}').suffixed("_count")) == 'h_count{a="b"}'
