"""Many who ask for the metrics at once: who waits for which rendering, and how many there are; the clock is virtual."""

import asyncio

import pytest

from tailgate.service.http.pages.exposition import LONGEST_REST_S, REST_SHARE, Exposition
from tailgate.service.metrics import OPENMETRICS, TEXT

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
TAKES_S = 0.01


class Metrics:
    """A counter, and a rendering of it that takes some time; when each began is kept."""

    def __init__(self, takes_s=TAKES_S):
        self.count = 0
        self.takes_s = takes_s
        self.began_s = []
        self.rendered = []
        self.at_work = 0
        self.exposition = Exposition(self.render)

    async def render(self, media_type):
        assert not self.at_work, "two renderings at once"
        self.at_work += 1
        self.began_s.append(now_s())
        self.rendered.append(media_type)
        count = self.count
        await asyncio.sleep(self.takes_s)
        self.at_work -= 1
        return b"%d" % count

    async def scrape(self, media_type=TEXT):
        """Return what one scrape sees, and when it has it."""
        return int(await self.exposition.text(media_type)), now_s()


def now_s():
    return asyncio.get_running_loop().time()


async def test_a_scrape_waits_for_nobody_where_none_was_before_it():
    metrics = Metrics()
    assert await metrics.scrape() == (0, pytest.approx(TAKES_S))


async def test_those_who_ask_together_share_a_rendering():
    metrics = Metrics()
    assert await asyncio.gather(*(metrics.scrape() for _ in range(100))) == [(0, TAKES_S)] * 100
    assert len(metrics.began_s) == 1


async def test_those_who_ask_together_for_two_formats_get_one_rendering_of_each():
    metrics = Metrics()
    await asyncio.gather(*(metrics.scrape(kind) for kind in [TEXT, OPENMETRICS] * 50))
    assert metrics.rendered == [TEXT, OPENMETRICS]


async def test_whoever_asks_during_a_rendering_gets_the_next():
    metrics = Metrics()
    first = asyncio.create_task(metrics.scrape())
    await asyncio.sleep(TAKES_S / 2)
    metrics.count = 1
    late = [asyncio.create_task(metrics.scrape()) for _ in range(10)]
    assert (await first)[0] == 0
    assert {(await each)[0] for each in late} == {1}
    assert len(metrics.began_s) == 2


@pytest.mark.parametrize("scrapers", [1, 16])
async def test_what_was_counted_before_a_scrape_was_asked_is_always_in_it(scrapers):
    metrics = Metrics()

    async def client():
        for _ in range(20):
            metrics.count += 1
            counted = metrics.count
            assert (await metrics.scrape())[0] >= counted

    await asyncio.gather(*(client() for _ in range(scrapers)))


async def test_however_many_ask_renderings_take_a_fifth_of_the_time_at_most():
    metrics = Metrics()

    async def scraper(pause_s):
        await asyncio.sleep(pause_s)
        while now_s() < 1:
            await metrics.scrape(TEXT if pause_s else OPENMETRICS)

    await asyncio.gather(*(scraper(number * TAKES_S / 16) for number in range(16)))
    assert set(metrics.rendered) == {TEXT, OPENMETRICS}
    assert len(metrics.began_s) * TAKES_S * (1 + REST_SHARE) <= now_s() + TAKES_S * REST_SHARE


async def test_a_long_rendering_is_followed_by_a_bounded_rest():
    metrics = Metrics(takes_s=1)
    await metrics.scrape()
    assert (await metrics.scrape())[1] == pytest.approx(2 + LONGEST_REST_S)


async def test_after_the_rest_nobody_waits_any_more():
    metrics = Metrics()
    await metrics.scrape()
    await asyncio.sleep(REST_SHARE * TAKES_S)
    asked_s = now_s()
    assert (await metrics.scrape())[1] == pytest.approx(asked_s + TAKES_S)


async def test_one_who_asked_and_left_takes_it_from_nobody_else():
    metrics = Metrics()
    leaving, staying = (asyncio.create_task(metrics.scrape()) for _ in range(2))
    await asyncio.sleep(TAKES_S / 2)
    leaving.cancel()
    assert (await staying)[0] == 0


async def test_a_rendering_that_fails_fails_for_those_who_waited_for_it_alone():
    metrics = Metrics()
    working, metrics.exposition._render = metrics.exposition._render, broken
    with pytest.raises(ZeroDivisionError):
        await metrics.scrape()
    metrics.exposition._render = working
    assert (await metrics.scrape())[0] == 0


async def broken(_):
    raise ZeroDivisionError
