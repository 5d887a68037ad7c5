"""What is served and what is sent: a model, and the body of one request."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.environments import CACHE

OCTETS, JPEG = "application/octet-stream", "image/jpeg"
SIDE = 64
CAP = 32


@dataclass(frozen=True, slots=True)
class Workload:
    """One model with one request, the same for every server."""

    name: str  # for tables and JSON
    environment: Mapping[
        str, str
    ]  # the settings that choose the model, for tailgate and for :mod:`benchmarks.peers.predictor`
    body: bytes  # of a request
    content_type: str = OCTETS  # of the body
    tailgate_environment: Mapping[str, str] = field(
        default_factory=dict
    )  # further settings for tailgate alone
    peer_environment: Mapping[str, str] = field(default_factory=dict)  # further settings for the peers
    compile_ahead: bool = False  # compile tailgate's model before it is started
    stretch: float = 1.0  # how much longer than others it is measured, because its batches take longer


# One thread for the model everywhere: the server has one processor, and the limit is a limit on one thread.
_COMMON = {
    "TAILGATE_THREADS": "1",
    "TAILGATE_DEVICE": "cpu",
    "TAILGATE_MAX_BATCH_SIZE": str(CAP),
    "TAILGATE_EXECUTOR": "eager",
    "TAILGATE_CACHE_DIR": str(CACHE / "compiled"),
}
_MOBILENET = _COMMON | {
    "TAILGATE_MODEL": "torchvision:mobilenet_v3_small",
    "TAILGATE_INPUT_SIZE": str(SIDE),
    "TAILGATE_WEIGHTS": "random",
}


def pixels() -> bytes:
    """Return 64 × 64 × 3 seeded bytes."""
    return np.random.default_rng(0).integers(0, 256, SIDE * SIDE * 3, dtype=np.uint8).tobytes()


def photograph() -> bytes:
    """Return scikit-image's cat, 451 × 300 pixels, as a JPEG of about 30 KB."""
    from PIL import Image  # noqa: PLC0415 - both are extras
    from skimage.data import chelsea  # noqa: PLC0415

    file = io.BytesIO()
    Image.fromarray(chelsea()).save(file, "JPEG", quality=90)  # type: ignore[no-untyped-call]
    return file.getvalue()


def noop() -> Workload:
    """Return the workload whose model does nothing, which shows the server's own cost."""
    return Workload("noop", _COMMON | {"TAILGATE_MODEL": "benchmarks.models:noop"}, pixels())


def elsewhere(cap: int = CAP) -> Workload:
    """Return the workload whose model computes on a device of its own, for tailgate alone."""
    settings = {"TAILGATE_MODEL": "benchmarks.models:elsewhere", "TAILGATE_MAX_BATCH_SIZE": str(cap)}
    return Workload("elsewhere", _COMMON | settings, pixels())


def mobilenet(executor: str = "eager", cap: int = CAP) -> Workload:
    """Return MobileNetV3-small at 64 pixels from raw bytes; every server runs tailgate's executor."""
    settings = {"TAILGATE_EXECUTOR": executor, "TAILGATE_MAX_BATCH_SIZE": str(cap)}
    return Workload("mobilenet", _MOBILENET | settings, pixels())


def mobilenet_best() -> Workload:
    """Return the same with each server at its own best: tailgate compiled, the peers with PyTorch as it is."""
    return Workload(
        "mobilenet-best",
        _MOBILENET,
        pixels(),
        tailgate_environment={"TAILGATE_EXECUTOR": "auto"},
        peer_environment={"BENCH_EXECUTOR": "plain"},
        compile_ahead=True,
    )


def photo() -> Workload:
    """Return the demonstration model from a JPEG."""
    return Workload("photo", _COMMON | {"TAILGATE_MODEL": "demo"}, photograph(), JPEG, stretch=2.5)


def photo_best() -> Workload:
    """Return the same with each server at its own best: the peers with Pillow, torchvision and PyTorch as they are."""
    return replace(
        photo(),
        name="photo-best",
        tailgate_environment={"TAILGATE_EXECUTOR": "auto"},
        peer_environment={"BENCH_EXECUTOR": "plain"},
        compile_ahead=True,
    )


WORKLOADS = {
    "noop": noop,
    "mobilenet": mobilenet,
    "mobilenet-best": mobilenet_best,
    "photo": photo,
    "photo-best": photo_best,
}
