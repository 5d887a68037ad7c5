"""What was found out about this machine and environment; None where it could not be told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution: its version, and what it says it needs."""

    version: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """PyTorch and torchvision, imported in a process of their own."""

    error: str  # last line of what went wrong; empty where both work together
    cuda: bool | None  # whether PyTorch can use a GPU


@dataclass(frozen=True, slots=True)
class Gpu:
    """What the driver says; versions of CUDA as (major, minor)."""

    devices: int  # that a process of this environment may use
    driver_cuda: tuple[int, int] | None  # the newest CUDA that the driver knows; None without a driver
    nodes: bool  # whether the system has device files of NVIDIA


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that results are written to."""

    folder: Path
    error: str  # why nothing can be written there; empty where it can
    sync_s: float | None  # to write a little and have it on the disk
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    packages: Mapping[str, Package]  # of the service, by name; those that are installed
    missing: tuple[str, ...]  # modules that the service needs
    outside: tuple[
        str, ...
    ]  # installed packages of a version that tailgate does not take: "torch 2.4, needs >=2.11"
    torch_cuda: tuple[int, int] | None  # the CUDA that PyTorch was built for
    trial: Trial | None  # None where nobody asked for it
    compiler: str | None  # C++, by its path
    gpu: Gpu
    processors: int
    quota: float | None  # processors that the control group allows
    load_1min: float
    steal_share: float | None
    memory_available_bytes: int
    disk: Disk
    files: tuple[int, int]  # soft and hard limit; -1 for none
    files_needed: int  # that the load generator may have open
    loopback_error: str  # why no port of this machine's own address can be had; empty where one can
    port: int  # of tailgate serve
    port_taken: bool
    served: Mapping[str, Any] | None  # what tailgate's service says of itself there; None where it is none
    run_here: bool  # a run of the folder of results goes on
    runs: tuple[str, ...]  # processes of all runs on this machine that can be seen
    device_asked: str  # TAILGATE_DEVICE
