"""Figure: which class was taken for which."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .sheet import inches, per_row, percent_ticks, shown
from .style import DPI, INK, WIDTH, styled


@styled
def draw(predictions: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> Figure:
    """One matrix per strategy: images per seed (mean) as numbers, share of the actual class as
    shade.

    Args:
        predictions: Predictions tables by strategy; one without rows is left empty.
        classes: In the order of rows and columns.
    """
    most = 6 if len(classes) < 4 else 4 if len(classes) < 7 else 3 if len(classes) < 13 else 2
    columns = per_row(len(predictions), most)
    rows = math.ceil(len(predictions) / columns)
    # Laid out by hand, in inches: matplotlib's own layout takes seconds for a dozen matrices.
    names = [shown(name, 16) for name in classes]
    longest = max(map(inches, names))
    left, right, gap, title = 0.45 + longest, 1.1, 0.12, 0.25
    side = min((WIDTH - left - right) / columns - gap, max(1.6, 0.4 * len(classes)))
    cell = side / len(classes)
    # no closer than a line
    names = [name if i % math.ceil(0.12 / cell) == 0 else "" for i, name in enumerate(names)]
    upright = longest > 0.9 * cell
    below = 0.45 + (longest if upright else 0.1)
    height = rows * (side + title) + below
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    for place, (name, table) in enumerate(predictions.items()):
        x, y = (
            left + (side + gap) * (place % columns),
            height - (side + title) * (place // columns + 1),
        )
        axes = figure.add_axes(
            (x / WIDTH, y / height, side / WIDTH, side / height), title=shown(name, 16)
        )
        shades = _matrix(axes, table, classes, 72 * cell)
        axes.set_xticks(range(len(classes)), [])
        axes.set_yticks(range(len(classes)), [])
        if place + columns >= len(predictions):
            axes.set_xticklabels(names, rotation=90 if upright else 0)
            axes.set_xlabel("predicted")
        if place % columns == 0:
            axes.set_yticklabels(names)
            axes.set_ylabel("actual")
    x, tall = left + columns * (side + gap) + 0.05, min(height - title - below, 2)
    slot = figure.add_axes(
        (x / WIDTH, (height - title - tall) / height, 0.14 / WIDTH, tall / height)
    )
    bar = figure.colorbar(shades, slot, format=percent_ticks(1), label="share of the\nactual class")
    bar.outline.set_visible(False)
    return figure


def _matrix(axes: Axes, table: pd.DataFrame, classes: Sequence[str], cell: float) -> Any:
    """One confusion matrix whose cells are `cell` points wide."""
    actual, predicted = (
        pd.Index(classes).get_indexer(pd.Index(table[column])) for column in ("label", "predicted")
    )
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (actual, predicted), 1)
    seeds = max(table["seed"].nunique(), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if cell > 13:
        for row, column in zip(*np.nonzero(counts), strict=True):
            mean = counts[row, column] / seeds
            text = f"{mean:.0f}" if seeds == 1 or (cell < 20 and mean >= 1) else f"{mean:.1f}"
            white = "white" if shares[row, column] > 0.5 else INK
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color=white,
                fontsize=min(9, cell / 2.6),
            )
    return axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
