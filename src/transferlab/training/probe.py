"""The linear probe: L2-regularised logistic regression in float64, its strength chosen by
cross-validation.

The objective is scikit-learn's, `C * sum(cross-entropy) + |W|^2 / 2` with a free bias; all seeds,
folds and values of C are solved side by side in one batched L-BFGS (Nocedal & Wright, algorithm
7.5).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid, one_hot

from ..data.chance import named_generator

MEMORY = 6  # pairs that L-BFGS keeps

ITERATIONS = 300

AT_ONCE_MB = 1000  # of what L-BFGS keeps for the seeds that are solved together

CROWD = 0.8  # share of the values of C still at work from which the others are dropped

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
        ValueError: A class has a single image, so that nothing can be cross-validated.
    """
    features, labels = features.double(), labels.to(features.device)
    c = torch.tensor(sorted(c_grid), dtype=torch.float64, device=features.device)
    found: dict[int, Solution] = {}
    waiting = list(seeds)
    while waiting:
        rows, width = len(seeds[waiting[0]]), features.shape[1]
        inside, vectors = min(rows, width), len(c) * (1 if classes == 2 else classes)
        numbers = (
            2 * rows * inside + rows * width + vectors * ((2 * MEMORY + 8) * inside + 6 * rows)
        )  # of one fold
        at_once = max(1, int(AT_ONCE_MB * 1e6 / (8 * folds * numbers)))
        some, waiting = waiting[:at_once], waiting[at_once:]
        found |= _solve(
            features, labels, classes, c, folds=folds, seeds={seed: seeds[seed] for seed in some}
        )
    return found


def _solve(
    features: Tensor,
    labels: Tensor,
    classes: int,
    c: Tensor,
    *,
    folds: int,
    seeds: Mapping[int, np.ndarray],
) -> dict[int, Solution]:
    divisions = []  # seed, rows to fit, rows to look at
    for seed, rows in seeds.items():
        truth = labels[torch.from_numpy(rows).to(labels.device)].cpu().numpy()
        count = min(folds, int(np.bincount(truth, minlength=classes).min()))
        if count < 2:
            raise ValueError(
                "strategies.probe.folds: expected two images or more of every class to "
                "cross-validate on."
            )
        fold_of = _stratified_folds(truth, count, seed)
        divisions += [(seed, rows[fold_of != fold], rows[fold_of == fold]) for fold in range(count)]
    fitted = _fit(
        features, labels, classes, c.expand(len(divisions), -1), [rows for _, rows, _ in divisions]
    )
    losses = {seed: torch.zeros_like(c) for seed in seeds}
    for (seed, _, aside), weight, bias in zip(divisions, *fitted, strict=True):
        seen = torch.from_numpy(aside).to(features.device)
        logits = weight @ features[seen].T + bias[..., None]  # [P, K, n]
        losses[seed] += cross_entropy(
            logits, labels[seen].expand(len(c), -1), reduction="none"
        ).sum(1)
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


def _fit(
    features: Tensor, labels: Tensor, classes: int, c: Tensor, parts: Sequence[np.ndarray]
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights [P, K, F] and biases [P, K] on raw features, one for each C [Q, P], for each part of
    the rows.

    The scaler of a part sees its own rows only.
    """
    spaces = []
    for part in parts:
        rows = features[torch.from_numpy(part).to(features.device)]
        mean, scale = rows.mean(0), rows.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        spaces.append((mean, scale, *_rotated((rows - mean) / scale)))
    # Parts of unequal size are filled up with rows and directions of zeros, which change nothing.
    shapes = [inside.shape for _, _, inside, *_ in spaces]
    images, width = (max(sizes) for sizes in zip(*shapes, strict=True))
    design, truth = (
        features.new_zeros(len(parts), images, width + 1),
        features.new_zeros(len(parts), classes, images),
    )
    curvature = features.new_zeros(len(parts), width + 1)
    for q, (part, (_, _, inside, singular, _)) in enumerate(zip(parts, spaces, strict=True)):
        n, r = inside.shape
        design[q, :n, :r], design[q, :n, -1] = inside, 1.0
        truth[q, :, :n] = one_hot(labels[torch.from_numpy(part).to(labels.device)], classes).T
        curvature[q, :r], curvature[q, -1] = singular**2, float(n)
    weights, biases = [], []
    for found, (mean, scale, inside, _, back) in zip(
        _minimise(design, curvature, truth, c), spaces, strict=True
    ):
        weights.append(back(found[..., : inside.shape[1]]) / scale)
        biases.append(found[..., -1] - weights[-1] @ mean)
    return weights, biases


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


def _minimise(design: Tensor, squares: Tensor, truth: Tensor, c: Tensor) -> Tensor:
    """Batched L-BFGS over [Q, P, K, r + 1], preconditioned by the bound on the curvature of
    Boehning (1992).

    Args:
        design: [Q, n, r + 1], the last column for the bias.
        squares: [Q, r + 1], sums of squares of its columns.
        truth: [Q, K, n], zeros and ones.
        c: [Q, P].
    """
    # Of two classes one is the other's negative: half the variables, with twice the penalty and
    # twice the curvature.
    signs = (
        truth[:, None, 1:] - truth[:, None, :1] if truth.shape[1] == 2 else None
    )  # [Q, 1, 1, n], 0 where no row is
    ridge = torch.full_like(squares[0], 1.0 if signs is None else 2.0)
    ridge[-1] = 0.0  # the bias is free
    scale = (
        ridge + c[..., None] * squares[:, None] / (2 if signs is None else 1)
    ).sqrt()  # [Q, P, r + 1]
    scale = torch.where(scale > 0, scale, 1.0)[:, :, None]
    truth, rows = truth[:, None], truth.shape[1] if signs is None else 1
    shape = len(design), -1, rows, design.shape[1]

    def objective(point: Tensor) -> tuple[Tensor, Tensor]:
        theta = point / scale
        # One product for all problems of a part: [P * K, r + 1] @ [r + 1, n].
        logits = (theta.flatten(1, 2) @ design.mT).view(shape)
        if signs is None:
            logs = log_softmax(logits, dim=2)
            likelihood, error = _dot(truth, logs), logs.exp() - truth
        else:
            logs = logsigmoid(2 * signs * logits)
            likelihood, error = _dot(signs.abs(), logs), 2 * signs * torch.expm1(logs)
        value = _dot(ridge * theta, theta) / 2 - c * likelihood
        slope = c[..., None, None] * (error.flatten(1, 2) @ design).view_as(theta) + ridge * theta
        return value, slope / scale

    point = design.new_zeros(len(design), c.shape[1], rows, design.shape[2])
    value, slope = objective(point)
    limit = TOLERANCE * slope.abs().amax((2, 3))
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    solved, left = torch.empty_like(point), torch.arange(c.shape[1], device=c.device)
    for turn in range(ITERATIONS + 1):
        active = slope.abs().amax((2, 3)) > limit
        going = active.any(0) if turn < ITERATIONS else torch.zeros_like(left, dtype=torch.bool)
        if going.sum() <= CROWD * len(left):  # for the values of C that are done, no more passes
            solved[:, left] = point / scale
            if not going.any():
                break
            left, c, scale, active = left[going], c[:, going], scale[:, going], active[:, going]
            point, value, slope, limit = (found[:, going] for found in (point, value, slope, limit))
            pairs = [
                (moved[:, going], bent[:, going], inverse[:, going])
                for moved, bent, inverse in pairs
            ]
        step = torch.where(active[..., None, None], _direction(slope, pairs), 0.0)
        new, new_value, new_slope = _search(objective, point, value, slope, step)
        moved, bent = new - point, new_slope - slope
        inner = _dot(moved, bent)
        # A pair without curvature (a problem that has converged) must not steer.
        pairs = [*pairs, (moved, bent, torch.where(inner > 1e-14, 1 / inner, 0.0))][-MEMORY:]
        point, value, slope = new, new_value, new_slope
    return solved if signs is None else torch.cat([-solved, solved], dim=2)


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
    """Backtracking to Armijo's condition, each problem with a length of its own; a problem that
    finds none stays.
    """
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
