"""Answers as a person reads them: a line each, and rows of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..pipeline.terminal import printable
from ..prediction.spreadsheet import cell
from .predictor import Answer, Unusable


@dataclass(kw_only=True)
class Count:
    """How many pictures got what.

    Args:
        first: The first answers, as many as a figure shows.
        most: How many these may be.
    """

    most: int
    first: list[Answer] = field(default_factory=list)
    answered: int = 0
    unsure: int = 0
    unusable: int = 0

    def add(self, found: Answer | Unusable) -> None:
        """One picture more."""
        if isinstance(found, Unusable):
            self.unusable += 1
            return
        self.answered += 1
        self.unsure += found.unsure
        self.first += [found] if len(self.first) < self.most else []

    def in_words(self) -> str:
        """All of it in a line."""
        total = self.answered + self.unusable
        rest = f"; {self.unusable} could not be used" if self.unusable else ""
        pictures = "picture" if total == 1 else "pictures"
        return f"{self.answered} of {total} {pictures} answered, {self.unsure} of them unsure{rest}"


def line(answer: Answer, classes: Sequence[str], top: int) -> str:
    """The class, how probable it is and whether that is unsure, the picture's name, other classes.

    Args:
        answer: To be shown.
        classes: Of the model, for the width of the column.
        top: Number of classes to name.
    """
    width = max(len(printable(name)) for name in classes)
    best, *others = list(answer.probabilities.items())[:top]
    rest = ", ".join(_chance(*other) for other in others)
    mark = "unsure" if answer.unsure else "      "
    shown = _chance(best[0].ljust(width), best[1])
    return f"{shown}  {mark}  {printable(answer.name)}" + (f"  ({rest})" if rest else "")


def _chance(name: str, probability: float) -> str:
    return f"{printable(name)} {100 * probability:5.1f} %"


def columns(classes: Sequence[str]) -> list[str]:
    """Of the table of answers."""
    return ["path", "predicted", "probability", "unsure", "error", *(f"p_{it}" for it in classes)]


def row(found: Answer | Unusable) -> Mapping[str, Any]:
    """A line of the table; text that begins a formula gets an apostrophe, so that a spreadsheet
    shows it and runs nothing.
    """
    if isinstance(found, Unusable):
        return {"path": cell(found.name), "error": cell(found.reason)}
    return {
        "path": cell(found.name),
        "predicted": cell(found.label),
        "probability": f"{found.probability:.6g}",
        "unsure": int(found.unsure),
        **{f"p_{name}": f"{p:.6g}" for name, p in found.probabilities.items()},
    }
