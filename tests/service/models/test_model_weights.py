"""Files that are not what they should be: refused with what was wrong, and never run."""

import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from tailgate.service.errors import ConfigurationError
from tailgate.service.models.weights import apply_state, read_state


class Exploding:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a weights file ran code",))


def write(path, kind):
    if kind == "code":
        path.write_bytes(pickle.dumps({"weight": Exploding()}))
    elif kind == "module":
        torch.save(nn.Linear(2, 2), path)
    elif kind == "code in a torch file":
        torch.save({"weight": Exploding()}, path)
    elif kind == "one tensor":
        torch.save(torch.zeros(2), path)
    elif kind == "numbers":
        torch.save({"weight": 3.0}, path)
    elif kind == "text":
        path.write_text("these are no weights")
    elif kind == "empty":
        path.touch()
    elif kind == "half":
        torch.save({"weight": torch.zeros(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("code", "could run code"),
        ("module", "could run code"),
        ("code in a torch file", "could run code"),
        ("one tensor", "expected a state dict of tensors, got Tensor"),
        ("numbers", "expected a state dict of tensors, got dict"),
        ("text", "not a file of PyTorch's"),
        ("empty", "not a"),
        ("half", "not a readable weights file"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused_and_runs_nothing(tmp_path, kind, expected):
    path = tmp_path / "weights.pt"
    write(path, kind)
    with pytest.raises(ConfigurationError, match=r"weights weights\.pt: ") as refusal:
        read_state(path)
    assert expected in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\xff" * 64])
def test_a_broken_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a readable weights file"):
        read_state(path)


def test_tensors_of_another_model_are_refused_with_the_first_names_that_differ(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2, 3), "surplus": torch.zeros(1)}, path)
    with pytest.raises(
        ConfigurationError, match=r"weights other\.safetensors do not fit the model"
    ) as refusal:
        apply_state(nn.Linear(2, 2), read_state(path), path.name)
    assert all(word in str(refusal.value) for word in ("bias", "surplus", "size mismatch"))
