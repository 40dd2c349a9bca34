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
    parts = [fold_of != fold for fold in range(folds)]
    losses = torch.zeros_like(c)
    for kept, weight, bias in zip(parts, *_fit(features, labels, classes, c, parts), strict=True):
        logits = weight @ features[~kept].T + bias[..., None]  # [P, K, n]
        truth = labels[~kept].expand(len(c), -1)
        losses += cross_entropy(logits, truth, reduction="none").sum(1)
    best = int(losses.argmin())
    ((weight,),), ((bias,),) = _fit(
        features, labels, classes, c[best : best + 1], [torch.ones_like(labels, dtype=torch.bool)]
    )
    return Solution(
        weight=weight.float(),
        bias=bias.float(),
        c=float(c[best]),
        losses=(losses / len(labels)).tolist(),
    )


def _fit(
    features: Tensor, labels: Tensor, classes: int, c: Tensor, parts: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights [P, K, F] and biases [P, K] on raw features, one for each C, for each part of the rows (a mask [N]).

    The scaler of a part sees its own rows only.
    """
    scalers, bases, reduced, squares = [], [], [], []
    for part in parts:
        mean, scale = features[part].mean(0), features[part].std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        rows = (features[part] - mean) / scale
        # In the basis of the singular vectors the problem has as many dimensions as there are rows, and the same
        # optimum: the penalty does not change under rotation, and directions without data get no weight.
        basis, singular = _basis(rows)
        scalers.append((mean, scale))
        bases.append(basis)
        squares.append(singular**2)
        reduced.append(rows @ basis.T)
    # Parts of unequal size are filled up with rows and directions of zeros, which change nothing.
    images, width = max(map(len, reduced)), max(map(len, bases))
    design, truth = features.new_zeros(len(parts), images, width + 1), features.new_zeros(len(parts), classes, images)
    curvature = features.new_zeros(len(parts), width + 1)
    for q, (part, rows) in enumerate(zip(parts, reduced, strict=True)):
        design[q, : len(rows), : rows.shape[1]], design[q, : len(rows), -1] = rows, 1.0
        truth[q, :, : len(rows)] = one_hot(labels[part], classes).T
        curvature[q, : rows.shape[1]], curvature[q, -1] = squares[q], float(len(rows))
    inside = _minimise(design, curvature, truth, c)  # [Q, P, K, r + 1]
    weights = [
        w[..., : len(basis)] @ basis / scale for w, basis, (_, scale) in zip(inside, bases, scalers, strict=True)
    ]
    biases = [w[..., -1] - weight @ mean for w, weight, (mean, _) in zip(inside, weights, scalers, strict=True)]
    return weights, biases


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


def _minimise(design: Tensor, squares: Tensor, truth: Tensor, c: Tensor) -> Tensor:
    """Batched L-BFGS over [Q, P, K, r + 1], preconditioned by the bound on the curvature of Boehning (1992).

    Args:
        design: [Q, n, r + 1], the last column for the bias.
        squares: [Q, r + 1], sums of squares of its columns.
        truth: [Q, K, n], zeros and ones.
        c: [P].
    """
    ridge = torch.ones_like(squares[0])
    ridge[-1] = 0.0  # the bias is free
    scale = (ridge + c[:, None] * squares[:, None] / 2).sqrt()  # [Q, P, r + 1]
    scale = torch.where(scale > 0, scale, 1.0)[:, :, None]
    truth, shape = truth[:, None], (len(design), len(c), truth.shape[1], -1)

    def objective(point: Tensor) -> tuple[Tensor, Tensor]:
        theta = point / scale
        # One product for all problems of a part: [P * K, r + 1] @ [r + 1, n].
        logs = log_softmax((theta.flatten(1, 2) @ design.mT).view(shape), dim=2)
        value = -c * _dot(truth, logs) + _dot(ridge * theta, theta) / 2
        error = (logs.exp() - truth).flatten(1, 2)
        slope = c[:, None, None] * (error @ design).view(shape) + ridge * theta
        return value, slope / scale

    point = design.new_zeros(*shape[:3], design.shape[2])
    value, slope = objective(point)
    limit = TOLERANCE * slope.abs().amax((2, 3))
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(ITERATIONS):
        active = slope.abs().amax((2, 3)) > limit
        if not active.any():
            break
        step = torch.where(active[..., None, None], _direction(slope, pairs), 0.0)
        new, new_value, new_slope = _search(objective, point, value, slope, step)
        moved, bent = new - point, new_slope - slope
        inner = _dot(moved, bent)
        # A pair without curvature (a problem that has converged) must not steer.
        pairs = [*pairs, (moved, bent, torch.where(inner > 1e-14, 1 / inner, 0.0))][-MEMORY:]
        point, value, slope = new, new_value, new_slope
    return point / scale


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each problem: [Q, P, K, D] -> [Q, P]."""
    return (a * b).flatten(2).sum(2)


def _direction(slope: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion, for all problems at once."""
    direction, weights = -slope, []
    for moved, bent, inverse in reversed(pairs):
        weights.append(inverse * _dot(moved, direction))
        direction = torch.addcmul(direction, bent, weights[-1][..., None, None], value=-1)
    if pairs:
        moved, bent, inverse = pairs[-1]
        scale = 1 / (inverse * _dot(bent, bent))
        direction = torch.where(inverse > 0, scale, 1.0)[..., None, None] * direction
    for (moved, bent, inverse), weight in zip(pairs, reversed(weights), strict=True):
        share = (weight - inverse * _dot(bent, direction))[..., None, None]
        direction = torch.addcmul(direction, moved, share)
    return direction


def _search(objective, point: Tensor, value: Tensor, slope: Tensor, step: Tensor):  # type: ignore[no-untyped-def]
    """Backtracking to Armijo's condition, each problem with a length of its own; a problem that finds none stays."""
    down, rounding = _dot(slope, step), 1e-13 * value.abs()
    length = torch.ones_like(value)
    for _ in range(30):
        new = point + length[..., None, None] * step
        new_value, new_slope = objective(new)
        poor = ~(new_value <= value + 1e-4 * length * down + rounding)
        if not poor.any():
            return new, new_value, new_slope
        length = torch.where(poor, length / 2, length)
    new = torch.where(poor[..., None, None], point, new)
    return new, *objective(new)


def _stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row; every class is spread evenly."""
    chance, fold_of = named_generator(seed, "probe/folds"), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = chance.permutation(np.flatnonzero(labels == label))
        fold_of[rows] = np.arange(len(rows)) % folds
    return fold_of
