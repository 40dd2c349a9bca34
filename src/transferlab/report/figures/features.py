"""Figure: features before and after training, in two dimensions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..words import counted
from .labels import told_apart
from .sheet import axes_at, inches, per_row, shown, write
from .style import DPI, PALETTE, WIDTH, styled


@styled
def draw(
    layouts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    named: Sequence[str] | None = None,
    said: Mapping[str, str] | None = None,
) -> Figure:
    """Images as points, one panel per model, coloured by class.

    Args:
        layouts: By the panel's title: points float `[N, 2]`, see `layout.in_two_dimensions`, and
            the class of each, `[N]`.
        named: The classes that have a colour; images of others are grey. Default: all.
        said: By the panel's title, what stands at the end of its line.
    """
    known = list(dict.fromkeys(str(name) for _, labels in layouts.values() for name in labels))
    classes = [name for name in known if named is None or name in named]
    others = len(known) - len(classes)
    columns = per_row(len(layouts), 4)
    rows = math.ceil(len(layouts) / columns)
    gap, above = 0.12, 0.27
    side = min((WIDTH - 0.1 + gap) / columns - gap, 2.8)
    legend = _class_legend(classes, others)
    height = rows * (side + above) + 0.1
    figure = Figure(
        figsize=(WIDTH, height + 0.2 * (legend[-1][2] + 1 if legend else 0) + 0.05), dpi=DPI
    )
    for panel, (title, (points, labels)) in enumerate(layouts.items()):
        column, row = panel % columns, panel // columns
        axes = axes_at(
            figure, 0.05 + (side + gap) * column, above + (side + above) * row, side, side
        )
        number = (said or {}).get(title, "")
        room = side - inches(number, 9) - 0.1 * bool(number)
        axes.set(title=shown(title, int(room / 0.08)), xticks=[], yticks=[])
        axes.set_title(number, loc="right")
        axes.spines[:].set_visible(True)
        rest = ~np.isin(np.asarray(labels).astype(str), classes)
        axes.plot(*np.asarray(points)[rest].T, linestyle="none", **OTHERS)
        for i, name in enumerate(classes):
            mine = np.asarray(labels).astype(str) == name
            axes.plot(*np.asarray(points)[mine].T, linestyle="none", **_class_look(i))
    for i, (text, left, line) in enumerate(legend):
        y = height + 0.2 * line + 0.05
        if i < len(classes) or others:
            dot = _class_look(i) if i < len(classes) else OTHERS
            figure.add_artist(_dot(figure, left + 0.08, y, dot))
        write(figure, left + 0.18, y, text, fontsize=8)
    return figure


OTHERS: dict[str, Any] = {"marker": ".", "color": "#C8C8C8", "markersize": 4, "zorder": 1}


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


def _class_legend(classes: Sequence[str], others: int) -> list[tuple[str, float, int]]:
    """Text, left end in inches and line of each class, and of `others`; six lines at most."""
    legend: list[tuple[str, float, int]] = []
    left, line = 0.05, 0
    texts = told_apart(classes, 24)
    texts += [counted(others, "other class", "other classes")] if others else []
    for i, text in enumerate(texts):
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
