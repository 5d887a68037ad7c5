"""The fuzz targets for a bounded number of inputs, the same each time; and inputs that were once taken wrongly."""

from pathlib import Path

import fuzz_seeds
import pytest
from fuzz_targets import TARGETS, Edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FOUND = Path(__file__).parent / "found"
BOUNDED = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@st.composite
def mutated(draw, seeds):
    """Something that is served, with some of its bytes changed, left out, repeated, or brought from another."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 40))
        new = draw(
            st.one_of(
                st.binary(max_size=12),
                st.just(bytes(data[place : place + size]) * 2),
                st.just(b""),
                st.sampled_from(seeds).map(lambda other, at=place, size=size: other[at : at + size]),
                st.sampled_from(
                    [b"\0", b"\xff" * 4, b"\r\n", b"\r\n\r\n", b"--x", b"1e999", b"[", b"]", b'"']
                ),
            )
        )
        data[place : place + size] = new
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_served_with_some_bytes_changed_is_served_or_refused(name):
    @BOUNDED
    @given(mutated(fuzz_seeds.SEEDS[name]))
    def run(data):
        TARGETS[name](data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_served_or_refused(name):
    @BOUNDED
    @given(st.binary(max_size=300))
    def run(data):
        TARGETS[name](data)

    run()


@pytest.mark.parametrize(
    "path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_was_found_before_is_mended(path):
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_begins_from_reaches_the_model(name):
    """A target that refuses everything would find nothing."""
    for seed in fuzz_seeds.SEEDS[name]:
        TARGETS[name](seed)
    if name == "http":
        served = Edge()
        answers = [served.converse([seed[2:]]).statuses for seed in fuzz_seeds.SEEDS[name]]
        assert [200, 200, 200] in answers
        assert all(statuses for statuses in answers)
