"""A planted regression answers as the model does, and only costs more."""

import functools
import threading
import time

import planted
import pytest
import torch
from extra_work import Again, Leaking, More, MoreOfAll, StallEvery, burn
from torch import nn

from tailgate.service.models.folding import fold_batch_norm
from tailgate.service.models.load import load_model
from tailgate.service.settings import load_settings

SIDE = 64
NAMES = ("unchanged", "more_2", "more_5", "more_10", "all_5", "all_10", "stall", "leak", "slow_start")


def settings(model):
    return load_settings({"TAILGATE_MODEL": model, "TAILGATE_INPUT_SIZE": str(SIDE)})


@pytest.fixture(scope="module")
def mobilenet():
    """Return MobileNetV3-small as the service folds it."""
    module = load_model(settings(planted.MOBILENET)).module
    return fold_batch_norm(module, torch.zeros(2, 3, SIDE, SIDE))


@pytest.fixture(scope="module")
def plant():
    """Return a function that gives the plant of a name, which is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planted, "burn", lambda _: None)
        yield functools.cache(lambda name: load_model(settings(f"planted:{name}")))


def in_another_thread(module, batches):
    def run():
        with torch.inference_mode():
            for batch in batches:
                module(batch)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_a_plant_gives_the_same_answers_to_the_last_bit(mobilenet, plant, name):
    made = plant(name)
    assert made.image.size == SIDE
    with torch.inference_mode():
        for rows in (1, 3):
            batch = torch.rand(rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(rows))
            assert torch.equal(made.module(batch), mobilenet(batch))


@pytest.mark.parametrize("name", NAMES)
def test_a_plant_is_folded_as_the_service_folds_the_model_without_it(plant, name):
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plant(name).module.modules())


@pytest.mark.parametrize(
    ("name", "share"),
    [("more_2", 0.02), ("more_5", 0.05), ("more_10", 0.10), ("all_5", 0.05), ("all_10", 0.10)],
)
def test_the_share_of_work_is_what_the_name_says(plant, name, share):
    assert plant(name).module.share == share


def test_more_work_is_a_share_of_the_work_and_what_was_too_much_comes_off_the_next(monkeypatch):
    now_s, asked = [0.0], []

    class Working(nn.Module):
        def forward(self, batch):
            now_s[0] += 1.0
            return batch

    def burn_late(seconds):
        asked.append(seconds)
        now_s[0] += max(0.0, seconds) + 0.03

    monkeypatch.setattr("extra_work.burn", burn_late)
    monkeypatch.setattr(time, "thread_time", lambda: now_s[0])
    module = More(Working(), 0.05)
    for _ in range(100):
        module(torch.zeros(1))
    assert asked[:3] == pytest.approx([0.05, 0.02, 0.02])
    assert now_s[0] == pytest.approx(105.0, abs=0.04)


def test_more_of_all_work_is_a_share_of_what_other_threads_did_too(monkeypatch):
    # Processor time of this thread, and of the others.
    own_s, others_s = [0.0], [7.0]

    class Working(nn.Module):
        def forward(self, batch):
            own_s[0] += 1.0
            return batch

    def burn_late(seconds):
        own_s[0] += max(0.0, seconds) + 0.03
        others_s[0] += 0.5

    monkeypatch.setattr("extra_work.burn", burn_late)
    monkeypatch.setattr(time, "thread_time", lambda: own_s[0])
    monkeypatch.setattr(time, "process_time", lambda: own_s[0] + others_s[0])
    module = MoreOfAll(Working(), 0.10)
    module(torch.zeros(1))
    begun_s = own_s[0] + others_s[0]
    for _ in range(100):
        others_s[0] += 0.5
        module(torch.zeros(1))
    # A batch costs 2 s, of which the model is half; the last burning is not reckoned yet.
    assert own_s[0] + others_s[0] - begun_s == pytest.approx(100 * 2 * 1.10, rel=0.002)


def test_three_times_the_work_gives_the_same_answers():
    made = planted.three_times(load_settings({}))
    assert isinstance(made.module, Again)
    batch = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(made.module(batch), made.module.module(batch))


def test_the_work_is_done_as_often_as_it_says():
    seen = []
    again = Again(torch.nn.Identity(), 3)
    again.module.register_forward_hook(lambda *_: seen.append(1))
    again(torch.zeros(1))
    assert len(seen) == 3


def test_one_input_in_fifty_stalls_whatever_the_batches(monkeypatch):
    stalls = []
    monkeypatch.setattr("extra_work.burn", stalls.append)
    for sizes in ([1] * 149, [7] * 21 + [2], [149], [49, 1, 49, 1, 49]):
        stalls.clear()
        module = StallEvery(nn.Identity(), 50, 0.05)
        in_another_thread(module, [torch.zeros(size, 1) for size in sizes])
        # A batch of 149 holds two of them, and works longer once: no batch stalls twice.
        assert stalls == [0.05] * (1 if sizes == [149] else 2)


def test_warm_up_neither_stalls_nor_counts(monkeypatch):
    stalls = []
    monkeypatch.setattr("extra_work.burn", stalls.append)
    module = StallEvery(nn.Identity(), 50, 0.05)
    module(torch.zeros(500, 1))
    in_another_thread(module, [torch.zeros(49, 1)])
    assert stalls == []


def test_a_leak_grows_with_every_input():
    module = Leaking(nn.Identity(), 1000)
    for rows in (1, 4):
        module(torch.zeros(rows, 1))
    assert [len(kept) for kept in module.kept] == [1000, 4000]


def test_a_slow_start_uses_a_share_of_what_the_process_used_before(monkeypatch):
    burnt = []
    monkeypatch.setattr(planted, "burn", burnt.append)
    monkeypatch.setattr(time, "process_time", lambda: 10.0)
    planted.slow_start(settings("planted:slow_start"))
    assert burnt == [10.0 * planted.SLOWER_START]


def test_burning_uses_the_processor_time_it_is_told():
    before_s = time.thread_time()
    burn(0.01)
    assert time.thread_time() - before_s >= 0.01
