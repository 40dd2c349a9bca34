"""What a network is divided into, and how it wants its images."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..record import Pixels, Positive, section

FAMILIES: Mapping[str, str] = {
    "tiny": "tiny",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_small": "mobilenet_v3",
    "efficientnet_b0": "efficientnet",
    "efficientnet_b4": "efficientnet",
    "convnext_tiny": "convnext",
    "densenet121": "densenet",
    "vgg16_bn": "vgg",
    "vit_b_16": "vit",
}
"""Every backbone, and the family that says how it is divided: the one table of their names."""

PARTS = ("stem", "stage1", "stage2", "stage3", "stage4", "head")
"""What every backbone is divided into, from the image to the logits."""


@section
class Preprocessing:
    """The weights' own preprocessing; tested equal to torchvision's `weights.transforms()`."""

    resize_px: Pixels  # shorter side before the centre crop
    crop_px: Pixels  # side of what the network sees
    interpolation: Literal["bilinear", "bicubic"]
    mean: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    std: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)]

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.resize_px < self.crop_px:
            yield f"crop_px: expected at most resize_px ({self.resize_px}), got {self.crop_px}."


HEAD = len(PARTS) - 1
