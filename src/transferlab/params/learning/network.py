"""What a network is divided into, and how it wants its images."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..record import Pixels, Positive, section

FAMILIES: Mapping[str, str] = {
    "tiny": "tiny",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "mobilenet_v2": "mobilenetv2",
    "mobilenet_v3_small": "mobilenetv3",
    "efficientnet_b0": "efficientnet",
    "efficientnet_b4": "efficientnet",
    "convnext_tiny": "convnext",
    "densenet121": "densenet",
    "vgg16": "vgg",
    "vgg16_bn": "vgg",
    "inception_v3": "inception",
    "vit_b_16": "vision_transformer",
}
"""Every backbone with a file in `conf/backbone/`, and its module of torchvision: the one table of
their names. Beside them stand `torchvision/<name>` and `timm/<name>`.
"""

OTHER = re.compile(r"(torchvision|timm)/([A-Za-z0-9_.]+)")
"""A network of a library that has no file of its own."""

PARTS = ("stem", "stage1", "stage2", "stage3", "stage4", "head")
"""What every backbone is divided into, from the image to the logits."""


@section
class Preprocessing:
    """The weights' own preprocessing; tested equal to torchvision's `weights.transforms()`."""

    resize_px: Pixels  # before the centre crop
    crop_px: Pixels  # side of what the network sees
    resize: Literal["shorter", "squash"]  # the shorter side, or both to a square
    interpolation: Literal["bilinear", "bicubic"]
    mean: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    std: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)]

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.resize_px < self.crop_px:
            yield f"crop_px: expected at most resize_px ({self.resize_px}), got {self.crop_px}."


HEAD = len(PARTS) - 1


def is_backbone(name: str) -> bool:
    """Whether a network may be called so; whether the library has it, building it tells."""
    return name in FAMILIES or OTHER.fullmatch(name) is not None


def origin_of(name: str) -> tuple[str, str]:
    """Where a backbone comes from, `tiny`, `torchvision` or `timm`, and what it is called there."""
    other = OTHER.fullmatch(name)
    if other:
        return other[1], other[2]
    return ("tiny" if name == "tiny" else "torchvision"), name
