"""Predictions -> measures of one strategy."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..prediction.table import COLUMNS
from .records import Bin, ClassRow, Confusion

SMALLEST = 1e-12  # a probability below it counts as this, since the logarithm of 0 is infinite

Measure = Callable[[np.ndarray], np.ndarray]
"""Weights of images float64 [R, N] -> value for every resample and seed float64 [R, S]."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What the models of one strategy said about the same N images, one model for each of S
    seeds.
    """

    classes: tuple[str, ...]  # K names
    seeds: tuple[int, ...]  # ascending
    labels: np.ndarray  # int64 [N], places in `classes`
    predicted: np.ndarray  # int64 [S, N], places in `classes`
    probabilities: np.ndarray  # float64 [S, N, K], rows sum to 1

    @property
    def right(self) -> np.ndarray:
        """Whether the prediction is the label, bool [S, N]."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, float64 [S, N]."""
        return np.take_along_axis(self.probabilities, self.predicted[..., None], axis=2)[..., 0]


def outcomes(table: pd.DataFrame) -> Outcomes:
    """A checked table, see `read_predictions`, of at least one seed as arrays.

    Raises:
        ValueError: The table has no rows.
    """
    if table.empty:
        raise ValueError(
            "outcomes: expected a table with rows, got none. Leave out strategies that did not "
            "finish."
        )
    names = [column for column in table.columns if column not in COLUMNS]
    places = pd.Index([name.removeprefix("p_") for name in names])
    rows = table.sort_values("seed", kind="stable")
    seeds = tuple(rows["seed"].unique().tolist())
    labels, predicted = (
        places.get_indexer(pd.Index(rows[column])).reshape(len(seeds), -1)
        for column in ("label", "predicted")
    )
    return Outcomes(
        classes=tuple(places),
        seeds=seeds,
        labels=labels[0],
        predicted=predicted,
        probabilities=rows[names].to_numpy(float).reshape(*predicted.shape, len(names)),
    )


def accuracy(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Share of right predictions, between 0 and 1."""
    return _weighted_mean(given.right, weights)


def negative_log_likelihood(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean of -log(probability of the label), in nats; probabilities below `SMALLEST` count as
    that.
    """
    truth = given.probabilities[:, np.arange(len(given.labels)), given.labels]
    return _weighted_mean(-np.log(np.clip(truth, SMALLEST, None)), weights)


def brier(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Squared error of the probabilities, summed over classes and averaged over images: between 0
    and 2.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78
    (1950), 1-3. With two classes this is twice what is sometimes called the Brier score, the
    squared error of one class alone.
    """
    errors = given.probabilities - np.eye(len(given.classes))[given.labels]
    return _weighted_mean((errors**2).sum(axis=2), weights)


def balanced_accuracy(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of the share of their images that is recognised, between 0 and 1: the
    accuracy if every class had equally many.

    A class without images (a resample may lose one) is left out of the mean.
    """
    hits, _, support = _class_counts(given, weights)
    return _mean_of_defined(_ratio(hits, support), axis=2)


def macro_f1(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of 2 hits / (predicted + support), between 0 and 1.

    A class that is neither a label nor predicted (a resample may lose one) is left out of the mean.
    """
    hits, predicted, support = _class_counts(given, weights)
    return _mean_of_defined(_ratio(2 * hits, predicted + support), axis=2)


def auroc(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, between 0 and 1: one class against the rest, averaged over classes.

    With two classes it is the area of the second, the same as that of the first. A class without
    images or with all of them (a resample may lose one) has no area and is left out of the mean;
    NaN where no class has one.
    """
    classes = range(len(given.classes)) if len(given.classes) > 2 else (1,)
    areas = [
        [_roc_area(chances[:, place], given.labels == place, weights) for place in classes]
        for chances in given.probabilities
    ]
    return _mean_of_defined(np.array(areas), axis=1).T


def calibration_error(given: Outcomes, weights: np.ndarray, *, bins: int) -> np.ndarray:
    """Expected calibration error: mean distance between confidence and accuracy over bins, weighted
    by their images.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; for
    several classes by the probability of the predicted class, as in Guo et al., "On calibration of
    modern neural networks", ICML 2017.

    Args:
        given: The predictions.
        weights: Of the images, [R, N].
        bins: Of equal width, each with its upper end and without its lower one.
    """
    excess = np.eye(bins)[_bin_of(given, bins)] * (given.confidence - given.right)[..., None]
    return np.asarray(
        np.abs(_weighted_sum(excess, weights)).sum(axis=2) / weights.sum(axis=1, keepdims=True)
    )


def _bin_of(given: Outcomes, bins: int) -> np.ndarray:
    """Number of the bin of confidence, int64 [S, N]."""
    return np.asarray(np.searchsorted(_edges(bins)[1:-1], given.confidence))


def _edges(bins: int) -> np.ndarray:
    return np.linspace(0, 1, bins + 1)


def _class_counts(
    given: Outcomes, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of images per class that are hits and that are predicted so, [R, S, K], and that are
    so, [R, 1, K].
    """
    truth, predicted = (
        np.eye(len(given.classes))[codes] for codes in (given.labels, given.predicted)
    )
    return (
        _weighted_sum(predicted * truth, weights),
        _weighted_sum(predicted, weights),
        (weights @ truth)[:, None],
    )


def _roc_area(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance [R] that a positive image scores above a negative one, ties half: Mann and Whitney's U
    over its maximum.

    Args:
        scores: [N].
        positive: bool [N].
        weights: [R, N].
    """
    negatives, hits = np.flatnonzero(~positive), np.flatnonzero(positive)
    negatives = negatives[np.argsort(scores[negatives])]
    below = np.pad(np.cumsum(weights[:, negatives], axis=1), ((0, 0), (1, 0)))
    first, last = (
        np.searchsorted(scores[negatives], scores[hits], side=side) for side in ("left", "right")
    )
    wins = np.einsum("rp,rp->r", weights[:, hits], below[:, first] + below[:, last]) / 2
    return _ratio(wins, weights[:, hits].sum(axis=1) * below[:, -1])


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[S, N] and [R, N] -> [R, S]."""
    return np.asarray(weights @ values.T / weights.sum(axis=1, keepdims=True))


def _weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[S, N, K] and [R, N] -> [R, S, K]."""
    return np.asarray(np.tensordot(weights, values, axes=(1, 1)))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their ratio, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.asarray(
        np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator != 0)
    )


def _mean_of_defined(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=axis), defined.sum(axis=axis))


def or_none(value: float | None) -> float | None:
    """NaN, which JSON does not know, as None."""
    return None if value is None or math.isnan(value) else float(value)


def class_images(given: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Of each class its images, and those that are taken for it, mean over seeds; float64 [K]."""
    _, predicted, support = _class_counts(given, np.ones((1, len(given.labels))))
    return support[0, 0], predicted[0].mean(axis=0)


def class_report(given: Outcomes) -> dict[str, ClassRow]:
    """Precision, recall, F1 (means over seeds, between 0 and 1) and support (images) of each class.

    A ratio 0 / 0, as the precision of a class that a seed never predicted, is left out of the mean;
    None if all are.
    """
    hits, predicted, support = (
        counts[0] for counts in _class_counts(given, np.ones((1, len(given.labels))))
    )
    ratios = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
    }
    means = {key: _mean_of_defined(values, axis=0) for key, values in ratios.items()}
    return {
        name: {
            "precision": or_none(means["precision"][place]),
            "recall": or_none(means["recall"][place]),
            "f1": or_none(means["f1"][place]),
            "support": int(support[0, place]),
        }
        for place, name in enumerate(given.classes)
    }


def confusions(given: Outcomes, most: int) -> list[Confusion]:
    """The pairs of classes of which most images are confused, the most frequent first; equal ones
    in the order of the classes.
    """
    count = len(given.classes)
    wrong = ~given.right
    pairs = np.broadcast_to(given.labels, wrong.shape)[wrong] * count + given.predicted[wrong]
    found, images = np.unique(pairs, return_counts=True)
    order = np.argsort(-images, kind="stable")[:most]
    return [
        {
            "actual": given.classes[found[place] // count],
            "predicted": given.classes[found[place] % count],
            "images": float(images[place] / len(given.seeds)),
        }
        for place in order
    ]


def reliability(given: Outcomes, bins: int) -> list[Bin]:
    """Confidence against accuracy in bins of equal width, all seeds pooled.

    Args:
        given: The predictions.
        bins: As for `calibration_error`.

    Returns:
        For each bin `low` and `high`, its ends; `images`, mean per seed; `confidence`, mean
        probability of the predicted class, and `accuracy`, both None in an empty bin.
    """
    edges, place = _edges(bins), _bin_of(given, bins).ravel()
    counts, confidence, right = (
        np.bincount(place, weights=values, minlength=bins)
        for values in (None, given.confidence.ravel(), given.right.ravel())
    )
    confidence, right = _ratio(confidence, counts), _ratio(right, counts)
    return [
        {
            "low": float(edges[row]),
            "high": float(edges[row + 1]),
            "images": float(counts[row] / len(given.seeds)),
            "confidence": or_none(confidence[row]),
            "accuracy": or_none(right[row]),
        }
        for row in range(bins)
    ]
