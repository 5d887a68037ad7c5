"""Find the model that ``TAILGATE_MODEL`` names: demo, torchvision:NAME, or package.module:factory."""

import dataclasses
import difflib
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tailgate.service.errors import ConfigurationError
from tailgate.service.models import demo
from tailgate.service.models.spec import ImageInput, Model
from tailgate.service.models.weights import apply_state, existing_file, read_state
from tailgate.service.models.zoo import classifiers
from tailgate.service.settings import Settings

DEMO = "demo"
TORCHVISION = "torchvision:"
RANDOM = "random"


def load_model(settings: Settings) -> Model:
    """Return the model in evaluation mode, on the CPU, in FP32, or in FP64 where it came so.

    Raises:
        ConfigurationError: there is no such model, or its weights do not fit or cannot be had.
    """
    name = settings.model
    if settings.weights_sha256 is not None and existing_file(settings.weights or "") is None:
        raise ConfigurationError("TAILGATE_WEIGHTS_SHA256: there is no weights file to check")
    if name == DEMO:
        model = demo.load()
    elif name.startswith(TORCHVISION):
        model = _from_torchvision(name.removeprefix(TORCHVISION), settings)
    elif ":" in name:
        model = _from_factory(name, settings)
    else:
        raise ConfigurationError(
            f"TAILGATE_MODEL: expected demo, torchvision:NAME or package.module:factory, got {name!r}"
        )
    _freeze(model.module)
    return _with_settings(model, settings)


def has_known_code(name: str) -> bool:
    """Tell whether a model, as ``TAILGATE_MODEL`` names it, comes with tailgate or torchvision."""
    return name == DEMO or name.startswith(TORCHVISION)


def _freeze(module: nn.Module) -> None:
    """Put a module into evaluation mode, on the CPU, in FP32 or FP64, without gradients.

    One parameter at a time, since TorchScript has no ``requires_grad_``.
    """
    for parameter in module.parameters():
        parameter.requires_grad = False
    _evaluate(module)
    module.cpu()
    kinds = _floating_types(module)
    if kinds and kinds <= {torch.float16, torch.bfloat16}:
        module.float()


def _evaluate(module: nn.Module) -> None:
    try:
        module.eval()
    except NotImplementedError:  # of an exported graph among the parts, whose mode is fixed
        module.training = False
        for child in module.children():
            _evaluate(child)


def _floating_types(module: nn.Module) -> set[torch.dtype]:
    tensors = (*module.parameters(), *module.buffers())
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


def own_type(model: Model) -> torch.dtype:
    """Return the type that a model as it came computes in: FP64 where all of it is, else FP32."""
    types = _floating_types(model.module)
    wide = types == {torch.float64} or (not types and model.item.dtype == np.float64)
    return torch.float64 if wide else torch.float32


def _with_settings(model: Model, settings: Settings) -> Model:
    if settings.weights is not None and not settings.model.startswith(TORCHVISION):
        path = existing_file(settings.weights)
        if path is None:
            raise ConfigurationError(
                f"TAILGATE_WEIGHTS: {settings.model} takes a file, and there is none at {settings.weights!r}"
            )
        apply_state(model.module, read_state(path, settings.weights_sha256), path.name)
        model = dataclasses.replace(model, weights=path.name)
    if settings.input_size is not None:
        if model.image is None:
            raise ConfigurationError(
                f"TAILGATE_INPUT_SIZE: model {model.name} takes {model.item}, not images"
            )
        model = dataclasses.replace(model, image=dataclasses.replace(model.image, size=settings.input_size))
    return model


def _from_torchvision(name: str, settings: Settings) -> Model:
    zoo = classifiers()
    known = zoo.list_models(module=zoo)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigurationError(
            f"TAILGATE_MODEL: torchvision has no classifier {name!r}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    published = zoo.get_model_weights(name)
    torch.manual_seed(settings.seed)
    wanted = settings.weights or RANDOM
    path = existing_file(wanted)
    if path is not None:
        chosen, module, source = _from_file(name, published, path, settings.weights_sha256)
    elif wanted != RANDOM:
        chosen, module = _published(name, published, wanted)
        source = f"{chosen} of torchvision"
    else:
        chosen, source = published.DEFAULT, f"random (seed {settings.seed})"
        module = zoo.get_model(name, weights=None, **_options(name, chosen, {}))
    recipe = chosen.transforms()
    size, resize = recipe.crop_size[0], recipe.resize_size[0]
    image = ImageInput(
        size,
        crop=size / resize,
        mean=tuple(recipe.mean),
        std=tuple(recipe.std),
        resampling=recipe.interpolation.value,
    )
    labels = tuple(chosen.meta["categories"])
    return Model(name=TORCHVISION + name, module=module, weights=source, image=image, labels=labels)


def _from_file(name: str, published: Any, path: Path, sha256: str | None) -> tuple[Any, nn.Module, str]:
    """Build a model for the weights in a file, as torchvision does for weights by name.

    The address of published weights holds the first digits of their SHA-256. A file with those digits is preprocessed as
    that version, any other file as the default version.
    """
    zoo = classifiers()
    state = read_state(path, sha256)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known = [weights for weights in published if digest.startswith(_digits(weights.url))]
    chosen = known[0] if known else published.DEFAULT
    module = zoo.get_model(name, weights=None, **_options(name, chosen, state))
    apply_state(module, state, path.name)
    return chosen, module, f"{path.name} ({known[0]} of torchvision)" if known else path.name


def _digits(url: str) -> str:
    """Return the digest in the address of published weights: ``…/resnet50-0676ba61.pth``."""
    return Path(url).stem.rpartition("-")[2]


def _options(name: str, chosen: Any, state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return what torchvision's builders set by themselves, but only for published weights."""
    if name in ("googlenet", "inception_v3"):
        # Trained on inputs in -1..1, which transform_input makes. Auxiliary heads may have been cut off.
        auxiliary = any(key.startswith(("aux", "AuxLogits")) for key in state)
        return {"transform_input": True, "aux_logits": auxiliary, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": chosen.meta["min_size"][0]}
    return {}


def _published(name: str, published: Any, wanted: str) -> tuple[Any, nn.Module]:
    zoo = classifiers()
    if wanted not in published.__members__:
        raise ConfigurationError(
            f"TAILGATE_WEIGHTS: neither a file nor weights of {name}, got {wanted!r}; "
            f"there are {', '.join(published.__members__)} and {RANDOM}"
        )
    try:
        return published[wanted], zoo.get_model(name, weights=published[wanted])
    except OSError as error:  # URLError is one
        raise ConfigurationError(
            f"TAILGATE_WEIGHTS: {wanted} of {name} could not be downloaded ({error}); "
            f"give a file, or {RANDOM} to run without trained weights"
        ) from None


def _from_factory(name: str, settings: Settings) -> Model:
    module_name, _, attribute = name.partition(":")
    if sys.flags.safe_path and str(Path.cwd()) not in sys.path:
        # Last instead of first: a factory may stand in the working directory, and a folder called service too.
        sys.path.append(str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"TAILGATE_MODEL: cannot import {name!r}: {error}") from None
    if not callable(factory):
        raise ConfigurationError(
            f"TAILGATE_MODEL: {name!r} is a {type(factory).__name__}, expected a function"
        )
    torch.manual_seed(settings.seed)
    made = _call(factory, settings)
    if isinstance(made, nn.Module):
        return Model(name, made, "the factory's own", image=ImageInput(224), assumed=True)
    if not isinstance(made, Model) or not isinstance(made.module, nn.Module):
        got = f"a Model of {_type(made.module)}" if isinstance(made, Model) else _type(made)
        raise ConfigurationError(
            f"TAILGATE_MODEL: {name!r} returned {got}, expected a torch.nn.Module or a service.models.Model of one; "
            "the module of an exported program is its module()"
        )
    return made


def _type(value: object) -> str:
    return type(value).__name__


def _call(factory: Callable[..., object], settings: Settings) -> object:
    """Call a factory, with the settings where it has a parameter of that name."""
    try:
        wants_settings = "settings" in inspect.signature(factory).parameters
    except ValueError:  # some callables of C have no signature
        wants_settings = False
    return factory(settings=settings) if wants_settings else factory()
