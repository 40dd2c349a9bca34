"""Logistic regressions on parts of the same rows: one product with the matrix of features serves
all of them.

The objective is scikit-learn's, `C * sum(cross-entropy) + |W|^2 / 2` with a free bias, on features
that are standardised by the part's own rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from .minimise import minimise

ROUNDS = 5  # of `minimise`, at most


class Design:
    """The matrix of features, and how it spreads; in single precision too.

    Args:
        features: Raw, [N, F].
        labels: int64 [N], below `classes`.
        classes: Number of classes K.
        weights: Of the classes in the likelihood, [K]; None: all alike.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, weights: Tensor | None = None
    ):
        raw = features.double()
        self.mean, self.scale = _moments(raw)
        exact = (raw - self.mean) / self.scale
        squares, axes = (it.double() for it in _axes(exact.float()))  # for the preconditioner
        self.rows = _both(exact)
        self.axes = _both(axes)
        self.spread = _both(squares.clamp_min(0) / len(raw))
        self.labels, self.classes = labels, classes
        # of the rows, [N]
        self.weights = (
            None if weights is None else _both(weights.double().to(labels.device)[labels])
        )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def mask(self, parts: Sequence[np.ndarray]) -> Tensor:
        """Parts of the rows, given by their indices, as bool [Q, N]."""
        member = torch.zeros(len(parts), len(self), dtype=torch.bool)
        for own, part in zip(member, parts, strict=True):
            own[torch.from_numpy(part)] = True
        return member.to(self.labels.device)


def _both(exact: Tensor) -> dict[torch.dtype, Tensor]:
    return {torch.float64: exact, torch.float32: exact.float()}


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [F] of rows [N, F]; 1 instead of a deviation of zero."""
    scale = rows.std(0, correction=0)
    return rows.mean(0), torch.where(scale > 0, scale, 1.0)


def _axes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values [r] of rows [N, F], and their directions [F, r]."""
    if len(rows) >= rows.shape[1]:
        squares, axes = torch.linalg.eigh(rows.T @ rows)
        return squares, axes
    within, triangle = torch.linalg.qr(rows.T)  # rows = triangle.T @ within.T
    squares, axes = torch.linalg.eigh(triangle @ triangle.T)
    return squares, within @ axes


@dataclass(frozen=True, kw_only=True, eq=False)
class Regressions:
    """Q regressions, each on a part of the rows and with its own C.

    A point [Q, K, F + 1] holds weights on the part's own standardised features, and behind them the
    bias. Of two classes one is the other's negative: K is 1 then, the second class's half.

    Args:
        design: What all share.
        member: Which rows each part has, [Q, N].
        mean: Of the part's rows, of the design's standardised features, [Q, F].
        scale: Their standard deviation; 1 where it is zero.
        c: [Q].
        curvature: Of a row's loss by a logit, roughly, [Q]; for the preconditioner.
        dtype: Of the arithmetic.
    """

    design: Design
    member: Tensor
    mean: Tensor
    scale: Tensor
    c: Tensor
    curvature: Tensor
    dtype: torch.dtype

    @property
    def outputs(self) -> int:
        """K of the points."""
        return 1 if self.design.classes == 2 else self.design.classes

    @property
    def ridge(self) -> float:
        """Of two classes the penalty counts twice: once for each of them."""
        return 2.0 if self.outputs == 1 else 1.0

    def zeros(self) -> Tensor:
        """The points of zeros."""
        return self.mean.new_zeros(
            len(self.c), self.outputs, self.mean.shape[1] + 1, dtype=self.dtype
        )

    def only(self, going: Tensor) -> "Regressions":
        """Some of them, by bool [Q] or by their indices."""
        per_part = ("member", "mean", "scale", "c", "curvature")
        return replace(self, **{name: getattr(self, name)[going] for name in per_part})

    def at(self, c: Sequence[float]) -> "Regressions":
        """The same with other values of C, one for each."""
        return replace(self, c=self.mean.new_tensor(c))

    def raw(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [Q, K, F] and biases [Q, K] on the raw features, of every class."""
        weight, bias = self._on_design(points)
        weight = weight / self.design.scale
        bias = bias - weight @ self.design.mean
        if self.outputs > 1:
            return weight, bias
        return torch.cat([-weight, weight], dim=1), torch.cat([-bias, bias], dim=1)

    def losses(self, points: Tensor, rows: Tensor) -> Tensor:
        """Of other rows, given by bool [Q, N]: summed negative log-likelihood, float64 [Q]."""
        logs, _ = self._likelihood(self.linear(points), rows)
        return -logs

    def curving(self, linear: Tensor) -> "Regressions":
        """The same with the mean curvature at points with these logits."""
        _, error = self._likelihood(linear, self.member, weighted=False)
        truth = (error < 0).to(self.dtype)
        chance = (error + truth) if self.outputs > 1 else error.abs() / 2
        spread = chance * (1 - chance) * self.member[:, None].to(self.dtype)
        if (weights := self._weights) is not None:
            spread = spread * weights
        count = self.member.sum(1) * self.outputs
        curvature = spread.flatten(1).sum(1, dtype=torch.float64) / count
        if self.outputs == 1:
            curvature = 4 * curvature
        return replace(self, curvature=curvature.clamp_min(1e-6))

    def linear(self, points: Tensor) -> Tensor:
        """Logits of all rows, [Q, K, N]."""
        weight, bias = self._on_design(points)
        logits = weight.flatten(0, 1) @ self.design.rows[self.dtype].T
        return logits.view(*bias.shape, -1) + bias[..., None]

    def value(self, points: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Of the objective at points with these logits, float64 [Q], and of its slope by these what
        C multiplies, [Q, K, N].
        """
        likelihood, error = self._likelihood(linear, self.member)
        weights = points[..., :-1]
        penalty = (weights * weights).flatten(1).sum(1, dtype=torch.float64)
        return self.ridge * penalty / 2 - self.c * likelihood, error

    def slope(self, points: Tensor, error: Tensor) -> Tensor:
        """Of the objective at points, by what its value left there, [Q, K, F + 1]."""
        weights, c = points[..., :-1], self.c.to(self.dtype)[:, None, None]
        bias = error.sum(2)  # [Q, K]
        slope = (error.flatten(0, 1) @ self.design.rows[self.dtype]).view_as(weights)
        slope = (slope - bias[..., None] * self._mean) / self._scale
        return torch.cat([c * slope + self.ridge * weights, c * bias[..., None]], dim=2)

    def precondition(self, slopes: Tensor) -> Tensor:
        """Slopes by the inverse of `ridge + C * curvature * squares of the part's rows`, where the
        rows are taken to spread as all do.
        """
        weights, bias = slopes[..., :-1], slopes[..., -1:]
        bend = (self.c * self.curvature * self.member.sum(1)).to(self.dtype)[:, None, None]
        axes, spread = self.design.axes[self.dtype], self.design.spread[self.dtype]
        along = weights @ axes
        less = 1 / (self.ridge + bend * spread) - 1 / self.ridge
        return torch.cat([weights / self.ridge + (along * less) @ axes.T, bias / bend], dim=2)

    @property
    def _weights(self) -> Tensor | None:
        """Of the rows, [N]."""
        weights = self.design.weights
        return None if weights is None else weights[self.dtype]

    @property
    def _mean(self) -> Tensor:
        return self.mean.to(self.dtype)[:, None]

    @property
    def _scale(self) -> Tensor:
        return self.scale.to(self.dtype)[:, None]

    def _on_design(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [Q, K, F] and biases [Q, K] on the design's standardised features."""
        weight = points[..., :-1] / self._scale
        return weight, points[..., -1] - (weight * self._mean).sum(2)

    def _likelihood(
        self, logits: Tensor, rows: Tensor, weighted: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Log-likelihood of some rows [Q]; the slope of its negative by the logits [Q, K, N]."""
        labels = self.design.labels
        if self.outputs == 1:
            signs = (2 * labels - 1).to(self.dtype) * rows[:, None]
            logs = logsigmoid(2 * signs * logits)
            picked, error = logs[:, 0] * rows, 2 * signs * torch.expm1(logs)
        else:
            logs = log_softmax(logits, dim=1)
            truth = labels.expand(len(logs), 1, -1)
            picked = logs.gather(1, truth)[:, 0] * rows
            error = logs.exp()
            error.scatter_add_(1, truth, -torch.ones_like(picked)[:, None])
            error *= rows[:, None]
        if weighted and (weights := self._weights) is not None:
            picked, error = picked * weights, error * weights
        return picked.sum(1, dtype=torch.float64), error


def regressions(design: Design, parts: Sequence[np.ndarray], dtype: torch.dtype) -> Regressions:
    """Those on parts of the design's rows, given by their indices, with a C of 1."""
    member = design.mask(parts)
    moments = [_moments(design.rows[torch.float64][own]) for own in member]
    mean, scale = (torch.stack(values) for values in zip(*moments, strict=True))
    one = mean.new_ones(len(parts))
    return Regressions(
        design=design, member=member, mean=mean, scale=scale, c=one, curvature=one, dtype=dtype
    )


def solved(problems: Regressions, points: Tensor, tolerance: float) -> Tensor:
    """The points of the minima, up to a share of the objective, from a start [Q, K, F + 1].

    What is left is judged by the curvature, which falls on the way: it is taken anew until nothing
    moves. What single precision cannot tell from its rounding goes on in double: where C is large,
    the slope is a difference of large numbers.
    """
    exactly = problems.dtype == torch.float64
    for _ in range(ROUNDS):
        before, linear = points, problems.linear(points)
        points, done = minimise(problems.curving(linear), points, linear, tolerance)
        if torch.equal(before, points) or not (exactly or done.all()):
            break
    if exactly or done.all():
        return points
    exact = replace(problems.only(~done), dtype=torch.float64)
    points[~done] = solved(exact, points[~done].double(), tolerance).to(points.dtype)
    return points
