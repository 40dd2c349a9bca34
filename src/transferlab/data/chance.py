"""Chance by name: a generator for every purpose, so that no use of chance can shift another."""

import hashlib

import numpy as np
import numpy.typing as npt

PURPOSES = (
    "test",  # images that are held out of an archive without a test folder
    "validation",  # images that a training sets aside
    "few images",  # of every class, where a seed takes no more
    "cross-validation",  # the order in which groups go to folds
    "learning curve",  # the part of the training images
    "probe/folds",  # of the regression's own cross-validation
    "random weights",  # of a network
    "head of *",  # of a strategy
    "auxiliary classifier of *",  # of a strategy
    "order/*",  # of the images in an epoch
    "trials of *",  # settings of a strategy
    "dropout/*",  # in an epoch
    "view/*",  # crops and flips of every image
    "view/*/colour and angle",  # of every image in that view
    "view/*/policy/*",  # of torchvision's augmentations, by view and image
    "texture/*/*/*",  # an image by split, class and number
)
"""All that anything is drawn for; two that are the same would be drawn alike. A star stands for a
name or a number. The tests hold this list against the code.
"""


def named_generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator that depends on (seed, purpose) alone, so that no other use of chance can shift
    it.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def drawn_seed(seed: int, purpose: str) -> int:
    """A seed for a generator that is not NumPy's, in [0, 2**63)."""
    return int(named_generator(seed, purpose).integers(2**63))


def stratified_split(
    labels: npt.NDArray[np.int64], fraction: float, seed: int, purpose: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hold out `fraction` of every class, at least one image and never all of them.

    Args:
        labels: class of each image, [N].
        fraction: share to hold out, in (0, 1).
        seed: with `purpose`, the only source of chance.
        purpose: what the split is for, such as "validation".

    Returns:
        Sorted indices of the kept and of the held-out images.

    Raises:
        ValueError: a class has fewer than two images.
    """
    draws = named_generator(seed, purpose).random(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(
                f"{purpose} split: expected at least 2 images of every class, got 1 of class "
                f"{label}."
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out[members[np.argsort(draws[members], kind="stable")[:count]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
