"""Each way to name a model and its weights, and what is said of a name that cannot be had."""

import hashlib
import urllib.error

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision import models as zoo

from service.errors import ConfigurationError
from service.models import ImageInput, Model
from service.models.load import load_model
from service.settings import load_settings

NAME = "torchvision:squeezenet1_1"


def load(model, **settings):
    return load_model(load_settings({}, model=model, **settings))


def refusal(model, **settings):
    with pytest.raises(ConfigurationError) as refused:
        load(model, **settings)
    return str(refused.value)


@pytest.fixture(scope="module")
def trained():
    """A state dict that no seed gives."""
    torch.manual_seed(1234)
    return zoo.get_model("squeezenet1_1").state_dict()


def test_a_torchvision_model_without_weights_is_random_by_its_seed_and_says_so():
    first, again, other = load(NAME, seed=3), load(NAME, seed=3), load(NAME, seed=4)
    assert first.weights == "random (seed 3)"
    weights = [model.module.features[0].weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_torchvision_model_brings_the_labels_and_the_preparation_of_its_recipe():
    model = load("torchvision:resnet18")
    recipe = zoo.ResNet18_Weights.DEFAULT.transforms()
    assert model.labels[285] == "Egyptian cat"
    assert model.image == ImageInput(224, 224 / 256, tuple(recipe.mean), tuple(recipe.std), "bilinear")
    assert not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_a_model_trained_on_bicubic_pictures_gets_them():
    assert load("torchvision:efficientnet_b0").image.resampling == "bicubic"


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_come_from_a_state_dict_alone_or_inside_a_checkpoint(tmp_path, trained, wrapped):
    path = tmp_path / "trained.pt"
    torch.save({"state_dict": trained, "epoch": 3} if wrapped else trained, path)
    model = load(NAME, weights=str(path))
    assert model.weights == "trained.pt"
    assert all(torch.equal(value, trained[name]) for name, value in model.module.state_dict().items())


def test_weights_come_from_safetensors_with_the_digest_that_was_asked_for(tmp_path, trained):
    path = tmp_path / "trained.safetensors"
    safetensors.torch.save_file(trained, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = load(NAME, weights=str(path), weights_sha256=digest.upper())
    assert all(torch.equal(value, trained[name]) for name, value in model.module.state_dict().items())
    assert f"SHA-256 is {digest}, expected {'0' * 64}" in refusal(
        NAME, weights=str(path), weights_sha256="0" * 64
    )


def test_a_digest_without_a_file_to_hold_it_against_is_refused():
    assert refusal(NAME, weights_sha256="0" * 64).startswith(
        "TAILGATE_WEIGHTS_SHA256: there is no weights file"
    )


def test_torchvisions_own_weights_are_taken_by_name(monkeypatch, trained):
    def get_model(name, weights=None):
        module = zoo.squeezenet1_1()
        if weights is not None:
            module.load_state_dict(trained)
        return module

    monkeypatch.setattr("torchvision.models.get_model", get_model)
    model = load(NAME, weights="IMAGENET1K_V1")
    assert model.weights == "SqueezeNet1_1_Weights.IMAGENET1K_V1 of torchvision"
    assert torch.equal(model.module.features[0].weight, trained["features.0.weight"])


def test_weights_that_cannot_be_downloaded_leave_a_way_out(monkeypatch):
    real = zoo.get_model

    def get_model(name, weights=None):
        if weights is not None:
            raise urllib.error.URLError("no network")
        return real(name)

    monkeypatch.setattr("torchvision.models.get_model", get_model)
    text = refusal(NAME, weights="DEFAULT")
    assert "could not be downloaded" in text
    assert "give a file, or random" in text


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("resnet18", {}, "expected demo, torchvision:NAME or package.module:factory, got 'resnet18'"),
        ("torchvision:resnet81", {}, "no classifier 'resnet81'; did you mean 'resnet18'?"),
        ("torchvision:fcn_resnet50", {}, "no classifier 'fcn_resnet50'"),
        (NAME, {"weights": "IMAGENET9"}, "there are IMAGENET1K_V1, DEFAULT and random"),
        ("demo", {"weights": "nowhere.pt"}, "demo takes a file, and there is none at 'nowhere.pt'"),
        ("no_such_module:factory", {}, "No module named 'no_such_module'"),
        ("tiny_models:no_such_factory", {}, "no attribute 'no_such_factory'"),
        (":factory", {}, "cannot import ':factory'"),
        ("tiny_models:POISON", {}, "is a float, expected a function"),
        ("tiny_models:not_a_model", {}, "returned str, expected a torch.nn.Module or a service.models.Model"),
        ("tiny_models:doubler", {"input_size": 64}, "doubler takes float32[4], not images"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused_with_what_can(model, settings, expected):
    assert expected in refusal(model, **settings)


def test_a_factory_may_return_a_bare_module_which_then_takes_images():
    model = load("tiny_models:convolution")
    assert isinstance(model.module, nn.Module)
    assert (model.image.size, model.labels, model.weights) == (224, None, "the factory's own")


def test_a_factory_is_seeded():
    first, again = load("tiny_models:perceptron", seed=5), load("tiny_models:perceptron", seed=5)
    assert torch.equal(first.module[0].weight, again.module[0].weight)


def test_a_factory_that_names_a_settings_parameter_gets_the_settings():
    assert load("tiny_models:sized", input_size=24).image.size == 24
    assert load("tiny_models:sized").image.size == 8


def test_a_factorys_model_takes_weights_from_a_file(tmp_path):
    torch.manual_seed(99)
    state = load("tiny_models:perceptron").module.state_dict()
    state = {name: value + 1 for name, value in state.items()}
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    model = load("tiny_models:perceptron", weights=str(tmp_path / "mine.safetensors"))
    assert torch.equal(model.module[0].weight, state["0.weight"])
    assert model.weights == "mine.safetensors"


def test_the_input_size_is_the_side_of_the_picture():
    assert load(NAME, input_size=64).item.shape == (64, 64, 3)


def test_a_model_without_a_known_input_is_refused():
    with pytest.raises(ValueError, match="give either image or input, got both or neither"):
        Model("nothing", nn.Identity(), "none")
