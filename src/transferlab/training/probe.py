"""The linear probe: L2-regularised logistic regression, its strength chosen by cross-validation.

All folds go up the values of C side by side, each from where its last two minima point to, and stop
behind the minimum; where they are large, one goes ahead and the others only where it found its
minimum. What cross-validation compares is solved in single precision as far as that
tells the objective from its rounding, the result in double.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.chance import named_generator
from ..pipeline import heartbeat
from .minimise import MEMORY
from .regression import Design, Regressions, regressions, solved

ROUGH = 1e-6  # what may be left of the objective above its minimum, where values of C are compared
CLOSE = 1e-12  # the same of the result
PATIENCE = 2  # values of C in a row that are worse than the best before the way ends
SCOUTED = 1_000_000  # images times classes above which one fold goes ahead of the others


_Fold = tuple[np.ndarray, np.ndarray]
"""Rows that are fitted, and those that are left out."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A fitted probe as a linear layer on raw features.

    Args:
        weight: float32 [K, F].
        bias: float32 [K].
        c: The chosen C.
        losses: Cross-validated negative log-likelihood per image, one for each C that all folds
            tried: up to `PATIENCE` behind the chosen one.
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
    seed: int,
    memory_mb: float,
    weights: Tensor | None = None,
) -> Solution:
    """Fit a probe; it depends on nothing but these rows.

    Args:
        features: [N, F].
        labels: int64 [N], below `classes`.
        classes: Number of classes K.
        c_grid: Values of C to choose from by the lowest cross-validated loss, upwards until it only
            rises; the smaller C wins a tie.
        folds: Of the inner cross-validation; never more than the smallest class has images.
        seed: Draws the folds.
        memory_mb: What the solver may occupy beside the features: it takes fewer folds at once, and
            one even where there is no room for it.
        weights: Of the classes in every loss, [K]; None: all alike.

    Raises:
        ValueError: A class has a single image, so that nothing can be cross-validated; or a feature
            is no number.
    """
    _require_numbers(features)
    design = Design(features, labels.to(features.device), classes, weights)
    divided = _folds_of(labels.cpu().numpy(), classes, folds, seed)
    (c, _, start), losses = _chosen(design, divided, sorted(c_grid), memory_mb)
    problem = regressions(design, [np.arange(len(design))], torch.float64).at([c])
    points = solved(problem, start[None].double(), CLOSE)
    (weight,), (bias,) = problem.raw(points)
    return Solution(weight=weight.float(), bias=bias.float(), c=c, losses=losses)


def _require_numbers(features: Tensor) -> None:
    endless = int((~features.isfinite().all(1)).sum())
    if endless:
        raise ValueError(
            f"probe: expected features that are numbers, got NaN or infinity for {endless} of "
            f"{len(features)} images. Use other weights (backbone.weights), or engine.precision="
            "fp32 where it is bf16."
        )


_Step = tuple[float, float, Tensor]
"""A value of C, the folds' loss per row there, and the mean of their points [K, F + 1]."""


def _chosen(
    design: Design, folds: Sequence[_Fold], c_grid: Sequence[float], room: float
) -> tuple[_Step, list[float]]:
    """The best value of C, and the losses of those that all folds tried.

    Where they are large the first fold goes ahead; all go from `PATIENCE` below its minimum on, and
    from further below if that was not low enough.
    """
    low, start = 0, None
    if len(design) * design.classes > SCOUTED:
        scouted = _climb(design, folds[:1], c_grid, room)
        low = max(0, _best(scouted) - PATIENCE)
        start = scouted[low][2]
    way = _climb(design, folds, c_grid[low:], room, start)
    while low > 0 and _best(way) == 0:
        low = max(0, low - PATIENCE)
        way = _climb(design, folds, c_grid[low:], room, way[0][2])
    return way[_best(way)], [loss for _, loss, _ in way]


def _best(way: Sequence[_Step]) -> int:
    """Which step has the lowest loss; the first of them."""
    return min(range(len(way)), key=lambda number: way[number][1])


def _climb(
    design: Design,
    folds: Sequence[_Fold],
    c_grid: Sequence[float],
    room: float,
    start: Tensor | None = None,
) -> list[_Step]:
    """Up the values of C until the minimum is behind, from a point [K, F + 1] or from zeros."""
    rough = torch.float32 if design.labels.device.type == "cpu" else torch.float64
    problems = regressions(design, [fitted for fitted, _ in folds], rough)
    left_out = design.mask([asked for _, asked in folds])
    points, way, count = problems.zeros(), list[_Step](), int(left_out.sum())
    if start is not None:
        points += start
    moved = torch.zeros_like(points)
    strides = [0.0, 0.0, *map(_stride, c_grid, c_grid[1:], c_grid[2:])]
    for c, stride in heartbeat.each(zip(c_grid, strides, strict=False), "values of C", len(c_grid)):
        loss = 0.0
        for some in _together(problems, room):
            now, before = problems.only(some).at([c] * len(some)), points[some]
            points[some] = solved(now, before + stride * moved[some], ROUGH)
            moved[some] = points[some] - before
            loss += float(now.losses(points[some], left_out[some]).sum())
        way.append((c, loss / count, points.mean(0)))
        if len(way) - 1 - _best(way) == PATIENCE:
            break
    return way


def _stride(first: float, second: float, third: float) -> float:
    """How far the third of three values is behind the second, in steps from the first to that:
    minima move about evenly with the logarithm of C.
    """
    return math.log(third / second) / math.log(second / first) if second > first else 0.0


def _together(problems: Regressions, room: float) -> Iterator[Tensor]:
    """Indices of as many of the problems at once as there is room for, in MB, in double precision:
    some may end in it.
    """
    vectors, logits = 3 * MEMORY + 12, 10  # that are held at the same time
    count, rows = problems.member.shape
    numbers = problems.outputs * (vectors * (problems.mean.shape[1] + 1) + logits * rows)
    at_once = max(1, int(room * 1e6 / (numbers * torch.float64.itemsize)))
    yield from torch.split(torch.arange(count, device=problems.member.device), at_once)


def _folds_of(labels: np.ndarray, classes: int, folds: int, seed: int) -> list[_Fold]:
    count = min(folds, int(np.bincount(labels, minlength=classes).min()))
    if count < 2:
        raise ValueError(
            "strategies.probe.folds: expected two images or more of every class to cross-validate "
            f"on, got {count} of the smallest. Add images of it, or leave it out: dataset.classes."
        )
    fold_of = _stratified_folds(labels, count, seed)
    return [
        (np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number))
        for number in range(count)
    ]


def _stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row; every class is spread evenly."""
    rng, fold_of = named_generator(seed, "probe/folds"), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold_of[rows] = np.arange(len(rows)) % folds
    return fold_of
