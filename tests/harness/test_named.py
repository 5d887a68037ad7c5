"""Finding something by the name that a user wrote."""

import pytest

from tailgate.harness import named
from tailgate.harness.errors import UsageError


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (["p50", "cpu"], "there is no thing 'p5'; did you mean 'p50'? There are 'p50', 'cpu'"),
        (["memory"], "there is no thing 'p5'; no name is like it. There are 'memory'"),
        ([], "there is no thing 'p5'; no name is like it. There are none"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_the_nearest_and_all(known, words):
    with pytest.raises(UsageError) as caught:
        named.find("thing", "p5", dict.fromkeys(known))
    assert str(caught.value) == words


def test_a_name_that_is_there_is_found():
    assert named.find("thing", "cpu", {"p50": 1, "cpu": 2}) == 2
