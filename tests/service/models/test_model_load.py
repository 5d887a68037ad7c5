"""Each way to name a model and its weights, and what is said of a name that cannot be had."""

import hashlib
import types
import urllib.error
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision import models as zoo
from torchvision.transforms._presets import ImageClassification

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.build import build_engine, example_items
from tailgate.service.models import ImageInput, Model, TensorSpec
from tailgate.service.models.load import load_model
from tailgate.service.settings import load_settings

NAME = "torchvision:squeezenet1_1"
FOUR_BY_TWO = TensorSpec((4, 2), np.dtype(np.float32))


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
    def get_model(name, weights=None, **_):
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

    def get_model(name, weights=None, **_):
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
        ("tiny_models:lost_module", {}, "returned a Model of function, expected a torch.nn.Module or"),
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
    with pytest.raises(ValueError, match="give either image, input or inputs, got both or neither"):
        Model("nothing", nn.Identity(), "none")


# Weights of torchvision's from a file are served as torchvision serves them by name.


@pytest.mark.parametrize(
    ("name", "auxiliary"), [("googlenet", True), ("googlenet", False), ("inception_v3", False)]
)
def test_networks_that_transform_their_input_do_so_with_weights_from_a_file(tmp_path, name, auxiliary):
    """Their auxiliary heads may be in the file or not."""
    built = zoo.get_model(name, aux_logits=auxiliary, init_weights=False)
    torch.save(built.state_dict(), tmp_path / "trained.pth")
    model = load(f"torchvision:{name}", weights=str(tmp_path / "trained.pth"))
    assert model.module.transform_input
    assert model.weights == "trained.pth"


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Two versions of small weights with different recipes, of which the older one lies in a file."""
    torch.manual_seed(7)
    path = tmp_path / "downloaded.pth"
    torch.save(zoo.get_model("squeezenet1_1").state_dict(), path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    older, newer = (
        types.SimpleNamespace(
            url=f"https://weights.invalid/squeezenet-{digest}.pth",
            transforms=partial(ImageClassification, crop_size=64, resize_size=resize),
            meta={"categories": [str(number) for number in range(1000)]},
        )
        for digest, resize in ((digits, 80), ("0" * 8, 100))
    )

    class Published(list):
        DEFAULT = newer

    monkeypatch.setattr("torchvision.models.get_model_weights", lambda _: Published([older, newer]))
    return path


def test_a_file_that_torchvision_published_gets_the_recipe_that_it_was_published_with(published):
    model = load(NAME, weights=str(published))
    assert model.image.crop == 64 / 80
    assert model.weights.startswith("downloaded.pth (")


def test_any_other_file_gets_the_recipe_of_the_default_weights(published):
    with published.open("ab") as file:
        file.write(b"another")
    state = torch.load(published, weights_only=True)
    torch.save({**state}, published.with_name("own.pt"))
    model = load(NAME, weights=str(published.with_name("own.pt")))
    assert (model.image.crop, model.weights) == (64 / 100, "own.pt")


def test_a_vision_transformer_is_built_for_the_pictures_of_its_recipe(monkeypatch):
    sizes = []

    def get_model(name, weights=None, **options):
        sizes.append(options["image_size"])
        return nn.Linear(1, 1)

    monkeypatch.setattr("torchvision.models.get_model", get_model)
    assert load("torchvision:vit_h_14").image.size == 518
    assert sizes == [518]


# What a factory may return.


def layers():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.ReLU())


def exported(batch=2, module=None, **limits):
    module = module or layers().eval()
    size = torch.export.Dim("size", **limits) if limits else None
    shapes = ({0: size},) if size else None
    return torch.export.export(module, (torch.zeros(batch, 4),), dynamic_shapes=shapes).module()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        layers,
        lambda: layers().half(),
        lambda: layers().bfloat16(),
        lambda: layers().double(),
        lambda: torch.jit.script(layers()),
        lambda: torch.jit.trace(layers().eval(), torch.zeros(3, 4)),
        lambda: torch.jit.freeze(torch.jit.script(layers().eval())),
        lambda: exported(min=1, max=64),
        lambda: nn.Sequential(exported(min=1, max=64), nn.Dropout(0.5), nn.Softmax(-1)),
    ],
    ids=["module", "half", "bfloat16", "double", "script", "trace", "frozen", "exported", "exported part"],
)
def test_a_module_of_any_kind_is_served_alone_and_in_a_batch(named, make):
    torch.manual_seed(0)
    item = TensorSpec((4,), np.float32)
    name = named(Model("made", make(), "none", input=item, labels=None))
    engine = build_engine(load_settings({}, model=name, executor="eager", device="cpu", threads=1))
    items = example_items(item, 3)
    together = [answer.outputs for answer in engine.inference.run(items)]
    alone = [engine.inference.run([each])[0].outputs for each in items]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in load(name).module.parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: exported(batch=1),
            "one input alone works: trace or export it with a dynamic batch dimension",
        ),
        (lambda: exported(module=layers(), min=2, max=64), "differently each time"),
        (
            lambda: exported(min=1, max=16),
            "a batch of 32 fails, and one of 16 works: set TAILGATE_MAX_BATCH_SIZE=16",
        ),
        (lambda: torch.jit.script(nn.Linear(5, 3)), "fails on a batch of 8, each float32[4]: RuntimeError: "),
    ],
    ids=["for one input", "in training mode", "for sixteen", "of another shape"],
)
def test_a_module_that_cannot_take_every_batch_is_refused_with_what_to_do(named, make, told):
    name = named(Model("made", make(), "none", input=TensorSpec((4,), np.float32)))
    with pytest.raises(ConfigurationError) as refused:
        build_engine(load_settings({}, model=name, executor="eager", device="cpu", threads=1))
    assert told in str(refused.value)


def test_a_module_for_one_input_is_served_without_batches(named):
    name = named(Model("made", exported(batch=1), "none", input=TensorSpec((4,), np.float32)))
    engine = build_engine(load_settings({}, model=name, max_batch_size=1, device="cpu", threads=1))
    assert engine.max_batch_size == 1


# What an input may be.


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((0,), np.float32),
        ((-1, 4), np.float32),
        ((2.0,), np.float32),
        ((None, 4), np.float32),
        (4, np.float32),
        ((4,), np.complex64),
        ((4,), np.longdouble),
        ((4,), ">f4"),
        ((4,), "U5"),
        ((4,), object),
        ((4,), "datetime64[s]"),
    ],
)
def test_an_input_that_no_request_can_bring_is_refused_where_it_is_described(shape, dtype):
    with pytest.raises(ValueError, match=r"^TensorSpec: expected a (shape|type) of .*, got "):
        TensorSpec(shape, dtype)


@pytest.mark.parametrize("dtype", [np.float32, "float32", np.dtype("float32")])
@pytest.mark.parametrize("shape", [(4, 2), [4, 2], np.zeros((4, 2)).shape, tuple(np.array([4, 2]))])
def test_an_input_is_described_as_numpy_takes_it(shape, dtype):
    spec = TensorSpec(shape, dtype)
    assert (spec, hash(spec)) == (FOUR_BY_TWO, hash(FOUR_BY_TWO))
    assert (str(spec), spec.nbytes) == ("float32[4, 2]", 32)
