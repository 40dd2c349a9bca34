"""Many logistic regressions side by side, minimised by one batched L-BFGS."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

MEMORY = 6  # pairs that L-BFGS keeps
ITERATIONS = 300
CROWD = 0.8  # share of the values of C still at work from which the others are dropped
TOLERANCE = 1e-6  # of the largest preconditioned slope, relative to the one at the start
_Pair = tuple[Tensor, Tensor, Tensor]


class Problem:
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


def minimise(problem: Problem) -> Tensor:
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
