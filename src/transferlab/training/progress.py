"""What a person sees of a running training: a bar on a terminal, one line per seed elsewhere."""

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

from ..pipeline import heartbeat

log = logging.getLogger(__name__)


def in_words(row: Mapping[str, Any]) -> str:
    """What was measured in an epoch: `train loss 0.213, 94.5 %; validation 0.301, 91.2 %`."""
    said = [
        f"{shown} {row[f'{phase}_loss']:.3f}, {100 * row[f'{phase}_accuracy']:.1f} %"
        for phase, shown in (("train", "train loss"), ("validation", "validation"))
        if row[f"{phase}_loss"] is not None
    ]
    return "; ".join(said)


class Bar:
    """Progress over epochs.

    Args:
        title: What is being trained.
        epochs: In all; None where nobody knows.
    """

    def __init__(self, title: str, epochs: int | None):
        self.title = title
        shown = "{desc}: {elapsed}{postfix}"  # the four numbers leave no room for more
        self.bar = tqdm(
            total=epochs,
            desc=title,
            bar_format=shown,
            disable=not sys.stderr.isatty(),
            leave=False,
        )

    def __enter__(self) -> "Bar":
        heartbeat.hush(None if self.bar.disable else self.bar.set_postfix_str)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        heartbeat.hush(None)
        self.bar.close()

    def step(self, row: Mapping[str, Any]) -> None:
        """One epoch is done."""
        text = f"epoch {row['epoch']}: {in_words(row)}"
        heartbeat.doing(text)
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()

    def line(self, text: str) -> None:
        """A line that stays."""
        self.bar.clear()
        log.info("%s: %s", self.title, text)
