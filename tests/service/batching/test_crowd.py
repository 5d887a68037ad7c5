"""Refusing in crowds: the loop rests once for all that came together, and only while there is work for much longer."""

import asyncio

import pytest

from tailgate.service.batching.admission import REST_S, WORK_S, Crowd

pytestmark = pytest.mark.asyncio


async def turn():
    await asyncio.sleep(0)


async def test_the_loop_rests_once_for_all_who_are_refused_between_two_looks_at_the_sockets():
    rests = []
    crowd = Crowd(asyncio.get_running_loop(), rests.append)
    for number in (1, 2):
        for _ in range(5):
            crowd.rest(WORK_S)
        assert len(rests) == number - 1
        await turn()
        assert rests == [REST_S] * number


async def test_it_does_not_rest_where_the_executor_might_run_out_of_work_meanwhile():
    crowd = Crowd(asyncio.get_running_loop(), pytest.fail)
    crowd.rest(WORK_S / 2)
    await turn()
