"""The linear probe: L2-regularised logistic regression in float64, its strength chosen by
cross-validation.

The objective is scikit-learn's, `C * sum(cross-entropy) + |W|^2 / 2` with a free bias; all seeds,
folds and values of C are solved side by side in one batched L-BFGS (Nocedal & Wright, algorithm
7.5).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from ..data.chance import named_generator
from .minimise import MEMORY, Problem, minimise

AT_ONCE_MB = 1000  # of what L-BFGS keeps for the seeds that are solved together


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A fitted probe as a linear layer on raw features.

    Args:
        weight: float32 [K, F].
        bias: float32 [K].
        c: The chosen C.
        losses: Cross-validated negative log-likelihood per image, one for each C.
    """

    weight: Tensor
    bias: Tensor
    c: float
    losses: list[float]


def solve(
    features: Tensor,
    labels: Tensor,
    classes: int,
    c_grid: Sequence[float],
    *,
    folds: int,
    seeds: Mapping[int, np.ndarray],
) -> dict[int, Solution]:
    """Fit probes, those of several seeds at once: up to rounding what each gives alone.

    Args:
        features: [N, F].
        labels: int64 [N], below `classes`.
        classes: Number of classes K.
        c_grid: Values of C to choose from by the lowest cross-validated loss; the smaller C wins a
            tie.
        folds: Of the inner cross-validation; never more than the smallest class has images.
        seeds: For each seed, which draws the folds, the rows it may learn from.

    Raises:
        ValueError: A class has a single image, so that nothing can be cross-validated; or a feature
            is no number.
    """
    endless = int((~features.isfinite().all(1)).sum())
    if endless:
        raise ValueError(
            f"probe: expected features that are numbers, got NaN or infinity for {endless} of "
            f"{len(features)} images. Use other weights (backbone.weights), or engine.precision="
            "fp32 where it is bf16."
        )
    features, labels = features.double(), labels.to(features.device)
    c = torch.tensor(sorted(c_grid), dtype=torch.float64, device=features.device)
    solutions: dict[int, Solution] = {}
    waiting = list(seeds)
    while waiting:
        a_fold = _bytes_of_a_fold(len(seeds[waiting[0]]), features.shape[1], classes, len(c))
        at_once = max(1, int(AT_ONCE_MB * 1e6 / (folds * a_fold)))
        some, waiting = waiting[:at_once], waiting[at_once:]
        solutions |= _solve(
            features, labels, classes, c, folds=folds, seeds={seed: seeds[seed] for seed in some}
        )
    return solutions


def _bytes_of_a_fold(rows: int, width: int, classes: int, values: int) -> int:
    """Its rows in the basis, and what L-BFGS keeps of every value of C."""
    inside, vectors = min(rows, width), values * (1 if classes == 2 else classes)
    numbers = 2 * rows * inside + rows * width + vectors * ((2 * MEMORY + 8) * inside + 6 * rows)
    return 8 * numbers


@dataclass(frozen=True, kw_only=True)
class _Fold:
    """One division of the rows that a seed may learn from."""

    seed: int
    fitted: np.ndarray
    left_out: np.ndarray


def _solve(
    features: Tensor,
    labels: Tensor,
    classes: int,
    c: Tensor,
    *,
    folds: int,
    seeds: Mapping[int, np.ndarray],
) -> dict[int, Solution]:
    """Choose C by the folds of every seed, then fit all of its rows."""
    divided = [
        fold
        for seed, rows in seeds.items()
        for fold in _folds_of(seed, rows, labels, classes, folds)
    ]
    fits = _fit(
        features, labels, classes, c.expand(len(divided), -1), [fold.fitted for fold in divided]
    )
    losses = {seed: torch.zeros_like(c) for seed in seeds}
    for fold, weight, bias in zip(divided, *fits, strict=True):
        losses[fold.seed] += _losses(features, labels, fold.left_out, weight, bias)
    best = torch.stack([c[loss.argmin()] for loss in losses.values()])
    weights, biases = _fit(features, labels, classes, best[:, None], list(seeds.values()))
    return {
        seed: Solution(
            weight=weight[0].float(),
            bias=bias[0].float(),
            c=float(chosen),
            losses=(losses[seed] / len(rows)).tolist(),
        )
        for (seed, rows), weight, bias, chosen in zip(
            seeds.items(), weights, biases, best, strict=True
        )
    }


def _folds_of(
    seed: int, rows: np.ndarray, labels: Tensor, classes: int, folds: int
) -> Iterator[_Fold]:
    truth = labels[torch.from_numpy(rows).to(labels.device)].cpu().numpy()
    count = min(folds, int(np.bincount(truth, minlength=classes).min()))
    if count < 2:
        raise ValueError(
            "strategies.probe.folds: expected two images or more of every class to "
            "cross-validate on."
        )
    fold_of = _stratified_folds(truth, count, seed)
    for number in range(count):
        inside = fold_of != number
        yield _Fold(seed=seed, fitted=rows[inside], left_out=rows[~inside])


def _losses(
    features: Tensor, labels: Tensor, rows: np.ndarray, weight: Tensor, bias: Tensor
) -> Tensor:
    """Summed over the rows, of every C [P]: weight [P, K, F], bias [P, K]."""
    seen = torch.from_numpy(rows).to(features.device)
    logits = weight @ features[seen].T + bias[..., None]  # [P, K, n]
    return cross_entropy(logits, labels[seen].expand(len(weight), -1), reduction="none").sum(1)


def _fit(
    features: Tensor, labels: Tensor, classes: int, c: Tensor, parts: Sequence[np.ndarray]
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights [P, K, F] and biases [P, K] on raw features, one for each C [Q, P], for each part of
    the rows.

    The scaler of a part sees its own rows only.
    """
    spaces = [_Space(features, part) for part in parts]
    problem = _problem(spaces, [labels[space.rows] for space in spaces], classes, c)
    weights, biases = [], []
    for theta, space in zip(minimise(problem), spaces, strict=True):
        weight, bias = space.raw(theta)
        weights.append(weight)
        biases.append(bias)
    return weights, biases


class _Space:
    """Where a part of the rows is solved: standardised by themselves, in the basis of `_rotated`.

    Args:
        features: [N, F], of all images.
        part: Indices of the n rows.
    """

    def __init__(self, features: Tensor, part: np.ndarray):
        self.rows = torch.from_numpy(part).to(features.device)
        raw = features[self.rows]
        scale = raw.std(0, correction=0)
        self.mean, self.scale = raw.mean(0), torch.where(scale > 0, scale, 1.0)
        self.inside, self.singular, self._back = _rotated((raw - self.mean) / self.scale)

    def raw(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [P, K, F] and biases [P, K] on raw features, of a solution [P, K, >= r + 1]."""
        weight = self._back(theta[..., : self.inside.shape[1]]) / self.scale
        return weight, theta[..., -1] - weight @ self.mean


def _problem(
    spaces: Sequence[_Space], labels: Sequence[Tensor], classes: int, c: Tensor
) -> "Problem":
    """All parts side by side; unequal ones are filled up with rows and directions of zeros, which
    change nothing.
    """
    images = max(space.inside.shape[0] for space in spaces)
    width = max(space.inside.shape[1] for space in spaces)
    zeros = spaces[0].inside.new_zeros
    design = zeros(len(spaces), images, width + 1)
    truth = zeros(len(spaces), classes, images)
    squares = zeros(len(spaces), width + 1)
    for q, (space, own) in enumerate(zip(spaces, labels, strict=True)):
        n, r = space.inside.shape
        design[q, :n, :r], design[q, :n, -1] = space.inside, 1.0
        squares[q, :r], squares[q, -1] = space.singular**2, float(n)
        truth[q, :, :n] = one_hot(own, classes).T
    return Problem(design, squares, truth, c)


def _rotated(rows: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Rows [N, F] in the basis of their singular vectors, without the directions that are rounding.

    There the problem has as many dimensions r as there are rows, and the same optimum: the penalty
    does not change under rotation, and directions without data get no weight.

    Returns:
        The rows [N, r], the singular values [r], and what takes weights [..., r] back to [..., F].
    """
    if len(rows) > rows.shape[1]:
        left, singular, basis = torch.linalg.svd(rows, full_matrices=False)
        kept = singular > singular.max() * 1e-7
        return left[:, kept] * singular[kept], singular[kept], lambda weights: weights @ basis[kept]
    # The small matrix of inner products costs a fifth, to half as many digits.
    squares, left = torch.linalg.eigh(rows @ rows.T)
    singular = squares.clamp_min(0).sqrt()
    kept = singular > singular.max() * 1e-7
    left, singular = left[:, kept], singular[kept]
    return left * singular, singular, lambda weights: (weights / singular) @ left.T @ rows


def _stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row; every class is spread evenly."""
    rng, fold_of = named_generator(seed, "probe/folds"), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold_of[rows] = np.arange(len(rows)) % folds
    return fold_of
