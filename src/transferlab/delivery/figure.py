"""Pictures and what a model says about them, as a sheet."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..pipeline.files import atomic
from ..report.figures.sheet import axes_at, shown, write
from ..report.figures.style import DPI_PHOTOS, GOOD, GREY, INK, MIXED, WIDTH, styled
from .predictor import Answer

MOST = 48  # pictures of a sheet
KINDS = ("png", "jpg", "jpeg", "pdf", "svg", "webp")
ACROSS, GAP, TEXT, TOP = 6, 0.12, 0.44, 0.5  # pictures in a row, inches


@styled
def sheet(
    pictures: Sequence[np.ndarray], answers: Sequence[Answer], title: str, path: Path
) -> None:
    """Draw a sheet of pictures and write it, atomically.

    Args:
        pictures: What the network saw of each, uint8 [S, S, 3].
        answers: About each.
        title: Above them.
        path: Its ending is one of `KINDS`.
    """
    across = max(3, min(ACROSS, math.ceil(math.sqrt(len(pictures)))))
    side = (WIDTH - (across + 1) * GAP) / across
    height = TOP + math.ceil(len(pictures) / across) * (side + TEXT) + GAP
    figure = Figure(figsize=(WIDTH, height), dpi=DPI_PHOTOS, facecolor="white")
    write(figure, GAP, TOP / 2, shown(title, 110), color=INK)
    signs = int(13 * side)  # that fit below a picture
    for number, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        down, right = divmod(number, across)
        left, top = GAP + right * (side + GAP), TOP + down * (side + TEXT)
        axes = axes_at(figure, left, top, side, side)
        axes.imshow(picture)
        axes.set_axis_off()
        verdict = f"{100 * answer.probability:.1f} %{', unsure' if answer.unsure else ''}"
        label = shown(answer.label, max(4, signs - len(verdict) - 1))
        below = top + side + 0.11
        write(figure, left, below, f"{label} {verdict}", color=MIXED if answer.unsure else GOOD)
        name = shown(Path(answer.name).name, signs)
        write(figure, left, below + 0.15, name, color=GREY, fontsize=7)
    with atomic(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:].lower())
