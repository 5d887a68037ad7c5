"""Models small enough to be built in each test, by the names that ``TAILGATE_MODEL`` takes: ``tiny_models:doubler``."""

import logging
import os
import sys
import threading

import numpy as np
import torch
from torch import nn

from tailgate.service.models import ImageInput, Model, TensorSpec

FOUR_FLOATS = TensorSpec((4,), np.dtype(np.float32))
COLOURS = ("red", "green", "blue")
# Inputs that start with these numbers make the models below do something.
POISON, HOLD = 13.0, 7.0


class Doubler(nn.Module):
    """Twice its input; fails on a batch with an input that starts with POISON."""

    def forward(self, batch):
        if bool((batch[:, 0] == POISON).any()):
            raise RuntimeError("poison")
        return batch * 2


class MeanColour(nn.Module):
    """Ten times the mean red, green and blue as logits."""

    def forward(self, batch):
        return batch.mean((2, 3)) * 10


class Gate(nn.Module):
    """Twice its input, as long as it is open; a run waits otherwise. ``entered`` counts the runs that wait."""

    def __init__(self):
        super().__init__()
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.opened.set()

    def forward(self, batch):
        if not self.opened.is_set():
            self.entered.release()
            assert self.opened.wait(30)
        return batch * 2


class HeldByPipe(nn.Module):
    """Twice its input; an input that starts with HOLD says so on one pipe and waits for a byte on the other."""

    def forward(self, batch):
        if bool((batch[:, 0] == HOLD).any()):
            os.write(int(os.environ["TINY_SAY_FD"]), b".")
            os.read(int(os.environ["TINY_HOLD_FD"]), 1)
        return batch * 2


class Talker(nn.Module):
    """Twice its input; an input that starts with POISON has it say much, in the two ways that models do.

    It keeps a handler of the process's own standard error, as libraries do that were imported early.
    """

    def __init__(self):
        super().__init__()
        self.handler = logging.StreamHandler(sys.__stderr__)

    def forward(self, batch):
        if bool((batch[:, 0] == POISON).any()):
            logging.getLogger("talker").error("x" * 100_000)
            sys.stderr.write("y" * 100_000 + "\n")
        return batch * 2


def doubler():
    return Model("doubler", Doubler(), "none", input=FOUR_FLOATS)


def talker():
    return Model("talker", Talker(), "none", input=FOUR_FLOATS)


def passing():
    return Model("passing", nn.Identity(), "none", input=FOUR_FLOATS)


def colours():
    image = ImageInput(8, crop=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Model("colours", MeanColour(), "none", image=image, labels=COLOURS)


def unlabelled():
    image = ImageInput(8, crop=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Model("unlabelled", MeanColour(), "none", image=image)


def small_bytes():
    return Model("small_bytes", nn.Flatten(), "none", input=TensorSpec((2, 2), np.dtype(np.uint8)))


def perceptron():
    return Model(
        "perceptron",
        nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)),
        "random (seed 0)",
        input=FOUR_FLOATS,
        labels=COLOURS,
    )


def miscounted_labels():
    return Model("miscounted", nn.Linear(4, 5), "none", input=FOUR_FLOATS, labels=COLOURS)


class Collapse(nn.Module):
    """One row for a whole batch."""

    def forward(self, batch):
        return batch.sum(0, keepdim=True)


def collapsing():
    return Model("collapsing", Collapse(), "none", input=FOUR_FLOATS)


def wrong_input():
    return Model("wrong_input", nn.Linear(3, 3), "none", input=FOUR_FLOATS)


def convolution():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def sized(settings):
    image = ImageInput(settings.input_size or 8)
    return Model("sized", MeanColour(), "none", image=image)


class Cramped(nn.Module):
    """Twice its input; out of memory for a batch of more than two with an input that starts with HOLD."""

    def forward(self, batch):
        if len(batch) > 2 and bool((batch[:, 0] == HOLD).any()):
            raise torch.OutOfMemoryError("tried to allocate more than there is")
        return batch * 2


class Reciprocal(nn.Module):
    """One over its input: infinite for zeros."""

    def forward(self, batch):
        return 1 / batch


def reciprocal():
    return Model("reciprocal", Reciprocal(), "none", input=FOUR_FLOATS)


def cramped():
    return Model("cramped", Cramped(), "none", input=FOUR_FLOATS)


def not_a_model():
    return "a string"


def lost_module():
    return Model("lost", lambda batch: batch, "none", input=FOUR_FLOATS)


held_by_pipe_model = Model("held", HeldByPipe(), "none", input=FOUR_FLOATS)


def held_by_pipe():
    return held_by_pipe_model


def held_in_build():
    """Say that the build has begun, and wait for a byte."""
    os.write(int(os.environ["TINY_SAY_FD"]), b".")
    os.read(int(os.environ["TINY_HOLD_FD"]), 1)
    return doubler()


class Narrow(nn.Module):
    """A batch norm, for batches that are not too large."""

    def __init__(self, room):
        super().__init__()
        self.room, self.norm = room, nn.BatchNorm1d(4)

    def forward(self, batch):
        if len(batch) > self.room:
            raise RuntimeError(f"a batch of {len(batch)}, and there is room for {self.room}")
        return self.norm(batch)


def at_most_1():
    return Model("narrow", Narrow(1), "none", input=FOUR_FLOATS)


def at_most_3():
    return Model("narrow", Narrow(3), "none", input=FOUR_FLOATS)


def wide():
    return Model("wide", nn.Identity(), "none", input=TensorSpec((1, 300_000), np.dtype(np.float32)))
