"""CUDA devices are counted by the driver, which need not be there."""

import ctypes

import pytest

from tailgate.harness.observe import machine


class Driver:
    """The two functions that are asked, with set answers."""

    def __init__(self, status, count):
        self.status, self.count = status, count

    def cuInit(self, flags):  # noqa: N802 - the driver's name
        assert flags == 0
        return self.status

    def cuDeviceGetCount(self, count):  # noqa: N802 - the driver's name
        count._obj.value = self.count
        return 0


@pytest.mark.parametrize(("status", "count", "expected"), [(0, 2, 2), (0, 0, 0), (100, 2, 0)])
def test_devices_are_those_that_the_driver_counts(monkeypatch, status, count, expected):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(status, count))
    assert machine.cuda_devices() == expected


def test_without_a_driver_there_is_none(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert machine.cuda_devices() == 0
