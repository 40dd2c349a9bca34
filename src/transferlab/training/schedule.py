"""The learning rate over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..params.learning.strategies import GradientStrategy


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a step happens.

    Args:
        epoch: Over all phases, from 0; chooses the views.
        phase_epoch: In its phase, from 0.
        length: Epochs of the phase.
        losses: Validation losses of the phase's epochs so far.
    """

    epoch: int
    phase_epoch: int
    length: int
    losses: Sequence[float] = ()


def rate(strategy: GradientStrategy, now: Moment, done: float) -> float:
    """Multiplier of the learning rate.

    Args:
        strategy: Says which schedule.
        now: Which epoch it is.
        done: Share of the epoch's steps, in [0, 1).
    """
    position = (now.phase_epoch + done) / now.length
    if position < strategy.warmup:
        return (position + 1e-3) / (strategy.warmup + 1e-3)
    if strategy.schedule == "cosine":
        return (1 + math.cos(math.pi * (position - strategy.warmup) / (1 - strategy.warmup))) / 2
    if strategy.schedule == "step":
        return float(0.1 ** (now.phase_epoch // (strategy.step_epochs or 1)))
    if strategy.schedule == "plateau":
        return plateau(now.losses, strategy.patience or 0)
    return 1.0


def plateau(losses: Sequence[float], patience: int) -> float:
    """What torch's ReduceLROnPlateau makes of the rate after these validation losses of the phase.

    It is replayed from the history, so that a training that was interrupted has no state of it to
    lose.
    """
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=patience, min_lr=0, eps=0)
    for loss in losses:
        scheduler.step(loss)
    return float(optimizer.param_groups[0]["lr"])
