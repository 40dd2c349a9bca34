"""Which test images are looked at more closely, where all of them would take long and show no more.

The numbers are of all images, but for the accuracy over augmented views.
"""

import numpy as np

FIGURES = 500  # t-SNE takes the square of their time
AUGMENTED = 2000  # an accuracy is known to 2.2 points then, or better


def in_figures(images: int) -> np.ndarray:
    """Rows of the manifest whose features and heat maps are kept: all, or `FIGURES` of them."""
    return _spread(images, FIGURES)


def in_random_views(images: int) -> np.ndarray:
    """Rows of the manifest with test-time augmentation: all, or `AUGMENTED` of them."""
    return _spread(images, AUGMENTED)


def _spread(images: int, most: int) -> np.ndarray:
    """Rows at even distances: the manifest goes by class, so that each has about its share."""
    return np.unique(np.linspace(0, images - 1, most).astype(int))
