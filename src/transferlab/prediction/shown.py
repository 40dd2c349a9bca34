"""What figures show of one model: features, where it looks, and what its training saw."""

import numpy as np
import torch
from PIL import Image

from ..data.chance import stratified_split
from ..data.images import Images
from ..network.augment import training_side
from ..network.views import Views
from ..params.strategies import GradientStrategy
from ..params.whole import Params
from . import attribution
from .observer import Observer

VIEWED_IMAGES, VIEWED_EPOCHS = 3, 7


def pictures(
    observer: Observer, name: str, seed: int, images: tuple[Images, Images]
) -> dict[str, np.ndarray]:
    """What figures show of one model.

    Args:
        observer: The model.
        name: Key of its strategy.
        seed: Of its training.
        images: The training and the test split.

    Returns:
        `after`: features float16 [N, F] of the test images in the order of their manifest, `maps`:
        where the predicted class was seen in them, float16 [N, h, w], and `views`: what training
        saw, uint8 [I, V, S, S, 3].
    """
    train, test = images
    seen = Views(
        images=test,
        preprocessing=observer.params.backbone.preprocessing,
        ranges=None,
        seed=0,
        side=0,
    )
    return {
        "after": observer.features(test).astype(np.float16),
        "maps": attribution.maps(observer.net, seen, observer.place).astype(np.float16),
        "views": training_views(train, name, seed, observer.params),
    }


def training_views(train: Images, name: str, seed: int, params: Params) -> np.ndarray:
    """The test view and the random views of the first epochs of some images, uint8 [I, 1 + V, S, S,
    3]; S is 112.

    V is 0 for a strategy that trains on test views.
    """
    preprocessing, strategy = params.backbone.preprocessing, params.strategies[name]
    fit = stratified_split(train.labels, params.train.validation_fraction, seed, "validation")[0]
    rows = fit[np.linspace(0, len(fit) - 1, VIEWED_IMAGES).astype(int)].tolist()
    resolution, count = 1.0, 0
    if isinstance(strategy, GradientStrategy):
        resolution, count = strategy.resolution, min(strategy.views or VIEWED_EPOCHS, VIEWED_EPOCHS)
    side = training_side(preprocessing, resolution)
    seen = Views(
        images=train, preprocessing=preprocessing, ranges=params.train.augment, seed=seed, side=side
    )
    mean, std = (
        np.array(values, np.float32)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    shown = []
    for view in (None, *range(count)):
        pixels = (
            seen.finish(seen.crops(rows, view), rows, view, torch.device("cpu")).numpy() * std
            + mean
        )
        shown.append(
            [_thumbnail((255 * image).round().clip(0, 255).astype(np.uint8)) for image in pixels]
        )
    return np.array(shown).swapaxes(0, 1)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 [3, S, S] -> [112, 112, 3]."""
    return np.asarray(
        Image.fromarray(image.transpose(1, 2, 0)).resize((112, 112), Image.Resampling.BILINEAR)
    )
