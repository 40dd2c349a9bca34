"""Folds for cross-validation, which keep near-duplicates together."""

import numpy as np

from ..chance import named_generator


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each image [N]: groups stay together, and every class is spread as evenly as they
    allow.

    Groups come in random order, and each goes to the fold that has fewest images of its first
    image's class.

    Raises:
        ValueError: A class has fewer groups than there are folds.
    """
    fold_of, filled = np.empty(len(labels), dtype=np.int64), np.zeros((labels.max() + 1, count))
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    few = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if few < count:
        raise ValueError(
            f"cross_validation.folds: expected at most {few}, what the smallest class has of "
            "images that differ, "
            f"got {count}. Use fewer folds, or a larger train.validation_fraction."
        )
    for group in named_generator(seed, "cross-validation").permutation(len(first)):
        rows, label = np.flatnonzero(members == group), labels[first[group]]
        fold = int(filled[label].argmin())
        fold_of[rows] = fold
        filled[:, fold] += np.bincount(labels[rows], minlength=len(filled))
    return fold_of
