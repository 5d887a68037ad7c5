"""PyTorch scales pictures in place of Pillow only where it gives Pillow's pixels."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tailgate.service.codec import scaling
from tailgate.service.codec.cropping import spans
from tailgate.service.codec.scaling import square_of

SIDES = st.integers(1, 300)
needs_avx = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"),
    reason="PyTorch has no vector instructions for this here, so Pillow scales everything",
)


def noise(width, height, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def square(image, size, more=0, resampling="bilinear", cut=(0.0, 0.0)):
    """Return the square of a picture that ends so many pixels before its last column and row."""
    extent = (image.width - cut[0], image.height - cut[1])
    across, down = spans(image.size, extent, size, size + more)
    return square_of(image, across, down, size, resampling)


def by_pillow(*arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling, "_is_fast", lambda *_: False)
        return square(*arguments, **options)


@example(1, 1, 224, 0, (0.0, 0.0))
@example(300, 1, 8, 0, (0.0, 0.0))
@example(224, 224, 224, 0, (0.0, 0.0))
@given(
    SIDES,
    SIDES,
    st.sampled_from([8, 64, 224]),
    st.integers(0, 64),
    st.tuples(st.sampled_from([0.0, 0.125, 0.5]), st.sampled_from([0.0, 0.5, 0.875])),
)
def test_both_ways_give_the_same_pixels_to_a_level(width, height, size, more, cut):
    if min(width, height) < 2 * (size + more):  # only a fraction of a larger JPEG ends within a pixel
        cut = (0.0, 0.0)
    image = noise(width, height)
    fast, slow = (way(image, size, more, cut=cut).astype(int) for way in (square, by_pillow))
    assert fast.shape == slow.shape == (size, size, 3)
    assert np.abs(fast - slow).max() <= 1


@needs_avx
def test_pytorch_scales_a_usual_photograph(monkeypatch):
    monkeypatch.setattr(Image.Image, "resize", None)
    assert square(noise(451, 300), 224).shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("image", "resampling", "capability", "most"),
    [
        (noise(90, 60), "bicubic", "AVX2", 10**6),
        (noise(90, 60, "L"), "bilinear", "AVX2", 10**6),
        (noise(90, 6), "bilinear", "AVX2", 10**6),
        (noise(90, 60), "bilinear", "AVX2", 90 * 60 - 1),
        (noise(90, 60), "bilinear", "DEFAULT", 10**6),
    ],
    ids=["bicubic", "grey", "a strip", "too large to be copied", "without vector instructions"],
)
def test_pillow_scales_what_pytorch_would_scale_otherwise_or_slowly(
    monkeypatch, image, resampling, capability, most
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(scaling, "COPIED_PIXELS", most)
    monkeypatch.setattr(scaling, "_scaled_by_pytorch", None)
    assert square(image, 32, resampling=resampling).shape == (32, 32, 3)
