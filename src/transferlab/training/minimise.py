"""Many smooth convex problems side by side, minimised by one batched, preconditioned L-BFGS
(Nocedal & Wright, algorithm 7.5).
"""

from typing import Protocol

import torch
from torch import Tensor

MEMORY = 6  # pairs that L-BFGS keeps
ITERATIONS = 300
HALVINGS = 10  # of a step, at most: one that is shorter goes down by no more than rounding
CROWD = 0.8  # share of the problems still at work from which the others are dropped


class Problems(Protocol):
    """Q objectives, each of a point [K, D], by way of something that is linear in it."""

    def linear(self, points: Tensor) -> Tensor:
        """What is linear in points [Q, K, D], and costs most: [Q, ...]."""

    def value(self, points: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Values float64 [Q], and what the slope needs of them: as large as what is linear."""

    def slope(self, points: Tensor, residual: Tensor) -> Tensor:
        """Slopes [Q, K, D], by what the value left for them."""

    def precondition(self, slopes: Tensor) -> Tensor:
        """Slopes [Q, K, D] times the inverse of what roughly curves the objectives."""

    def only(self, going: Tensor) -> "Problems":
        """Some of the problems: bool [Q]."""


_Pair = tuple[Tensor, Tensor, Tensor, Tensor]
"""How far a step went, how the slope changed, the latter preconditioned, and the inverse of the
inner product of the first two.
"""


def minimise(
    problems: Problems, points: Tensor, linear: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The points of the minima, and which of the problems are done: bool [Q].

    A problem that is not has come down to rounding, or to the last iteration.

    Args:
        problems: What is minimised.
        points: Where to start, [Q, K, D].
        linear: What is linear in these.
        tolerance: A problem is done when its value is above the minimum by about this share of it.
    """
    value, residual = problems.value(points, linear)
    slope = problems.slope(points, residual)
    ahead = problems.precondition(slope)
    pairs: list[_Pair] = []
    solved, left = points.clone(), torch.arange(len(points), device=points.device)
    stuck, done = (torch.zeros_like(left, dtype=torch.bool) for _ in range(2))
    for turn in range(ITERATIONS + 1):
        done[left] = above(slope, ahead) <= tolerance * value
        going = ~done[left] & ~stuck
        if turn == ITERATIONS or not going.any():
            solved[left] = points
            break
        if going.sum() <= CROWD * len(going):  # dropping copies all that goes on
            solved[left] = points
            problems, left = problems.only(going), left[going]
            kept = points, linear, value, slope, ahead, stuck
            points, linear, value, slope, ahead, stuck = (it[going] for it in kept)
            pairs = [_some(pair, going) for pair in pairs]
            going = going[going]
        # a problem that is done waits where it is
        step = torch.where(going[:, None, None], _direction(slope, ahead, pairs), 0.0)
        before = points, slope, ahead
        down = _dot(slope, step)
        points, linear, value, residual = _search(
            problems, points, linear, value, step=step, down=down
        )
        slope = problems.slope(points, residual)
        stuck = stuck | going & (points == before[0]).flatten(1).all(1)  # down to rounding
        ahead = problems.precondition(slope)
        moves = (now - then for now, then in zip((points, slope, ahead), before, strict=True))
        pairs = [*pairs, _pair(*moves)][-MEMORY:]
    return solved, done


def above(slopes: Tensor, preconditioned: Tensor) -> Tensor:
    """How far each value is above its minimum, roughly: float64 [Q]."""
    return _dot(slopes, preconditioned) / 2


def _some(pair: _Pair, going: Tensor) -> _Pair:
    moved, bent, ahead, inverse = pair
    return moved[going], bent[going], ahead[going], inverse[going]


def _pair(moved: Tensor, bent: Tensor, ahead: Tensor) -> _Pair:
    inner = _dot(moved, bent)
    # A pair without curvature (a problem that is done) must not steer.
    return moved, bent, ahead, torch.where(inner > 0, 1 / inner, 0.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each problem: [Q, K, D] -> float64 [Q]."""
    return (a * b).flatten(1).sum(1, dtype=torch.float64)


def _times(factors: Tensor, vectors: Tensor) -> Tensor:
    """[Q] times [Q, K, D]."""
    return factors.to(vectors.dtype)[:, None, None] * vectors


def _direction(slope: Tensor, ahead: Tensor, pairs: list[_Pair]) -> Tensor:
    """The two-loop recursion for all problems at once.

    The preconditioner is linear, so that the recursion needs no product with it: of all slopes the
    preconditioned ones are at hand.
    """
    direction, ahead, weights = -slope, -ahead, []
    for moved, bent, bent_ahead, inverse in reversed(pairs):
        weights.append(inverse * _dot(moved, direction))
        direction = direction - _times(weights[-1], bent)
        ahead = ahead - _times(weights[-1], bent_ahead)
    if pairs:
        _, bent, bent_ahead, inverse = pairs[-1]
        scale = 1 / (inverse * _dot(bent, bent_ahead))
        ahead = _times(torch.where(inverse > 0, scale, 1.0), ahead)
    for (moved, bent, _, inverse), weight in zip(pairs, reversed(weights), strict=True):
        ahead = ahead + _times(weight - inverse * _dot(bent, ahead), moved)
    return ahead


def _search(
    problems: Problems,
    points: Tensor,
    linear: Tensor,
    value: Tensor,
    *,
    step: Tensor,
    down: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Backtracking to Armijo's condition, each problem with a length of its own; a problem that
    finds none stays. What is linear is computed once for all lengths.

    Args:
        problems: What is minimised.
        points: Where they stand.
        linear: What is linear in these.
        value: Of each there.
        step: The longest.
        down: How steeply it goes down, [Q].
    """
    along, rounding = problems.linear(step), 4 * torch.finfo(points.dtype).eps * value.abs()
    length = torch.ones_like(value)
    for _ in range(HALVINGS):
        new, new_linear = points + _times(length, step), linear + _times(length, along)
        new_value, residual = problems.value(new, new_linear)
        poor = ~(new_value <= value + 1e-4 * length * down + rounding)
        if not poor.any():
            return new, new_linear, new_value, residual
        length = torch.where(poor, length / 2, length)
    stays = poor[:, None, None]
    new, new_linear = torch.where(stays, points, new), torch.where(stays, linear, new_linear)
    return new, new_linear, *problems.value(new, new_linear)
