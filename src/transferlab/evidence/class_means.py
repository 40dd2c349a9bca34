"""Intervals of a mean over classes: of recalls (balanced accuracy) and of F1 scores (macro F1)."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

HALVINGS = 60  # of the range in which an end is looked for: then its two sides are the same float


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of a class between 0 and 1, and how much chance makes of it.

    Of all scores with a given mean over classes those at one `pull` have the largest variance: the
    derivative of each class's variance is the same there.
    """

    at: Callable[[np.ndarray], np.ndarray]  # pull [K], from -2 (score 0) to 2 (score 1) -> scores
    variance: Callable[[np.ndarray], np.ndarray]  # scores [K] -> variances of them times the images


RECALL = Score(
    at=lambda pull: np.clip((1 + pull) / 2, 0, 1), variance=lambda recall: recall * (1 - recall)
)
"""Of the images of a class the share that is recognised."""

F1 = Score(
    at=lambda pull: 1 - np.sqrt(np.clip((1 - pull) / 3, 0, 1)),
    variance=lambda f1: 2 * f1 * (1 - f1) * (2 - f1),
)
"""2 hits / images, where these are the images of a class and those that are taken for it.

One class alone has half of this variance (Takahashi, Yamamoto, Kuchiba and Koyama, "Confidence
interval for micro-averaged F1 and macro-averaged F1 scores", Applied Intelligence 52 (2022),
4961-4972). But a mistake lowers the scores of two classes, which therefore vary together; not of
more, so that the variance of their sum is at most twice the sum of theirs.
"""


def interval(
    mean: float, images: np.ndarray, score: Score, confidence: float
) -> tuple[float, float]:
    """Score interval of a mean over classes, for any scores of the classes.

    As Wilson's of a share (see `intervals.wilson`) it holds the means that are not further from the
    measured one than z of their own standard deviations. How the scores of the classes spread about
    their mean is not known, least of all from a class with three images; so the deviation is the
    largest that scores with this mean can have (Wendell and Schmee, "Exact inference for
    proportions from a stratified finite population", JASA 91 (1996), 825-830, who take the worst
    shares of strata in the same way). A class with few images thereby widens the interval as it
    should, whether or not any of them is wrong; with equally many of each class that of the
    balanced accuracy is Wilson's. If anything it is too wide, also because a score may be a mean
    over seeds.

    Args:
        mean: Over K classes, between 0 and 1.
        images: Of each class, as its `score` counts them, float64 [K], above 0.
        score: `RECALL` or `F1`.
        confidence: Coverage, such as 0.95.

    Returns:
        Lower and upper end.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    low, high = (_end(mean, images, score, z, side) for side in (-1, 1))
    return low, high


def _end(mean: float, images: np.ndarray, score: Score, z: float, side: int) -> float:
    """The mean furthest to one side of the measured one that is still within z deviations of it."""
    outside = side * 2 / images.min()
    inside = -outside
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        scores = score.at(middle * images)
        distance = side * (scores.mean() - mean)
        variance = (score.variance(scores) / images).sum() / len(images) ** 2
        near = distance <= 0 or distance**2 <= z**2 * variance
        inside, outside = (middle, outside) if near else (inside, middle)
    return float(score.at(outside * images).mean())
