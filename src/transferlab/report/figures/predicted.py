"""Figure: what every strategy says about a few test images that nobody chose."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .. import words
from .labels import told_apart
from .photographs import centre
from .sheet import axes_at, inches, shown, write
from .style import BAD, DPI_PHOTOS, GOOD, WIDTH, styled

SIDE, GAP, LINE = 1.15, 0.08, 0.19  # inches
ROOM = (13, 8)  # letters of a class, alone and beside a mark and a probability


def evenly(ids: Sequence[str], count: int = 6) -> list[str]:
    """So many of the ids at even distances, in their order: each class has its share of them."""
    places = np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int)) if ids else ()
    return [ids[place] for place in places]


@styled
def draw(
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    said: Mapping[str, Sequence[tuple[str, float]]],
) -> Figure:
    """Photographs in a row with their classes, and below them a line for each strategy.

    Args:
        images: uint8 `[H, W, 3]`, six at most.
        labels: The true class of each.
        said: By strategy, of each image the predicted class and its probability.
    """
    left = 0.15 + max(inches(shown(name, 14)) for name in said)
    top = 0.05 + SIDE + 0.4
    names = list(dict.fromkeys([*labels, *(it for row in said.values() for it, _ in row)]))
    long, short = (dict(zip(names, told_apart(names, room), strict=True)) for room in ROOM)
    figure = Figure(figsize=(WIDTH, top + LINE * len(said) + 0.05), dpi=DPI_PHOTOS)
    write(figure, 0.05, SIDE + 0.2, "is", fontsize=8)
    for column, (image, label) in enumerate(zip(images, labels, strict=True)):
        x = left + (SIDE + GAP) * column
        axes = axes_at(figure, x, 0.05, SIDE, SIDE)
        axes.imshow(centre(image), interpolation="antialiased")
        axes.set_axis_off()
        bold = {"fontsize": 8, "fontweight": "bold"}
        write(figure, x, SIDE + 0.2, long[label], **bold)
        for line, answers in enumerate(said.values()):
            predicted, probability = answers[column]
            right = predicted == label
            mark = "\N{CHECK MARK}" if right else "\N{BALLOT X}"
            text = f"{mark} {short[predicted]} {words.percent(probability, 0)}"
            y = top + LINE * line
            write(figure, x, y, text, fontsize=7.5, color=GOOD if right else BAD)
    for line, name in enumerate(said):
        write(figure, 0.05, top + LINE * line, shown(name, 14), fontsize=8)
    return figure
