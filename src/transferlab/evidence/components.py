"""What keeps a difference open: too few seeds, too few images, or both."""

import math
from statistics import NormalDist

import numpy as np

from .records import Short


def seeds_share(right: np.ndarray) -> float:
    """Share, between 0 and 1, of the variance of the seeds' mean differences that is not noise of
    the images.

    Args:
        right: Correctness of the first less that of the second, [S, N].
    """
    seeds, images = right.shape
    effects = right.mean(axis=1) - right.mean()
    spread = effects @ effects / max(1, seeds - 1)
    if spread == 0:
        return 0.0
    rest = right - right.mean(axis=0) - effects[:, None]
    noise = (rest**2).sum() / max(1, (seeds - 1) * (images - 1))
    return max(0.0, 1 - float(noise / (images * spread)))


def images_half(right: np.ndarray, confidence: float) -> float:
    """Half of the interval of a mean difference if these seeds were all there are: a normal one,
    with the two images of `comparison.differences` added.

    Args:
        right: Correctness of the first less that of the second, [S, N].
        confidence: Coverage.
    """
    unseen = np.array([1, -1]) / len(right)
    means = np.concatenate([right.mean(axis=0), unseen])
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return float(z * means.std(ddof=1) / math.sqrt(len(means)))


def seeds_half(right: np.ndarray, confidence: float) -> float | None:
    """Half of the interval if these images were all there are: Student's, of what the noise of the
    images does not explain; None of one seed.
    """
    from scipy.stats import t

    seeds = len(right)
    if seeds == 1:
        return None
    spread = right.mean(axis=1).std(ddof=1) * math.sqrt(seeds_share(right) / seeds)
    return float(t.ppf((1 + confidence) / 2, seeds - 1) * spread)


def short(
    difference: float, *, images: float, seeds: float | None, unsplit: bool, margin: float
) -> Short | None:
    """What would have to be more for a pair to be told apart that is not; None where the two are
    closer than `margin`, so that more may only show that they are as good.

    Args:
        difference: Of the two accuracies.
        images: See `images_half`.
        seeds: See `seeds_half`.
        unsplit: Whether predictions averaged over seeds show the difference, and the test over
            images does not reject.
        margin: Accuracy that may be lost at most.
    """
    size = abs(difference)
    if size <= margin:
        return None
    too_few_images = size <= images or unsplit
    too_few_seeds = seeds is not None and size <= seeds
    if too_few_images == too_few_seeds:
        return "both"  # or neither alone
    return "images" if too_few_images else "seeds"
