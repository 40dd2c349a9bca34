"""A training between two epochs, in a file from which a killed stage goes on."""

import contextlib
import logging
import os
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..params.learning.training import SelectBy
from ..pipeline import awaited, disk
from ..pipeline.files import atomic

DISK_MB = 10_000  # of all trainings together; see `sweep` for those that make room
DAYS = 30.0  # that a training stays after its result was recorded

logger = logging.getLogger(__name__)


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
        self,
        row: dict[str, Any],
        select_by: SelectBy | None,
        tensors: Callable[[], dict[str, Tensor]],
    ) -> None:
        """Append a row of the history, and keep the model when it is the best so far."""
        self.history.append(row)
        reached = rank(row, select_by)
        if self.best is None or reached > self.best:
            self.best, self.best_epoch, self.best_tensors = reached, row["epoch"], tensors()


def rank(row: Mapping[str, Any], select_by: SelectBy | None) -> tuple[float, float]:
    """What selects an epoch, larger is better: "accuracy" or "loss", and the other one between
    equals; or "last".
    """
    assert select_by is not None  # `GradientStrategy.filled` says it
    if select_by == "last":
        return float(row["epoch"]), 0.0
    accuracy, loss = row["validation_accuracy"], row["validation_loss"]
    return (accuracy, -loss) if select_by == "accuracy" else (-loss, accuracy)


class Checkpoint:
    """Keeps a training in a file of the cache, so that a killed stage goes on where it was.

    A finished one stays: until DVC has recorded its models, a full disk or an edit would cost the
    whole training. The save before the last stands beside it, for the case that this is damaged.

    Args:
        path: Named by everything the training depends on.
        every: Seconds between two saves.
        days: How long trainings stay that DVC has recorded.
    """

    def __init__(self, path: Path, every: float, days: float = DAYS):
        self.path, self.every, self.days = path, every, days
        self.saved = time.monotonic()
        self.previous = path.with_suffix(".previous.pt")
        self._warned = False

    def load(self) -> Progress:
        """What an earlier attempt reached; a fresh start where there is none."""
        for path, instead in (
            (self.path, "The save before it is taken"),
            (self.previous, "The training starts afresh"),
        ):
            if path.exists():
                try:
                    return _read(path)
                except Exception:  # there are half a dozen kinds of damage; all mean the same
                    logger.warning("%s: this saved training is damaged. %s.", path, instead)
                    # else the next save moves it over the good one; what follows is not recorded
                    with contextlib.suppress(OSError):
                        path.unlink()
                        awaited.mark_of(path).unlink(missing_ok=True)
        return Progress()

    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self.saved >= self.every

    def save(self, progress: Progress) -> None:
        """Write the progress, atomically. A disk that does not take it costs no training: it goes
        on, and says once what is wrong.
        """
        self.saved = time.monotonic()
        try:
            self._write(progress)
            sweep(self.path.parent, self.days, keep=self.path)
        except (OSError, RuntimeError) as error:  # torch's word for whatever the system says
            if not self._warned:
                cause = disk.named(disk.behind(error), self.path)
                logger.warning("%s: not saved (%s). The training goes on.", self.path, cause)
            self._warned = True

    def _write(self, progress: Progress) -> None:
        with atomic(self.path, "wb") as file:
            torch.save(vars(progress), file)
            file.flush()
            if self.path.exists():
                self.path.replace(self.previous)


def checkpoint_of(key: str, every: float) -> Checkpoint:
    """Where the training of this name saves itself.

    Raises:
        ValueError: `TRANSFERLAB_KEEP_DAYS` is no number of days.
    """
    return Checkpoint(awaited.saved_as(key), every, _days())


def _days() -> float:
    given = os.environ.get("TRANSFERLAB_KEEP_DAYS", "") or str(DAYS)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", given, re.ASCII):
        raise ValueError(
            f"TRANSFERLAB_KEEP_DAYS: expected a number of days, got {given!r}. Set it to how long "
            "a recorded training stays in the cache, or unset it."
        )
    return float(given)


def _read(path: Path) -> Progress:
    # torch.load itself does not look at the checksums of its zip.
    with zipfile.ZipFile(path) as file:
        if file.testzip() is not None:
            raise zipfile.BadZipFile(path)
    return Progress(**torch.load(path, weights_only=True))


def sweep(folder: Path, days: float, keep: Path) -> None:
    """Delete trainings whose result has been recorded and that were not used for so long, then what
    is needed least until all fit into `DISK_MB`.

    First the saves before the last ones go, then trainings whose result is recorded, and only then
    those that nothing else holds; among equals what was not saved for longest.
    """
    for mark in folder.glob(f"*{awaited.RECORDED}"):
        path = mark.with_suffix(".pt")
        used = awaited.recorded_at(path)
        if path != keep and used is not None and used < time.time() - 86400 * days:
            awaited.forget(path)
    files = []
    for file in folder.glob("*.pt"):
        with contextlib.suppress(OSError):  # another process sweeps as well
            status = file.stat()
            last = not file.name.endswith(".previous.pt")
            need = last + (last and awaited.recorded_at(file) is None)
            files.append((need, status.st_mtime, status.st_size / 1e6, file))
    taken = sum(size for _, _, size, _ in files)
    for _, _, size, file in sorted(files):
        if taken <= DISK_MB:
            break
        if file != keep:
            awaited.forget(file)
            taken -= size
