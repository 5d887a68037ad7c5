"""A plan cut into slices: nothing is lost, nothing is sent twice, and each slice is a plan."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.load.many.slicing import slice_of
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant, Poisson
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan, read_plan, write_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

PAYLOADS = [Payload("a", b"a", "text/plain"), Payload("b", b"b", "text/plain")]


def plan_of(*phases):
    return draw_plan(Scenario("s", "for tests", phases, ()), PAYLOADS, 1)


def rows(phase):
    behaviours = np.zeros(len(phase.numbers)) if phase.behaviours is None else phase.behaviours
    return list(
        zip(
            phase.numbers,
            phase.offsets_ns.tolist(),
            phase.payloads.tolist(),
            behaviours.tolist(),
            strict=True,
        )
    )


@given(
    requests=st.integers(1, 60),
    connections=st.integers(1, 20),
    workers=st.integers(1, 12),
)
def test_each_request_is_in_exactly_one_slice_with_all_that_the_plan_says_of_it(
    requests, connections, workers
):
    disturbed = Phase(
        "disturbed", Poisson(10.0), requests=requests, disturbers=(Disturbers(Behaviour.LEAVES, 0.5),)
    )
    plan = plan_of(disturbed, Phase("closed", ClosedLoop(connections), requests=requests))
    slices = [slice_of(plan, worker, workers) for worker in range(workers)]
    for index, phase in enumerate(plan.phases):
        found = [row for one in slices for row in rows(one.phases[index])]
        assert sorted(found) == rows(phase)
    assert sum(one.phases[1].closed_loop.connections for one in slices) == connections
    for one in slices:
        loop = one.phases[1]
        assert loop.closed_loop.connections or not len(loop.offsets_ns)


def test_the_requests_of_an_open_loop_are_dealt_out_in_turn():
    plan = plan_of(Phase("steady", Constant(10.0), requests=8))
    assert [list(slice_of(plan, worker, 3).phases[0].numbers) for worker in range(3)] == [
        [0, 3, 6],
        [1, 4, 7],
        [2, 5],
    ]


def test_connections_of_a_closed_loop_differ_by_one_at_the_most_and_requests_go_with_them():
    plan = plan_of(Phase("closed", ClosedLoop(5), requests=100))
    loops = [slice_of(plan, worker, 3).phases[0] for worker in range(3)]
    assert [(one.closed_loop.connections, len(one.numbers)) for one in loops] == [(1, 20), (2, 40), (2, 40)]


def test_a_slice_survives_the_disk_with_its_numbers(tmp_path):
    plan = slice_of(
        plan_of(Phase("p", Poisson(10.0), requests=10), Phase("q", Poisson(9.0), requests=2)), 2, 4
    )
    write_plan(plan, tmp_path)
    assert [rows(one) for one in read_plan(tmp_path).phases] == [rows(one) for one in plan.phases]
    assert [list(one.numbers) for one in read_plan(tmp_path).phases] == [[2, 6], []]
