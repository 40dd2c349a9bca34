"""What a network is divided into, and how it wants its images."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ..record import Pixels, Positive, section

BackboneName = Literal[
    "tiny",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_b4",
    "convnext_tiny",
    "densenet121",
    "vgg16_bn",
    "vit_b_16",
]

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
