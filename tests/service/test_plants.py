"""A planted slowdown answers as the model does, and only takes longer."""

import torch
from planted import Again, three_times

from service.settings import load_settings


def test_three_times_the_work_gives_the_same_answers():
    planted = three_times(load_settings({}))
    assert isinstance(planted.module, Again)
    batch = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(planted.module(batch), planted.module.module(batch))


def test_the_work_is_done_as_often_as_it_says():
    calls = []
    again = Again(torch.nn.Identity(), 3)
    again.module.register_forward_hook(lambda *_: calls.append(1))
    again(torch.zeros(1))
    assert len(calls) == 3
