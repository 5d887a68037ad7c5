"""The model's pixels beside those of torchvision's own preparation: every recipe, every kind of size, and photographs."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageOps
from torchvision import models as zoo

from tailgate.service.codec.images import DRAFT_GAP, decode_image
from tailgate.service.models import ImageInput
from tailgate.service.models.load import load_model
from tailgate.service.settings import load_settings

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
MANY = 50_000_000
DEMO = ImageInput(224, crop=1.0)


def recipes():
    """Return one weights of each preparation that torchvision's classifiers have, by its numbers."""
    found = {}
    for name in zoo.list_models(module=zoo):
        for weights in zoo.get_model_weights(name):
            recipe = weights.transforms()
            key = f"{recipe.resize_size[0]} to {recipe.crop_size[0]}, {recipe.interpolation.value}"
            found.setdefault(key, (name, weights))
    return found


RECIPES = recipes()


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def reference(image, resize, size, resampling=Image.Resampling.BILINEAR):
    """Return what Resize and CenterCrop make of a picture, in Pillow's two steps."""
    shorter = min(image.size)
    scaled = image.resize([int(resize * side / shorter) for side in image.size], resampling)
    left, top = (round((side - size) / 2.0) for side in scaled.size)
    return np.asarray(scaled.crop((left, top, left + size, top + size)))


def levels(pixels, expected):
    """Return by how many of 255 levels pixels differ from others, each."""
    return np.abs(pixels.astype(int) - expected.astype(int))


@pytest.mark.parametrize(("name", "weights"), RECIPES.values(), ids=RECIPES)
def test_every_recipe_of_torchvision_gives_what_its_own_transforms_give(monkeypatch, name, weights):
    published = zoo.get_model_weights(name)
    small = zoo.get_model("squeezenet1_1")
    monkeypatch.setattr("torchvision.models.get_model", lambda *_, **__: small)
    target = load_model(load_settings({}, model=f"torchvision:{name}", weights=weights.name)).image
    assert published[weights.name] is weights
    for size in ((640, 427), (427, 500), (59, 47)):
        image = noise(*size)
        wanted = weights.transforms()(image).numpy().transpose(1, 2, 0)
        pixels = decode_image(encoded(image, compress_level=1), target, MANY)
        got = (pixels / 255 - np.array(target.mean)) / np.array(target.std)
        assert np.abs((got - wanted) * target.std).max() * 255 < 1.01


# Sizes of skimage's page, of 13-megapixel phones, of COCO; each was refused once, or a neighbour of it.
@pytest.mark.parametrize(
    "size", [(384, 191), (55, 55), (640, 427), (427, 640), (1300, 975), (900, 3), (2, 700)]
)
@pytest.mark.parametrize(
    "target",
    [DEMO, ImageInput(288, crop=1.0, resampling="bicubic"), ImageInput(224)],
    ids=["224", "288", "256 to 224"],
)
def test_a_picture_of_any_shape_is_the_references_to_a_level(size, target):
    image = noise(*size)
    resampling = Image.Resampling[target.resampling.upper()]
    pixels = decode_image(encoded(image), target, MANY)
    assert levels(pixels, reference(image, target.resize, target.size, resampling)).max() <= 1


def test_squares_and_pictures_of_any_height_are_pictures():
    target = ImageInput(16, crop=1.0)
    for side in (*range(1, 601, 23), 55, 191, 224, 599):
        for size in ((side, side), (side + 50, side)):
            image = Image.new("RGB", size, (9, 9, 9))
            assert np.array_equal(
                decode_image(encoded(image, compress_level=0), target, MANY), np.full((16, 16, 3), 9)
            )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
@pytest.mark.parametrize("size", [(55, 55), (90, 61), (12, 300)])
def test_every_kind_of_colour_is_the_references_to_a_level(mode, size):
    image = noise(*size).convert(mode)
    kind = {"kind": "JPEG", "quality": 95} if mode == "CMYK" else {"kind": "PNG"}
    body = encoded(image, **kind)
    expected = reference(Image.open(io.BytesIO(body)).convert("RGB"), 32, 32)
    assert levels(decode_image(body, ImageInput(32, crop=1.0), MANY), expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (300, 9)])
def test_a_turned_picture_is_the_references_of_the_upright_one(orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = noise(*size)
    upright = Image.open(io.BytesIO(encoded(stored, exif=exif)))
    expected = reference(ImageOps.exif_transpose(upright), 40, 32)
    assert (
        levels(decode_image(encoded(stored, exif=exif), ImageInput(32, crop=0.8), MANY), expected).max() <= 1
    )


@pytest.mark.parametrize(
    "name", ["astronaut.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "page.png"]
)
@pytest.mark.parametrize("times", [1, 3, 4.3])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_jpeg_that_is_decoded_at_a_fraction_differs_by_less_than_half_a_level_in_the_mean(
    name, times, orientation
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(PHOTOGRAPHS / name) as photograph:
        size = [round(side * times) for side in photograph.size]
        body = encoded(photograph.convert("RGB").resize(size), "JPEG", quality=90, exif=exif)
    expected = reference(ImageOps.exif_transpose(Image.open(io.BytesIO(body))), 224, 224)
    found = levels(decode_image(body, DEMO, MANY), expected)
    if min(size) < 2 * DRAFT_GAP * 224:  # it is decoded whole
        assert found.max() <= 1
    assert found.mean() < 0.5
    assert np.percentile(found, 99) <= 3
