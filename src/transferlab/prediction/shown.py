"""What figures show of one model: features, where it looks, and what its training saw."""

import numpy as np
import torch
from PIL import Image

from ..data.images import Images
from ..network.augment import training_side
from ..network.views import Views
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import GradientStrategy, views_of
from . import attribution
from .observer import Observer
from .sample import in_figures

VIEWED_IMAGES, VIEWED_EPOCHS = 3, 7


def pictures(
    observer: Observer, recipe: Recipe, seed: int, *, test: Images, train: Images, fit: np.ndarray
) -> dict[str, np.ndarray]:
    """What figures show of one model.

    Args:
        observer: The model.
        recipe: Its strategy, and what its training depended on.
        seed: Of its training.
        test: The test split.
        train: The training split.
        fit: Rows of it that the model was fitted to.

    Returns:
        `after`: features float16 [n, F] of a sample of the test images (see `sample`) in the order
        of their manifest, `maps`: where the predicted class was seen in them, float16 [n, h, w],
        and `views`: what training saw, uint8 [I, V, S, S, 3].
    """
    setup, rows = observer.setup, in_figures(len(test))
    seen = Views(images=test, preprocessing=setup.preprocessing, ranges=None, seed=0, side=0)
    return {
        "after": observer.features(test, rows).astype(np.float16),
        "maps": attribution.maps(observer.net, seen, rows, setup.compute).astype(np.float16),
        "views": training_views(train, recipe, seed, fit),
    }


def training_views(train: Images, recipe: Recipe, seed: int, fit: np.ndarray) -> np.ndarray:
    """The test view and the random views of the first epochs of some images, uint8 [I, 1 + V, S, S,
    3]; S is 112.

    V is 0 for a strategy that trains on test views.
    """
    preprocessing, strategy = recipe.preprocessing, recipe.strategy
    rows = fit[np.linspace(0, len(fit) - 1, VIEWED_IMAGES).astype(int)].tolist()
    resolution, count = 1.0, 0
    if isinstance(strategy, GradientStrategy):
        views = views_of(strategy, len(train)) or VIEWED_EPOCHS
        resolution, count = strategy.resolution, min(views, VIEWED_EPOCHS)
    seen = Views(
        images=train,
        preprocessing=preprocessing,
        ranges=recipe.augment,
        seed=seed,
        side=training_side(preprocessing, resolution),
    )
    mean, std = (
        np.array(values, np.float32)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    shown = []
    for view in (None, *range(count)):
        pixels = seen.finish(seen.crops(rows, view), rows, view, torch.device("cpu")).numpy()
        bytes_of = (255 * (pixels * std + mean)).round().clip(0, 255).astype(np.uint8)
        shown.append([_thumbnail(image) for image in bytes_of])
    return np.array(shown).swapaxes(0, 1)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 [3, S, S] -> [112, 112, 3]."""
    return np.asarray(
        Image.fromarray(image.transpose(1, 2, 0)).resize((112, 112), Image.Resampling.BILINEAR)
    )
