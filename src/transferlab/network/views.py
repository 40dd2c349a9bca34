"""How the images of one split are seen: crops as the network takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.images import Images
from ..params.learning.network import Preprocessing
from ..params.learning.training import Augment
from . import augment


@dataclass(frozen=True, kw_only=True)
class Views:
    """How one seed of one strategy sees the images of one split.

    Args:
        images: All images of the split.
        preprocessing: Of the weights.
        ranges: Of the random views; None where there are only test views.
        seed: Draws the random views.
        side: Of the random views, in pixels.
    """

    images: Images
    preprocessing: Preprocessing
    ranges: Augment | None
    seed: int
    side: int

    def crops(self, rows: Sequence[int], view: int | None) -> Tensor:
        """uint8 [B, 3, S, S] of the given rows, where the images are; view None is the test
        view.
        """
        if view is None:
            return augment.test_view(self.images, rows, self.preprocessing)
        return augment.random_view(
            self.images,
            rows,
            view=view,
            seed=self.seed,
            augment=self._ranges,
            side=self.side,
            preprocessing=self.preprocessing,
        )

    def finish(
        self, crops: Tensor, rows: Sequence[int], view: int | None, device: torch.device
    ) -> Tensor:
        """Crops of the given rows as the network takes them: float32 [B, 3, S, S], on the
        device.
        """
        pixels, count = augment.scaled(crops, device), len(self.images)
        if view is not None:
            pixels = augment.disturb(
                pixels, rows, view=view, seed=self.seed, augment=self._ranges, images=count
            )
            pixels = augment.middle(pixels, self.side)
        return augment.normalise(pixels, self.preprocessing)

    @property
    def _ranges(self) -> Augment:
        assert self.ranges is not None
        return self.ranges


def resident(images: Images, device: torch.device) -> Images:
    """The images with their pixels on the device, if they fill no more than a quarter of it; else
    as they are.

    Raises:
        ValueError: An image that would move is not what `preprocess` stored.
    """
    if device.type != "cuda" or images.pixels.nbytes > torch.cuda.mem_get_info(device)[1] / 4:
        return images
    images.verify()
    # sliced like the array that it replaces
    pixels: Any = torch.from_numpy(np.array(images.pixels)).to(device)
    return replace(images, pixels=pixels)
