"""When a training saves itself: now and then, and when it is interrupted."""

import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from types import TracebackType

import torch
from torch import nn

from ..network import models
from ..pipeline import signals
from .checkpoint import Checkpoint, Progress

SECONDS = 1.0  # between two copies in memory: that much of many short epochs may be lost
SHARE = 0.02  # of the time, at most, that copies take; those from a device are slow


class Keeper:
    """Around a training's epochs.

    An interrupt comes in the middle of an epoch, when the tensors stand between two epochs: what is
    saved then is a copy from the end of the last one.

    Args:
        checkpoint: Where it is saved.
        model: What is trained.
        parts: Names of those that change.
    """

    def __init__(self, checkpoint: Checkpoint, model: nn.Module, parts: Iterable[str]):
        self.checkpoint, self.model, self.parts = checkpoint, model, list(parts)
        self.copy_due = time.monotonic() + SECONDS
        self.unsaved: Progress | None = None

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt) and self.unsaved is not None:
            with signals.held():
                self.checkpoint.save(self.unsaved)

    def epoch_done(self, progress: Progress, optimizer: torch.optim.Optimizer) -> None:
        """Save the progress where the interval has passed, else copy it."""
        if self.checkpoint.due():
            progress.tensors = models.tensors_of(self.model, self.parts)
            progress.optimizer = optimizer.state_dict()
            self.checkpoint.save(progress)
            self.unsaved = None
        elif (begun := time.monotonic()) >= self.copy_due:
            self.unsaved = self._copy(progress, optimizer)
            now = time.monotonic()
            self.copy_due = now + max(SECONDS, (now - begun) / SHARE)

    def _copy(self, progress: Progress, optimizer: torch.optim.Optimizer) -> Progress:
        return replace(
            progress,
            tensors=models.tensors_of(self.model, self.parts),
            optimizer=deepcopy(optimizer.state_dict()),
            history=list(progress.history),
            shared=dict(progress.shared),
        )
