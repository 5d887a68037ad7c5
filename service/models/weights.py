"""Read a model's weights from a file, without running code from that file."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from tailgate.service.errors import ConfigurationError


def read_state(path: Path, sha256: str | None = None) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a safetensors file or of a state dict, by name.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote of a state dict (alone or under ``state_dict``).
        sha256: hexadecimal digest that the file must have, None for any.

    Raises:
        ConfigurationError: another digest, an unreadable file, or one that holds more than tensors.
    """
    if sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256.lower():
            raise ConfigurationError(f"weights {path.name}: SHA-256 is {digest}, expected {sha256.lower()}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise ConfigurationError(f"weights {path.name}: not a readable weights file: {error}") from None
    except Exception as error:  # noqa: BLE001 - weights_only raises pickle errors of many kinds
        raise ConfigurationError(
            f"weights {path.name}: either not a file of PyTorch's, or it holds more than tensors and loading it could run "
            f"code ({type(error).__name__}); save module.state_dict(), or convert it to safetensors"
        ) from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ConfigurationError(
            f"weights {path.name}: expected a state dict of tensors, got {type(state).__name__}"
        )
    return state


def apply_state(module: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Put exactly these tensors into the module; ConfigurationError where names or shapes differ."""
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ConfigurationError(f"weights {source} do not fit the model: {str(error)[:400]}") from None


def existing_file(text: str) -> Path | None:
    """Return the file that ``text`` names, None where it names none."""
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - Path's own fails for a user without a home directory
    return path if path.is_file() else None
