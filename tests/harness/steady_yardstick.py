"""A stand-in for the yardstick, for whoever measures no machine."""

import contextlib

from tailgate.harness.observe import yardstick
from tailgate.harness.results.yardstick import Yardstick


class SteadyYardstick(contextlib.nullcontext):
    """A yardstick that takes no time, and says the same each time."""

    def __init__(self):
        super().__init__(self)

    def read(self, _length=yardstick.SHORT):
        return Yardstick(0.010, 0.0099, 0.0101, 60)
