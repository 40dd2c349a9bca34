"""Figure: features before and after training, in two dimensions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .sheet import axes_at, inches, per_row, shown, write
from .style import DPI, PALETTE, WIDTH, styled


@styled
def draw(layouts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Images as points, one panel per model, coloured by class.

    Args:
        layouts: By the panel's title: points float `[N, 2]`, see `layout.in_two_dimensions`, and
            the class of each, `[N]`.
    """
    classes = list(dict.fromkeys(str(name) for _, labels in layouts.values() for name in labels))
    columns = per_row(len(layouts), 4)
    rows = math.ceil(len(layouts) / columns)
    gap, above = 0.12, 0.27
    side = min((WIDTH - 0.1 + gap) / columns - gap, 2.8)
    legend = _class_legend(classes)
    height = rows * (side + above) + 0.1
    figure = Figure(
        figsize=(WIDTH, height + 0.2 * (legend[-1][2] + 1 if legend else 0) + 0.05), dpi=DPI
    )
    for panel, (title, (points, labels)) in enumerate(layouts.items()):
        column, row = panel % columns, panel // columns
        axes = axes_at(
            figure, 0.05 + (side + gap) * column, above + (side + above) * row, side, side
        )
        axes.set(title=shown(title, int(side / 0.08)), xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        for i, name in enumerate(classes):
            mine = np.asarray(labels).astype(str) == name
            axes.plot(*np.asarray(points)[mine].T, linestyle="none", **_class_look(i))
    for i, (text, left, line) in enumerate(legend):
        y = height + 0.2 * line + 0.05
        if i < len(classes):
            figure.add_artist(_dot(figure, left + 0.08, y, _class_look(i)))
        write(figure, left + 0.18, y, text, fontsize=8)
    return figure


def _class_look(place: int) -> dict[str, Any]:
    # six and seven: 42 classes before a look returns
    marker = ("o", "^", "s", "D", "v", "P")[place % 6]
    return {
        "marker": marker,
        "color": PALETTE[place % len(PALETTE)],
        "markersize": 3.8,
        "mew": 0.3,
        "mec": "white",
    }


def _class_legend(classes: Sequence[str]) -> list[tuple[str, float, int]]:
    """Text, left end in inches and line of each class; six lines at most."""
    legend: list[tuple[str, float, int]] = []
    left, line = 0.05, 0
    for i, name in enumerate(classes):
        text = shown(name, 20)
        width = 0.18 + inches(text) + 0.16
        if left + width > WIDTH:
            left, line = 0.05, line + 1
        if line == 5 and i < len(classes) - 1 and left + width > WIDTH - 1.2:
            return [*legend, (f"and {len(classes) - i} more", left, line)]
        legend.append((text, left, line))
        left += width
    return legend


def _dot(figure: Figure, left: float, top: float, settings: Mapping[str, Any]) -> Line2D:
    """A marker at a place in inches."""
    width, height = figure.get_size_inches()
    settings = {**settings, "markersize": 6}
    return Line2D(
        [left / width],
        [1 - top / height],
        transform=figure.transFigure,
        linestyle="none",
        **settings,
    )
