"""Models whose batches take as long as a test says, on a clock that only they move."""

from torch import nn


class Clock:
    """Time that passes when somebody says so."""

    def __init__(self):
        self.now_s = 0.0

    def perf_counter(self):
        return self.now_s


class Costly(nn.Module):
    """Twice its input, at a cost."""

    def __init__(self, clock, cost_s):
        super().__init__()
        self.clock, self.cost_s = clock, cost_s
        self.sizes = []

    def forward(self, batch):
        self.sizes.append(len(batch))
        self.clock.now_s += self.cost_s(len(batch))
        return batch * 2
