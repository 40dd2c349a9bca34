"""Intervals of balanced accuracy and of macro F1."""

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom  # type: ignore[import-untyped]

from transferlab.evidence.class_means import F1, RECALL, Score, interval
from transferlab.evidence.intervals import wilson

Z = NormalDist().inv_cdf(0.975)


@pytest.mark.parametrize(("mean", "images", "classes"), [(0.9, 10, 2), (1, 3, 3), (0, 1, 30)])
def test_with_equally_many_of_each_class_the_balanced_accuracy_has_the_accuracys_interval(
    mean: float, images: int, classes: int
) -> None:
    count = images * classes
    found = interval(mean, np.full(classes, float(images)), RECALL, 0.95)
    assert found == pytest.approx(wilson(mean * count, count, 0.95), abs=1e-12)


@pytest.mark.parametrize("score", [RECALL, F1])
@pytest.mark.parametrize("mean", [0, 0.4, 0.85, 1])
def test_it_holds_the_means_of_all_scores_that_are_within_their_own_deviations(
    score: Score, mean: float
) -> None:
    images, grid = np.array([57.0, 3.0]), np.linspace(0, 1, 301)
    scores = np.stack(np.meshgrid(grid, grid), axis=-1)
    means = scores.mean(axis=-1)
    deviations = np.sqrt((score.variance(scores) / images).sum(axis=-1)) / 2
    within = means[np.abs(means - mean) <= Z * deviations + 1e-12]
    low, high = interval(mean, images, score, 0.95)
    assert (low, high) == pytest.approx((within.min(), within.max()), abs=1e-2)
    assert low <= within.min() and within.max() <= high


def test_three_faultless_images_of_a_class_are_no_certainty() -> None:
    low, high = interval(1, np.array([57.0, 3.0]), RECALL, 0.95)
    assert (low, high) == (pytest.approx(0.715, abs=1e-3), 1)


def test_the_truth_is_held_about_as_often_as_said_though_a_class_has_three_images() -> None:
    images, truths = np.array([8, 3]), np.array([(0.98, 0.9), (0.97, 0.6), (0.9, 0.9), (0.5, 0.8)])
    means, held = truths.mean(axis=1), np.zeros(len(truths))
    for hits in product(*(range(count + 1) for count in images)):
        low, high = interval(float((hits / images).mean()), images.astype(float), RECALL, 0.95)
        held += binom.pmf(hits, images, truths).prod(axis=1) * ((low <= means) & (means <= high))
    assert (held > 0.94).all() and (held < 1).all(), held
