"""What all strategies share while they train."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ..record import Count, NotNegative, Positive, PositiveShare, Share, section

SelectBy = Literal["accuracy", "loss", "last"]
"""The best epoch on the validation images, ties go to the other one; or the last."""


@section
class Augment:
    """Random views of training images; drawn from (seed, image, view) alone, so every strategy sees
    the same.
    """

    # of torchvision, drawn anew for every image and view, beside the ranges below
    policy: Literal["randaugment", "trivialaugment"] | None
    # side of the random crop over that of its middle, which is kept: turned corners stay outside
    oversize: Annotated[float, Field(ge=1, le=2)]
    # share of the area, ends
    crop_scale: Annotated[tuple[PositiveShare, ...], Field(min_length=2, max_length=2)]
    crop_ratio: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=2)]  # width / height
    flip: Share  # probability of a horizontal flip
    rotation: Annotated[float, Field(ge=0, le=180)]  # degrees to either side
    brightness: NotNegative  # of torchvision's ColorJitter: the factor lies within 1 -+ this
    contrast: NotNegative
    saturation: NotNegative
    hue: Annotated[float, Field(ge=0, le=0.5)]  # share of the colour circle, to either side

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        for name, (low, high) in (("crop_scale", self.crop_scale), ("crop_ratio", self.crop_ratio)):
            if low > high:
                yield f"{name}: expected [low, high], got {[low, high]}."


@section
class Train:
    """What all gradient strategies share."""

    # of the training images, stratified, drawn per seed; 0: none, and the last epoch is kept
    validation_fraction: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Count
    max_epochs: Count | None  # cap on every strategy's epochs
    select_by: SelectBy  # of the strategies that do not choose for themselves
    # of the loss in training; balanced: images to fit / (classes * images of the class)
    class_weights: Literal["none", "balanced"]
    augment: Augment
