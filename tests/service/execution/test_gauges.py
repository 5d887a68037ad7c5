"""The gauges of the GPU that the service computes on, over a driver's library that is the test's."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tailgate.service.execution.gauges import gpu_gauges


class NVMLError(Exception):
    """As pynvml's."""


@pytest.fixture
def driver(monkeypatch):
    """Two devices, of which CUDA_VISIBLE_DEVICES may show the second one alone, as CUDA's first."""
    module = ModuleType("pynvml")
    used = {"GPU-aa-00": 1, "GPU-bb-11": 2}
    module.NVMLError, module.used = NVMLError, used
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = lambda uuid: uuid if uuid in used else fail()
    module.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(used=used[handle])
    module.nvmlDeviceGetUtilizationRates = lambda handle: SimpleNamespace(gpu=25)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def fail(*_):
    raise NVMLError


def test_the_gauges_are_of_the_device_that_is_computed_on_wherever_it_stands(driver):
    values = {gauge.name: gauge.value for gauge in gpu_gauges("bb-11")()}
    assert values == {"tailgate_gpu_utilization_ratio": 0.25, "tailgate_gpu_memory_used_bytes": 2.0}


def test_a_driver_that_stops_telling_leaves_the_gauges_out(driver):
    read = gpu_gauges("aa-00")
    driver.nvmlDeviceGetUtilizationRates = fail
    assert list(read()) == []


@pytest.mark.parametrize("missing", ["package", "device"])
def test_without_a_driver_or_its_package_there_are_no_gauges_and_that_is_said_once(
    driver, monkeypatch, missing
):
    if missing == "package":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    with capture_logs() as log:
        read = gpu_gauges("cc-22")
        assert list(read()) == list(read()) == []
    assert [entry["log_level"] for entry in log] == ["warning"]
