"""Each check of the doctor, by facts that are made up: what is fine, what is worth a remark, what will fail."""

import dataclasses
from pathlib import Path

import pytest

from tailgate.harness.doctor.check import State
from tailgate.harness.doctor.checks import CHECKS, checked
from tailgate.harness.doctor.facts import Disk, Facts, Gpu, Package, Trial

OFFER = {"set": "TAILGATE_PRECISION=bf16", "fp32_per_s": 100.0, "bf16_per_s": 190.0, "largest_error": 0.02}
HEALTHY = Facts(
    packages={
        "torch": Package("2.11.0+cu130"),
        "torchvision": Package("0.26.0+cu130", ("numpy", "torch (==2.11.0)", "torch-something>=9")),
    },
    missing=(),
    outside=(),
    torch_cuda=(13, 0),
    trial=None,
    compiler="/usr/bin/g++",
    gpu=Gpu(1, (13, 1), nodes=True),
    processors=8,
    quota=None,
    load_1min=0.5,
    steal_share=0.001,
    memory_available_bytes=8 * 2**30,
    disk=Disk(Path(".perf"), "", 0.004, 100 * 2**30),
    files=(1024, 1_048_576),
    files_needed=1536,
    loopback_error="",
    port=8000,
    port_taken=False,
    served=None,
    run_here=False,
    runs=(),
    device_asked="",
)
NO_GPU = Gpu(0, None, nodes=False)


def judged(name, **changes):
    """Return the check of this name, where some facts are others."""
    return next(one for one in checked(dataclasses.replace(HEALTHY, **changes)) if one.name == name)


def packages(**versions):
    needs = {"torchvision": ("torch==2.11.0",)}
    return {name: Package(version, needs.get(name, ())) for name, version in versions.items()}


def test_on_a_healthy_machine_all_is_fine_and_nothing_is_to_mend():
    found = checked(HEALTHY)
    assert [one.name for one in found] == list(CHECKS)
    assert {one.state for one in found} == {State.OK}
    assert not any(one.mend for one in found)
    assert all(one.found for one in found)


REMARKS = [
    ("processors", {"processors": 2}, "2: the load generator and the server share them"),
    ("processors", {"processors": 64, "quota": 1.5}, "64, by a quota 1.5 of them"),
    ("load", {"load_1min": 4.0}, "load 4 on 8 processors"),
    ("steal", {"steal_share": 0.15}, "the hypervisor took 15.0 %"),
    ("memory", {"memory_available_bytes": 2**29}, "512 MiB available"),
    ("disk", {"disk": Disk(Path(".perf"), "", 0.3, 2**40)}, "300 ms to sync: slow"),
    ("disk", {"disk": Disk(Path(".perf"), "", 0.01, 2**29)}, "512 MiB free"),
    ("torch", {"packages": packages(torch="2.11.0+cpu", torchvision="0.26.0")}, "may be of two builds"),
    ("compiler", {"compiler": None}, "no C++ compiler: tailgate compile will fail"),
    ("cuda", {"torch_cuda": None}, "PyTorch was built without CUDA"),
    ("cuda", {"gpu": Gpu(0, None, nodes=True)}, "a GPU without its driver"),
    ("cuda", {"gpu": Gpu(0, (13, 0), nodes=True)}, "the driver finds no device"),
    ("cuda", {"gpu": Gpu(1, (12, 4), nodes=True)}, "knows CUDA 12.4, and PyTorch was built for 13.0"),
    ("cuda", {"trial": Trial("", cuda=False)}, "PyTorch does not find the GPU"),
    ("ports", {"port_taken": True}, "another program listens on 8000"),
    ("runs", {"runs": ("process 7 in /a",)}, "another run is going on (process 7 in /a)"),
    ("offers", {"served": {"precision_offer": OFFER}}, "BF16 serves 190.0 inputs/s in place of 100.0"),
    ("offers", {"served": {"engine": {"executor": "eager", "device": "cpu"}}}, "no compiled version"),
]
FAILURES = [
    ("disk", {"disk": Disk(Path("/proc"), "Permission denied", None, None)}, "cannot be written into /proc"),
    ("disk", {"disk": Disk(Path(".perf"), "", 0.01, 2**20)}, "1.00 MiB free"),
    ("files", {"files": (256, 512)}, "256 open files, at most 512: the load generator may need 1536"),
    ("service", {"missing": ("fastapi",)}, "lacks fastapi"),
    ("service", {"outside": ("torch 2.4, needs >=2.11",)}, "torch 2.4, needs >=2.11"),
    ("torch", {"packages": packages(torch="2.12.0", torchvision="0.26.0")}, "which needs torch==2.11.0"),
    ("torch", {"packages": packages(torch="2.11.0+cpu", torchvision="0.26.0+cu130")}, "two builds"),
    ("torch", {"trial": Trial("RuntimeError: no operator nms", None)}, "RuntimeError: no operator nms"),
    ("cuda", {"gpu": NO_GPU, "device_asked": "cuda"}, "no GPU, and TAILGATE_DEVICE=cuda"),
    ("cuda", {"torch_cuda": None, "device_asked": "cuda"}, "built without CUDA, and TAILGATE_DEVICE=cuda"),
    ("ports", {"loopback_error": "Operation not permitted"}, "no port of 127.0.0.1 can be had"),
    ("runs", {"run_here": True}, "a run of .perf is going on: another would be refused"),
]
FINE = [
    ("processors", {"processors": 4}),
    ("processors", {"processors": 64, "quota": 4.0}),
    ("steal", {"steal_share": None}),
    ("files", {"files": (-1, -1)}),
    ("files", {"files": (64, 1536)}),
    ("service", {"missing": ("torch", "fastapi"), "packages": {}}),
    ("torch", {"packages": {}}),
    ("torch", {"packages": packages(torch="2.11.0+cpu", torchvision="0.26.0+cpu")}),
    ("torch", {"packages": packages(torch="2.11.0", torchvision="0.26.0")}),
    ("compiler", {"packages": {}, "compiler": None}),
    ("cuda", {"gpu": NO_GPU}),
    ("cuda", {"gpu": Gpu(2, (13, 0), nodes=True)}),
    ("cuda", {"gpu": Gpu(1, (12, 4), nodes=True), "torch_cuda": (12, 8)}),
    ("cuda", {"packages": {}, "torch_cuda": None}),
    ("ports", {"port_taken": True, "served": {"name": "tailgate"}}),
    ("offers", {"served": {"engine": {"executor": "compiled", "device": "cpu"}, "precision_offer": None}}),
    ("offers", {"served": {"engine": None}}),
    ("offers", {"served": {"precision_offer": {"set": "a form of a later version"}}}),
]


@pytest.mark.parametrize(("name", "changes", "said"), REMARKS)
def test_what_makes_figures_worth_less_is_a_remark_with_its_mending(name, changes, said):
    found = judged(name, **changes)
    assert (found.state, said in found.found) == (State.REMARK, True), found
    assert found.mend


@pytest.mark.parametrize(("name", "changes", "said"), FAILURES)
def test_what_will_fail_is_said_with_its_mending(name, changes, said):
    found = judged(name, **changes)
    assert (found.state, said in found.found) == (State.FAIL, True), found
    assert found.mend


@pytest.mark.parametrize(("name", "changes"), FINE)
def test_what_stands_in_nobodys_way_is_fine(name, changes):
    found = judged(name, **changes)
    assert (found.state, found.mend) == (State.OK, ""), found


def test_every_check_can_come_to_more_than_fine():
    assert {name for name, *_ in [*REMARKS, *FAILURES]} == set(CHECKS)


def test_facts_that_are_missing_altogether_break_no_check():
    bare = dataclasses.replace(
        HEALTHY,
        packages={},
        missing=("torch", "torchvision"),
        torch_cuda=None,
        compiler=None,
        gpu=NO_GPU,
        quota=None,
        steal_share=None,
        disk=Disk(Path(".perf"), "", None, None),
    )
    assert {one.state for one in checked(bare)} == {State.OK}
