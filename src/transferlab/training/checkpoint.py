"""A training between two epochs, in a file from which a killed stage goes on."""

import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(kw_only=True)
class Progress:
    """A training between two epochs: all that is needed to go on, and in the end its result."""

    epoch: int = 0
    phase: str = ""
    status: Literal["running", "finished", "diverged"] = "running"
    best: tuple[float, float] | None = None
    best_epoch: int | None = None
    best_tensors: dict[str, Tensor] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    shared: dict[str, float] = field(default_factory=dict)

    def passed(self, phase: str, seconds: float, shared: Mapping[str, float]) -> None:
        """Count an epoch that is over, whatever came of it.

        Args:
            phase: It belongs to.
            seconds: It took, beside those of tables that are shared.
            shared: Seconds of these tables, by their names.
        """
        self.epoch += 1
        self.phase = phase
        self.seconds += seconds
        self.shared |= shared

    def add(
        self, row: dict[str, Any], select_by: str, tensors: Callable[[], dict[str, Tensor]]
    ) -> None:
        """Append a row of the history, and keep the model when it is the best so far."""
        self.history.append(row)
        reached = rank(row, select_by)
        if self.best is None or reached > self.best:
            self.best, self.best_epoch, self.best_tensors = reached, row["epoch"], tensors()


def rank(row: Mapping[str, Any], select_by: str) -> tuple[float, float]:
    """What selects an epoch, larger is better: "accuracy" or "loss", and the other one between
    equals.
    """
    accuracy, loss = row["validation_accuracy"], row["validation_loss"]
    return (accuracy, -loss) if select_by == "accuracy" else (-loss, accuracy)


class Checkpoint:
    """Keeps a running training in a file of the cache, so that a killed stage goes on where it was.

    Args:
        path: Named by everything the training depends on.
        every: Seconds between two saves.
    """

    def __init__(self, path: Path, every: float):
        self.path, self.every, self.saved = path, every, time.monotonic()

    def load(self) -> Progress:
        """What an earlier attempt reached; a fresh start where there is none or the file is
        damaged.
        """
        try:
            # torch.load itself does not look at the checksums of its zip.
            with zipfile.ZipFile(self.path) as file:
                intact = file.testzip() is None
            return Progress(**torch.load(self.path, weights_only=True)) if intact else Progress()
        except Exception:  # there are half a dozen kinds of damage; each means: start afresh
            return Progress()

    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self.saved >= self.every

    def save(self, progress: Progress) -> None:
        """Write the progress, atomically.

        Raises:
            OSError: There is no room for it.
        """
        part = self.path.with_suffix(f".part-{os.getpid()}")
        try:
            torch.save(vars(progress), part)
        except RuntimeError as error:  # torch's word for a full disk
            part.unlink(missing_ok=True)
            raise OSError(
                f"{self.path}: not written ({error}). Free some space and run again."
            ) from error
        part.replace(self.path)
        self.saved = time.monotonic()

    def remove(self) -> None:
        """The training is done and stands elsewhere."""
        self.path.unlink(missing_ok=True)
