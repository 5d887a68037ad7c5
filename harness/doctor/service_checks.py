"""The checks of what only the service needs: PyTorch, a compiler, CUDA, and what it offers where it runs."""

import re
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from tailgate.harness.doctor.check import Judged, State
from tailgate.harness.doctor.facts import Facts

INSTALL = "pip install -U 'tailgate[service]'"
TOGETHER = "install both at once, from one index: pip install -U torch torchvision"


def service(facts: Facts) -> Judged:
    """Judge whether the packages of the service are there, in versions that tailgate takes."""
    if len(facts.missing) > 0 and "torch" not in facts.packages:
        return State.OK, "not installed; the gate needs none of it", ""
    if facts.missing:
        return State.FAIL, f"lacks {', '.join(facts.missing)}", INSTALL
    if facts.outside:
        return State.FAIL, "; ".join(facts.outside), INSTALL
    return State.OK, "all that it needs is installed", ""


def pair(facts: Facts) -> Judged:
    """Judge whether torch and torchvision are of one build, which only importing them would tell else."""
    torch, vision = (facts.packages.get(name) for name in ("torch", "torchvision"))
    if facts.trial is not None and facts.trial.error:
        return State.FAIL, f"importing them fails: {facts.trial.error}", TOGETHER
    if torch is None or vision is None:
        return State.OK, "one of them is not installed", ""
    found = f"torch {torch.version}, torchvision {vision.version}"
    needs = [Requirement(text) for text in vision.requires if re.match(r"torch\b(?!-)", text)]
    unmet = [one for one in needs if not one.specifier.contains(torch.version, prereleases=True)]
    if unmet:
        return State.FAIL, f"{found}, which needs torch{unmet[0].specifier}", TOGETHER
    builds = [Version(one.version).local for one in (torch, vision)]
    if None not in builds and builds[0] != builds[1]:
        return State.FAIL, f"{found}: two builds, of which one lacks the other's operators", TOGETHER
    if builds[0] != builds[1]:
        return (
            State.REMARK,
            f"{found}: they may be of two builds",
            f"tailgate doctor --torch tells; if it fails: {TOGETHER}",
        )
    return State.OK, found, ""


def compiler(facts: Facts) -> Judged:
    """Judge whether a model can be compiled."""
    if "torch" not in facts.packages or facts.compiler is not None:
        return State.OK, facts.compiler or "not needed without PyTorch", ""
    return (
        State.REMARK,
        "no C++ compiler: tailgate compile will fail, and the service runs the model without it",
        "install g++, or set CXX to one",
    )


def cuda(facts: Facts) -> Judged:
    """Judge whether driver, devices and the build of PyTorch fit each other."""
    why, mend = _unusable(facts)
    if facts.trial is not None and facts.trial.cuda is False and not why and facts.gpu.devices:
        why, mend = (
            "PyTorch does not find the GPU",
            "python -c 'import torch; torch.zeros(1).cuda()' says why",
        )
    wanted = facts.device_asked == "cuda"
    if why and (wanted or facts.gpu.nodes or facts.gpu.devices):
        return State.FAIL if wanted else State.REMARK, why + (", and TAILGATE_DEVICE=cuda" * wanted), mend
    if why:
        return State.OK, f"{why}: served on the CPU", ""
    count = facts.gpu.devices
    return (
        State.OK,
        f"{count} device{'s' if count > 1 else ''}, the driver knows CUDA {_version(facts.gpu.driver_cuda)}",
        "",
    )


def _unusable(facts: Facts) -> tuple[str, str]:
    """Return why no model can run on a GPU, and what to do; two empty texts where one can."""
    gpu, built = facts.gpu, facts.torch_cuda
    if gpu.driver_cuda is None:
        mend = "install the driver; in a container, start it with --gpus=all"
        return (
            ("a GPU without its driver", mend)
            if gpu.nodes
            else ("no GPU", "measure on a machine that has one")
        )
    if gpu.devices == 0:
        return "the driver finds no device", "look at nvidia-smi, and at CUDA_VISIBLE_DEVICES"
    if "torch" not in facts.packages:
        return "", ""
    if built is None:
        return "PyTorch was built without CUDA", "install its CUDA build: pip install -U torch torchvision"
    # Within one major version an older driver runs a newer minor one (CUDA, "minor version compatibility").
    if built[0] > gpu.driver_cuda[0]:
        return (
            f"the driver knows CUDA {_version(gpu.driver_cuda)}, and PyTorch was built for {_version(built)}",
            f"update the driver, or install a PyTorch for CUDA {gpu.driver_cuda[0]}",
        )
    return "", ""


def _version(version: tuple[int, int] | None) -> str:
    return "?" if version is None else f"{version[0]}.{version[1]}"


def offers(facts: Facts) -> Judged:
    """Judge what the service has measured of itself, where it runs."""
    if facts.served is None:
        return State.OK, f"none: no service answers on {facts.port}", ""
    offer: Any = facts.served.get("precision_offer")
    engine: Any = facts.served.get("engine")
    if isinstance(offer, dict) and {"set", "fp32_per_s", "bf16_per_s", "largest_error"} <= offer.keys():
        return (
            State.REMARK,
            (
                f"BF16 serves {offer['bf16_per_s']} inputs/s in place of {offer['fp32_per_s']}, with an error of at most "
                f"{offer['largest_error']}"
            ),
            f"{offer['set']}, if such an error does no harm",
        )
    if isinstance(engine, dict) and engine.get("executor") == "eager" and engine.get("device") == "cpu":
        return (
            State.REMARK,
            "the model runs as it is: there is no compiled version of it",
            "tailgate compile with the service's options; at start the service times both",
        )
    return State.OK, "nothing would be better than what runs", ""
