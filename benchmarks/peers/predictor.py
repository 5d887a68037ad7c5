"""The model without the service: what the peers serve, and the bare model of :mod:`benchmarks.limits`.

The service's own engine builds it from the same settings, so every server runs the same weights, normalisation and
executor. With ``BENCH_EXECUTOR=plain`` it is PyTorch, Pillow and torchvision as a user would write it by hand.
"""

import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from tailgate.service.codec.images import decode_image
from tailgate.service.errors import ModelFailure
from tailgate.service.execution.build import build_engine
from tailgate.service.memory import keep_freed_memory
from tailgate.service.models.items import Item, Result
from tailgate.service.models.load import load_model
from tailgate.service.models.spec import Served
from tailgate.service.settings import Settings, load_settings

Decode = Callable[[bytes], Item]
Compute = Callable[[Sequence[Item]], Sequence[Result | ModelFailure]]


class Plain:
    """An eager classifier of torchvision with its normalisation, as a user of a peer would write it."""

    def __init__(self, settings: Settings) -> None:
        model = load_model(settings)
        assert model.image is not None
        assert model.labels is not None
        torch.set_num_threads(settings.model_threads)
        self.served = Served(model.name, model.item, model.labels, model.image)
        self._module = model.module.to(memory_format=torch.channels_last)
        self._mean = torch.tensor(model.image.mean).view(1, 3, 1, 1)
        self._std = torch.tensor(model.image.std).view(1, 3, 1, 1)
        self._top_k = settings.top_k
        self._cut = Compose([Resize(model.image.resize), CenterCrop(model.image.size)])

    def pixels(self, body: bytes) -> Item:
        """Return a photograph as the model sees it."""
        return np.asarray(self._cut(Image.open(io.BytesIO(body)).convert("RGB")))

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        """Run one batch."""
        with torch.inference_mode():
            images = torch.from_numpy(np.stack(items)).permute(0, 3, 1, 2).float().div_(255)
            outputs = self._module((images - self._mean) / self._std)
            best = outputs.softmax(-1).topk(self._top_k)
        rows = zip(outputs.numpy(), best.values.tolist(), best.indices.tolist(), strict=True)
        return [Result(*row) for row in rows]


class Predictor:
    """Body to item, items to results, result to an answer that JSON can hold."""

    def __init__(self, compute: Compute, decode: Decode, served: Served) -> None:
        self.compute = compute
        self.served = served
        self._decode = decode

    def item(self, body: bytes) -> Item:
        """Decode one request: a JPEG by its first bytes, else the model's own bytes."""
        if self.served.image is not None and body[:3] == b"\xff\xd8\xff":
            return self._decode(body)
        return np.frombuffer(body, self.served.item.dtype).reshape(self.served.item.shape)

    def answer(self, result: Result | ModelFailure) -> dict[str, Any]:
        """Return the service's answer as a document: labels, or the outputs of a model without labels."""
        if isinstance(result, ModelFailure):
            raise result
        if self.served.labels is None:
            return {"model": self.served.name, "outputs": result.outputs.tolist()}
        labels = self.served.labels
        return {
            "model": self.served.name,
            "predictions": [
                {"label": labels[index], "class": index, "probability": probability}
                for index, probability in zip(result.classes, result.probabilities, strict=True)
            ],
        }

    def predict(self, bodies: Sequence[bytes]) -> list[dict[str, Any]]:
        """Answer a batch of bodies."""
        return [self.answer(result) for result in self.compute([self.item(body) for body in bodies])]


def build_predictor() -> Predictor:
    """Build the predictor that the service's settings in the environment describe."""
    settings = load_settings(os.environ)
    if os.environ.get("BENCH_EXECUTOR") == "plain":
        plain = Plain(settings)
        return Predictor(plain, plain.pixels, plain.served)
    keep_freed_memory()  # as the service does
    engine = build_engine(settings)
    image = engine.served.image

    def decode(body: bytes) -> Item:
        assert image is not None
        return decode_image(body, image, settings.max_image_pixels)

    return Predictor(engine.inference.run, decode, engine.served)
