"""The contrast of images with 16 bits, which seldom use all of them."""

from collections.abc import Iterable, Mapping

import numpy as np

from ..images import WHOLE_RANGE, Contrast

OUTSIDE = 0.001
"""Share of pixels at either end that may be darker than black or brighter than white: single hot
pixels would else make all others dark.
"""

DARK = 64
"""Of the upper 8 bits; an image that stays below uses at most 14 bits of 16."""


def contrast_of(images: Iterable[np.ndarray]) -> Contrast:
    """The values that become black and white, by all pixels of some images together.

    Args:
        images: Grey of 16 bits, uint16 [H, W] each; without any, all values are told apart.
    """
    counts = np.zeros(WHOLE_RANGE[1] + 1, dtype=np.int64)
    for values in images:
        counts += np.bincount(values.ravel(), minlength=len(counts))
    upto = np.cumsum(counts)
    low = int(np.searchsorted(upto, OUTSIDE * upto[-1], "right"))
    high = int(np.searchsorted(upto, (1 - OUTSIDE) * upto[-1], "left"))
    return (low, high) if low < high else WHOLE_RANGE


def refuse_dark_colours(brightest: Mapping[str, int], where: str) -> None:
    """Refuse colours of 16 bits that use the lower ones alone: Pillow reads the upper 8.

    Args:
        brightest: Of each such image, of the upper 8 bits.
        where: What messages begin with.
    """
    if brightest and max(brightest.values()) < DARK:
        raise ValueError(
            f"{where}: expected colours that use all of 16 bits, got {len(brightest)} images, such "
            f"as {next(iter(brightest))}, that use {8 + max(brightest.values()).bit_length()} bits "
            "at most. Only the upper 8 are read, so they would come out nearly black. Save them "
            "with 8 bits, or as grey."
        )
