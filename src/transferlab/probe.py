"""The linear probe: L2-regularised logistic regression in float64, its strength chosen by cross-validation.

The objective is scikit-learn's, `C * sum(cross-entropy) + |W|^2 / 2` with a free bias; all values of C are solved
side by side in one batched L-BFGS (Nocedal & Wright, algorithm 7.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, one_hot

from .data import named_generator

MEMORY = 10  # pairs that L-BFGS keeps
ITERATIONS = 300
TOLERANCE = 1e-6  # of the largest preconditioned slope, relative to the one at the start


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
    features: Tensor, labels: Tensor, classes: int, c_grid: Sequence[float], *, folds: int, seed: int
) -> Solution:
    """Fit a probe.

    Args:
        features: [N, F], the rows it may learn from.
        labels: int64 [N], below `classes`.
        classes: Number of classes K.
        c_grid: Values of C to choose from by the lowest cross-validated loss; the smaller C wins a tie.
        folds: Of the inner cross-validation; never more than the smallest class has images.
        seed: Draws the folds.

    Raises:
        ValueError: A class has a single image, so that nothing can be cross-validated.
    """
    features, labels = features.double(), labels.to(features.device)
    folds = min(folds, int(torch.bincount(labels, minlength=classes).min()))
    if folds < 2:
        raise ValueError("strategies.probe.folds: expected two images or more of every class to cross-validate on.")
    c = torch.tensor(sorted(c_grid), dtype=torch.float64, device=features.device)
    fold_of = torch.from_numpy(_stratified_folds(labels.cpu().numpy(), folds, seed)).to(features.device)
    losses = torch.zeros_like(c)
    for fold in range(folds):
        kept, held = fold_of != fold, fold_of == fold
        weight, bias = _fit(features[kept], labels[kept], classes, c)
        logits = weight @ features[held].T + bias[..., None]  # [P, K, n]
        truth = labels[held].expand(len(c), -1)
        losses += cross_entropy(logits, truth, reduction="none").sum(1)
    best = int(losses.argmin())
    weight, bias = _fit(features, labels, classes, c[best : best + 1])
    return Solution(
        weight=weight[0].float(),
        bias=bias[0].float(),
        c=float(c[best]),
        losses=(losses / len(labels)).tolist(),
    )


def _fit(features: Tensor, labels: Tensor, classes: int, c: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [P, K, F] and biases [P, K] on raw features, one for each C; the scaler sees these rows only."""
    mean, scale = features.mean(0), features.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    rows = (features - mean) / scale
    # In the basis of the singular vectors the problem has as many dimensions as there are rows, and the same optimum:
    # the penalty does not change under rotation, and directions without data get no weight.
    basis, singular = _basis(rows)
    inside, bias = _minimise(rows @ basis.T, singular, one_hot(labels, classes).double(), c)
    weight = inside @ basis / scale
    return weight, bias - weight @ mean


def _basis(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Right singular vectors [r, F] and singular values [r] of rows [N, F], those that are not rounding."""
    if len(rows) > rows.shape[1]:
        _, singular, basis = torch.linalg.svd(rows, full_matrices=False)
    else:  # the small matrix of inner products costs a fifth, to half as many digits
        squares, left = torch.linalg.eigh(rows @ rows.T)
        singular = squares.clamp_min(0).sqrt()
        basis = (left / singular.clamp_min(1e-300)).T @ rows
    kept = singular > singular.max() * 1e-7
    return basis[kept], singular[kept]


def _minimise(rows: Tensor, singular: Tensor, truth: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Batched L-BFGS over [P, K, r + 1], preconditioned by the bound on the curvature of Boehning (1992)."""
    design = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
    ridge = torch.ones(design.shape[1], dtype=design.dtype, device=design.device)
    ridge[-1] = 0.0  # the bias is free
    squares = torch.cat([singular**2, torch.full_like(singular[:1], float(len(rows)))])
    scale = (ridge + c[:, None] * squares / 2).sqrt()[:, None]  # [P, 1, r + 1]
    problems, classes, truth = len(c), truth.shape[1], truth.T  # [K, n]

    def objective(point: Tensor) -> tuple[Tensor, Tensor]:
        theta = point / scale
        # One product for all problems: [P * K, r + 1] @ [r + 1, n].
        logs = log_softmax((theta.flatten(0, 1) @ design.T).view(problems, classes, -1), dim=1)
        value = -c * _dot(truth, logs) + _dot(ridge * theta, theta) / 2
        error = (logs.exp() - truth).flatten(0, 1)
        slope = c[:, None, None] * (error @ design).view_as(theta) + ridge * theta
        return value, slope / scale

    point = torch.zeros(problems, classes, design.shape[1], dtype=design.dtype, device=design.device)
    value, slope = objective(point)
    limit = TOLERANCE * slope.abs().amax((1, 2))
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(ITERATIONS):
        active = slope.abs().amax((1, 2)) > limit
        if not active.any():
            break
        step = torch.where(active[:, None, None], _direction(slope, pairs), 0.0)
        new, new_value, new_slope = _search(objective, point, value, slope, step)
        moved, bent = new - point, new_slope - slope
        inner = _dot(moved, bent)
        # A pair without curvature (a problem that has converged) must not steer.
        pairs = [*pairs, (moved, bent, torch.where(inner > 1e-14, 1 / inner, 0.0))][-MEMORY:]
        point, value, slope = new, new_value, new_slope
    theta = point / scale
    return theta[..., :-1], theta[..., -1]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each problem [P] of [P, K, D], or of [K, D] with each."""
    return (a * b).flatten(1).sum(1)


def _direction(slope: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion, for all problems at once."""
    direction, weights = -slope, []
    for moved, bent, inverse in reversed(pairs):
        weights.append(inverse * _dot(moved, direction))
        direction = torch.addcmul(direction, bent, weights[-1][:, None, None], value=-1)
    if pairs:
        moved, bent, inverse = pairs[-1]
        scale = 1 / (inverse * _dot(bent, bent))
        direction = torch.where(inverse > 0, scale, 1.0)[:, None, None] * direction
    for (moved, bent, inverse), weight in zip(pairs, reversed(weights), strict=True):
        share = (weight - inverse * _dot(bent, direction))[:, None, None]
        direction = torch.addcmul(direction, moved, share)
    return direction


def _search(objective, point: Tensor, value: Tensor, slope: Tensor, step: Tensor):  # type: ignore[no-untyped-def]
    """Backtracking to Armijo's condition, each problem with a length of its own; a problem that finds none stays."""
    down, rounding = _dot(slope, step), 1e-13 * value.abs()
    length = torch.ones_like(value)
    for _ in range(30):
        new = point + length[:, None, None] * step
        new_value, new_slope = objective(new)
        poor = ~(new_value <= value + 1e-4 * length * down + rounding)
        if not poor.any():
            return new, new_value, new_slope
        length = torch.where(poor, length / 2, length)
    new = torch.where(poor[:, None, None], point, new)
    return new, *objective(new)


def _stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row; every class is spread evenly."""
    chance, fold_of = named_generator(seed, "probe/folds"), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = chance.permutation(np.flatnonzero(labels == label))
        fold_of[rows] = np.arange(len(rows)) % folds
    return fold_of
