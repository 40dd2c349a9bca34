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
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid, one_hot

from ..data.chance import named_generator

MEMORY = 6  # pairs that L-BFGS keeps

ITERATIONS = 300

AT_ONCE_MB = 1000  # of what L-BFGS keeps for the seeds that are solved together

CROWD = 0.8  # share of the values of C still at work from which the others are dropped

TOLERANCE = 1e-6  # of the largest preconditioned slope, relative to the one at the start

_Pair = tuple[Tensor, Tensor, Tensor]


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
    for theta, space in zip(_minimise(problem), spaces, strict=True):
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
) -> "_Problem":
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
    return _Problem(design, squares, truth, c)


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


class _Problem:
    """What is minimised: the objectives of Q parts with P values of C each, as functions of points
    [Q, P, K, r + 1].

    Points are preconditioned: a point is theta, the weights and the bias, times `scale`.

    Args:
        design: [Q, n, r + 1], the last column for the bias.
        squares: [Q, r + 1], sums of squares of its columns.
        truth: [Q, K, n], zeros and ones; zeros alone where there is no row.
        c: [Q, P].
    """

    def __init__(self, design: Tensor, squares: Tensor, truth: Tensor, c: Tensor):
        self.design, self.c, self.truth = design, c, truth[:, None]
        # Of two classes one is the other's negative, so half the variables will do: of the logits
        # -z and z only z. Its penalty then counts twice, and its curvature too.
        self.signs = None  # else [Q, 1, 1, n]: -1 or 1, and 0 where no row is
        if truth.shape[1] == 2:
            self.signs = truth[:, None, 1:] - truth[:, None, :1]
        self.ridge = torch.full_like(squares[0], 1.0 if self.signs is None else 2.0)
        self.ridge[-1] = 0.0  # the bias is free
        # Boehning (1992): the curvature of the cross-entropy is at most half the squares (for z,
        # which moves two logits, the squares). In points scaled by its root every direction curves
        # about as much as any other.
        bound = squares[:, None] / (2 if self.signs is None else 1)
        scale = (self.ridge + c[..., None] * bound).sqrt()  # [Q, P, r + 1]
        self.scale = torch.where(scale > 0, scale, 1.0)[:, :, None]

    def start(self) -> Tensor:
        """The point of zeros."""
        parts, values = self.c.shape
        outputs = self.truth.shape[2] if self.signs is None else 1
        return self.design.new_zeros(parts, values, outputs, self.design.shape[2])

    def theta(self, point: Tensor) -> Tensor:
        """The weights, and the bias behind them, of every output that is solved for."""
        return point / self.scale

    def objective(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Values [Q, P] and slopes [Q, P, K, r + 1] at a point."""
        theta, (parts, values, outputs, _) = self.theta(point), point.shape
        # One product for all problems of a part: [P * K, r + 1] @ [r + 1, n].
        logits = (theta.flatten(1, 2) @ self.design.mT).view(parts, values, outputs, -1)
        likelihood, error = self._likelihood(logits)
        value = _dot(self.ridge * theta, theta) / 2 - self.c * likelihood
        slope = (error.flatten(1, 2) @ self.design).view_as(theta)
        slope = self.c[..., None, None] * slope + self.ridge * theta
        return value, slope / self.scale

    def _likelihood(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log-likelihood [Q, P], and the slope of its negative by the logits [Q, P, K, n]."""
        if self.signs is None:
            logs = log_softmax(logits, dim=2)
            return _dot(self.truth, logs), logs.exp() - self.truth
        logs = logsigmoid(2 * self.signs * logits)
        return _dot(self.signs.abs(), logs), 2 * self.signs * torch.expm1(logs)

    def drop(self, going: Tensor) -> None:
        """Keep only some values of C: bool [P]."""
        self.c, self.scale = self.c[:, going], self.scale[:, going]

    def all_outputs(self, theta: Tensor) -> Tensor:
        """Solutions for every class [Q, P, K, r + 1]."""
        return theta if self.signs is None else torch.cat([-theta, theta], dim=2)


def _minimise(problem: _Problem) -> Tensor:
    """Batched L-BFGS; gives theta [Q, P, K, r + 1] of every class."""
    point = problem.start()
    value, slope = problem.objective(point)
    limit = TOLERANCE * _steepest(slope)
    pairs: list[_Pair] = []
    solved = torch.empty_like(point)
    left = torch.arange(point.shape[1], device=point.device)
    for turn in range(ITERATIONS + 1):
        active = _steepest(slope) > limit
        going = active.any(0) if turn < ITERATIONS else torch.zeros_like(left, dtype=torch.bool)
        # A value of C that is done in all parts takes no more passes. To drop it copies all that
        # goes on: worth it once a fifth of them is done.
        if going.sum() <= CROWD * len(left):
            solved[:, left] = problem.theta(point)
            if not going.any():
                break
            problem.drop(going)
            left, active = left[going], active[:, going]
            point, value, slope, limit = (kept[:, going] for kept in (point, value, slope, limit))
            pairs = [
                (moved[:, going], bent[:, going], inverse[:, going])
                for moved, bent, inverse in pairs
            ]
        # A problem that has converged waits where it is.
        step = torch.where(active[..., None, None], _direction(slope, pairs), 0.0)
        new, new_value, new_slope = _search(problem.objective, point, value, slope, step)
        pairs = [*pairs, _pair(new - point, new_slope - slope)][-MEMORY:]
        point, value, slope = new, new_value, new_slope
    return problem.all_outputs(solved)


def _steepest(slope: Tensor) -> Tensor:
    """The largest slope of each problem: [Q, P]."""
    return slope.abs().amax((2, 3))


def _pair(moved: Tensor, bent: Tensor) -> _Pair:
    """What L-BFGS learns from a step: how far it went, how the slope changed, and the inverse of
    their product.
    """
    inner = _dot(moved, bent)
    # A pair without curvature (a problem that has converged) must not steer.
    return moved, bent, torch.where(inner > 1e-14, 1 / inner, 0.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each problem: [Q, P, K, D] -> [Q, P]."""
    return (a * b).flatten(2).sum(2)


def _direction(slope: Tensor, pairs: list[_Pair]) -> Tensor:
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


def _search(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    point: Tensor,
    value: Tensor,
    slope: Tensor,
    step: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
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
    rng, fold_of = named_generator(seed, "probe/folds"), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold_of[rows] = np.arange(len(rows)) % folds
    return fold_of
