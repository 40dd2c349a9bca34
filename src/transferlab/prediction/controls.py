"""What no strategy had a part in: the majority class, and the unmodified ImageNet head."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..data.images import Images
from ..network import backbones, models
from ..network.backbones import IMAGENET_CLASSES
from ..network.setup import Setup, starting_weights
from ..params.learning.network import HEAD
from .observer import Observer

Imagenet = Mapping[str, Sequence[int]]
"""Class -> classes of ImageNet-1k that mean the same."""


def majority(train: Images, count: int) -> np.ndarray:
    """Probabilities [count, K]: the shares of the classes in training, for every image."""
    shares = np.bincount(train.labels, minlength=len(train.classes)) / len(train)
    return np.tile(shares, (count, 1))


def imagenet_head(
    root: Path, backbone: str, imagenet: Imagenet, test: Images, setup: Setup
) -> np.ndarray | None:
    """Probabilities [N, K] of the starting weights with their own head; None where that head is
    not ImageNet's.

    Of the 1000 probabilities, those of the classes that mean the same as one of ours are added up
    and made to sum to 1.
    """
    start = starting_weights(root)
    net = backbones.build(backbone, IMAGENET_CLASSES)
    known = net.state_dict()
    if any(value.shape != known[name].shape for name, value in start.items()):
        return None
    models.overlay(net, start)
    observer = Observer(net=backbones.move(net, setup.compute), cut=HEAD, setup=setup)
    thousand = observer.predict(test, np.arange(len(test))).astype(float)
    ours = np.stack([thousand[:, list(imagenet[label])].sum(1) for label in test.classes], axis=1)
    ours = np.maximum(ours, np.finfo(float).tiny)  # of an image that looks like nothing of the kind
    probabilities: np.ndarray = ours / ours.sum(1, keepdims=True)
    return probabilities
