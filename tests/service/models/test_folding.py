"""Folding batch norms leaves the answers as they were, or leaves the model alone."""

import pytest
import torch
from torch import nn
from torchvision import models as zoo

from tailgate.service.models.folding import fold_batch_norm


def settled(module):
    """Give batch norms statistics of their own, as training would."""
    generator = torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (child.running_mean, -0.1, 0.1),
                (child.running_var, 0.5, 1.5),
                (child.weight.data, 0.5, 1.5),
                (child.bias.data, -0.1, 0.1),
            ):
                tensor.uniform_(low, high, generator=generator)
    return module.eval()


def batch_norms(module):
    return sum(isinstance(child, nn.BatchNorm2d) for child in module.modules())


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf"]
)
@torch.no_grad()
def test_a_folded_network_has_no_batch_norms_and_the_same_answers(name):
    torch.manual_seed(0)
    module = settled(zoo.get_model(name))
    assert batch_norms(module) > 0
    before = module(example := torch.randn(2, 3, 64, 64))
    folded = fold_batch_norm(module, example)
    assert batch_norms(folded) == 0
    assert batch_norms(module) > 0
    other = torch.randn(3, 3, 64, 64)
    for given, expected in ((example, before), (other, module(other))):
        error = (folded(given) - expected).abs().max() / expected.abs().max()
        assert error < 1e-4


@torch.no_grad()
def test_a_batch_norm_that_follows_no_convolution_stays_and_the_answers_too():
    module = settled(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    example = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norm(module, example)
    torch.testing.assert_close(folded(example), module(example), atol=1e-5, rtol=1e-5)


class Untraceable(nn.Module):
    """Looks at its numbers, which a trace has none of."""

    def __init__(self, error=None):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.error = error

    def forward(self, batch):
        if self.error is not None and not isinstance(batch, torch.Tensor):
            raise self.error
        return self.layers(batch) if batch.sum() > 0 else self.layers(-batch)


@pytest.mark.parametrize("error", [None, ValueError("no"), IndexError(), AssertionError()])
@torch.no_grad()
def test_a_model_that_cannot_be_traced_is_served_as_it_came(error):
    module = Untraceable(error).eval()
    assert fold_batch_norm(module, torch.randn(2, 3, 8, 8)) is module


def test_a_model_without_batch_norms_is_not_touched():
    module = nn.Linear(2, 2)
    assert fold_batch_norm(module, torch.zeros(1, 2)) is module


class Branching(nn.Module):
    """Takes another way when it is traced, so that its folded form answers differently."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    def forward(self, batch):
        return self.layers(batch) if isinstance(batch, torch.Tensor) else self.layers(batch) * 2


@torch.no_grad()
def test_a_model_whose_folded_form_answers_differently_is_served_as_it_came():
    module = Branching().eval()
    assert fold_batch_norm(module, torch.randn(2, 3, 8, 8)) is module
