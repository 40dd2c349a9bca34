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
        logits = features[held] @ weight + bias[:, None]  # [P, n, K]
        truth = labels[held].expand(len(c), -1)
        losses += cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none").view(len(c), -1).sum(1)
    best = int(losses.argmin())
    weight, bias = _fit(features, labels, classes, c[best : best + 1])
    return Solution(
        weight=weight[0].T.float().contiguous(),
        bias=bias[0].float(),
        c=float(c[best]),
        losses=(losses / len(labels)).tolist(),
    )


def _fit(features: Tensor, labels: Tensor, classes: int, c: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [P, F, K] and biases [P, K] on raw features, one for each C; the scaler sees these rows only."""
    mean, scale = features.mean(0), features.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    # In the basis of the singular vectors the problem has as many dimensions as there are rows, and the same optimum:
    # the penalty does not change under rotation, and directions without data get no weight.
    _, singular, basis = torch.linalg.svd((features - mean) / scale, full_matrices=False)
    kept = singular > singular[0] * 1e-10
    singular, basis = singular[kept], basis[kept]
    reduced = (features - mean) / scale @ basis.T
    inside, bias = _minimise(reduced, singular, one_hot(labels, classes).double(), c)
    weight = basis.T @ inside / scale[:, None]
    return weight, bias - torch.einsum("f,pfk->pk", mean, weight)


def _minimise(rows: Tensor, singular: Tensor, truth: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Batched L-BFGS over [r + 1, P, K], preconditioned by the bound on the curvature of Boehning (1992)."""
    design = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
    ridge = torch.ones(design.shape[1], dtype=design.dtype, device=design.device)
    ridge[-1] = 0.0  # the bias is free
    squares = torch.cat([singular**2, torch.full_like(singular[:1], float(len(rows)))])
    scale = (ridge[:, None] + c * squares[:, None] / 2).sqrt()[..., None]  # [r + 1, P, 1]

    def objective(point: Tensor) -> tuple[Tensor, Tensor]:
        theta = point / scale
        # One product for all problems: [n, r + 1] @ [r + 1, P * K].
        logs = log_softmax((design @ theta.flatten(1)).view(len(design), *theta.shape[1:]), dim=-1)
        value = -c * (truth[:, None] * logs).sum((0, 2)) + (ridge[:, None, None] * theta**2).sum((0, 2)) / 2
        error = (logs.exp() - truth[:, None]).flatten(1)
        slope = c[:, None] * (design.T @ error).view_as(theta) + ridge[:, None, None] * theta
        return value, slope / scale

    point = torch.zeros(design.shape[1], len(c), truth.shape[1], dtype=design.dtype, device=design.device)
    value, slope = objective(point)
    limit = TOLERANCE * slope.abs().amax((0, 2), keepdim=True)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(ITERATIONS):
        active = slope.abs().amax((0, 2), keepdim=True) > limit
        if not active.any():
            break
        step = torch.where(active, _direction(slope, pairs), 0.0)
        new, new_value, new_slope = _search(objective, point, value, slope, step)
        moved, bent = new - point, new_slope - slope
        inner = (moved * bent).sum((0, 2), keepdim=True)
        # A pair without curvature (a problem that has converged) must not steer.
        pairs = [*pairs, (moved, bent, torch.where(inner > 1e-14, 1 / inner, 0.0))][-MEMORY:]
        point, value, slope = new, new_value, new_slope
    theta = (point / scale).transpose(0, 1)
    return theta[:, :-1], theta[:, -1]


def _direction(slope: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion, for all problems at once."""
    direction, weights = -slope, []
    for moved, bent, inverse in reversed(pairs):
        weights.append(inverse * (moved * direction).sum((0, 2), keepdim=True))
        direction = direction - weights[-1] * bent
    if pairs:
        moved, bent, inverse = pairs[-1]
        scale = 1 / (inverse * (bent**2).sum((0, 2), keepdim=True))
        direction = torch.where(inverse > 0, scale, 1.0) * direction
    for (moved, bent, inverse), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + moved * (weight - inverse * (bent * direction).sum((0, 2), keepdim=True))
    return direction


def _search(objective, point: Tensor, value: Tensor, slope: Tensor, step: Tensor):  # type: ignore[no-untyped-def]
    """Backtracking to Armijo's condition, each problem with a length of its own; a problem that finds none stays."""
    down, rounding = (slope * step).sum((0, 2)), 1e-13 * value.abs()
    length = torch.ones_like(value)
    for _ in range(30):
        new = point + length[:, None] * step
        new_value, new_slope = objective(new)
        poor = ~(new_value <= value + 1e-4 * length * down + rounding)
        if not poor.any():
            return new, new_value, new_slope
        length = torch.where(poor, length / 2, length)
    new = torch.where(poor[:, None], point, new)
    return new, *objective(new)


def _stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row; every class is spread evenly."""
    chance, fold_of = named_generator(seed, "probe/folds"), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = chance.permutation(np.flatnonzero(labels == label))
        fold_of[rows] = np.arange(len(rows)) % folds
    return fold_of
