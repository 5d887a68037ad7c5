"""Modules put together in a line, as users put theirs together."""

from torch import nn


class Function(nn.Module):
    """What a function makes of a batch, and of modules that are parts."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, batch):
        return self.function(batch, *self.parts)


class AlwaysTraining(nn.Module):
    """A wrapper that puts back into training mode what eval() takes out of it, as some do by mistake."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def train(self, mode=True):  # noqa: FBT002 - PyTorch's own signature
        super().train(mode)
        self.layers.train()
        return self

    def forward(self, batch):
        return self.layers(batch)
